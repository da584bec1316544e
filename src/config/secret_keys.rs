//! Which keys hold secrets. The schema says so: a key beside one with the same name and `_file` (`admin_token` and
//! `admin_token_file`), or one marked `writeOnly`.

use crate::config::schema::View;
use crate::config::tree::{Node, Value};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Why a value is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is a secret.
    Secret,
    /// Its key is unknown, and may be a misspelt one of a secret.
    Unknown,
}

/// Calls `visit_one` with every value below `node` that is not to be shown.
pub(super) fn visit(node: &mut Node, schema: View<'_>, visit_one: &mut impl FnMut(Why, &mut Node)) {
    if let Some(alternatives) = schema.alternatives() {
        // A key that is unknown to one alternative may be known to another.
        let kind = if matches!(node.value, Value::Array(_)) { "array" } else { "object" };
        let fits = |one: &View<'_>| one.alternatives().is_some() || one.types().contains(&kind);
        return alternatives.into_iter().filter(fits).for_each(|one| visit(node, one, visit_one));
    }
    match &mut node.value {
        Value::Table(entries) => {
            for (key, value) in entries {
                match schema.property(&key.text) {
                    Some(_) if is_secret(schema, &key.text) => visit_one(Why::Secret, value),
                    Some(inner) => visit(value, inner, visit_one),
                    None => visit_one(Why::Unknown, value),
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.items() {
                items.iter_mut().for_each(|item| visit(item, inner, visit_one));
            }
        }
        Value::Scalar(_) => {}
    }
}

fn is_secret(table: View<'_>, key: &str) -> bool {
    table.properties().any(|(name, view)| {
        name.strip_suffix("_file") == Some(key)
            || (name == key && view.keyword("writeOnly").and_then(Json::as_bool) == Some(true))
    })
}

/// The names of all keys that never hold a secret, wherever they stand.
pub(super) fn harmless(schema: View<'_>) -> BTreeSet<String> {
    let (mut names, mut secret) = (BTreeSet::new(), BTreeSet::new());
    collect(schema.json(), &mut names, &mut secret);
    names.retain(|name| !secret.contains(name));
    names
}

fn collect(schema: &Json, names: &mut BTreeSet<String>, secret: &mut BTreeSet<String>) {
    match schema {
        Json::Object(object) => {
            let properties = object.get("properties").and_then(Json::as_object);
            for (name, inner) in properties.into_iter().flatten() {
                names.insert(name.clone());
                secret.extend(name.strip_suffix("_file").map(str::to_owned));
                if inner.get("writeOnly").and_then(Json::as_bool) == Some(true) {
                    secret.insert(name.clone());
                }
            }
            object.values().for_each(|inner| collect(inner, names, secret));
        }
        Json::Array(items) => items.iter().for_each(|inner| collect(inner, names, secret)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use toml::Value as Toml;

    fn schema() -> Json {
        let text = json!({ "type": "string" });
        let properties = json!({
            "url": text, "headers": { "type": "object", "additionalProperties": text }, "headers_file": text,
            "pin": { "type": "string", "writeOnly": true },
        });
        let otlp = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        json!({
            "type": "object",
            "properties": { "otlp": { "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/Otlp" }] } },
            "$defs": { "Otlp": otlp },
        })
    }

    #[test]
    fn a_key_beside_one_that_ends_in_file_is_secret_with_all_below_it() {
        let file =
            "otlp = { url = 'u', headers = { a = 'S1', b = 'S2' }, headers_file = 'f', pin = 'S3', hedrs = 'S4' }";
        let mut tree = crate::config::tree::parse(file).expect("TOML");
        let mut hidden = Vec::new();
        visit(&mut tree, View::whole(&schema()), &mut |why, node| {
            node.each_scalar(&mut |scalar, _| hidden.push((why, scalar.as_str().map(str::to_owned))));
        });
        let secret = |text: &str| (Why::Secret, Some(text.to_owned()));
        assert_eq!(hidden, [secret("S1"), secret("S2"), secret("S3"), (Why::Unknown, Some("S4".to_owned()))]);
        assert!(matches!(tree.to_toml(), Toml::Table(_)));
    }

    #[test]
    fn names_of_secrets_are_never_harmless() {
        let schema = schema();
        let names = harmless(View::whole(&schema));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["headers_file", "otlp", "url"]);
    }
}
