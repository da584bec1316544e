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
    let alternatives = schema.alternatives().unwrap_or_else(|| vec![schema]);
    match &mut node.value {
        Value::Table(entries) => {
            for (key, value) in entries {
                let inner = alternatives.iter().find_map(|one| one.property(&key.text).map(|inner| (*one, inner)));
                match inner {
                    Some((table, inner)) if !is_secret(table, &key.text) => visit(value, inner, visit_one),
                    Some(_) => visit_one(Why::Secret, value),
                    None => visit_one(Why::Unknown, value),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(inner) = alternatives.iter().find_map(|one| one.items()) {
                    visit(item, inner, visit_one);
                }
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
