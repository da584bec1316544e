//! The JSON Schema of the whole file: what editors complete with, and what the tree is checked against.

use crate::config::plugin::Entry;
use crate::config::{log, routes, server, store, upstream};
use crate::registry::PLUGINS;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The tables that are the host's own; every other one is a plugin's.
pub(super) const HOST_TABLES: [&str; 5] = ["server", "upstream", "store", "log", "routes"];

/// The schema (draft 2020-12) of a file for these plugins.
pub fn schema() -> Value {
    let mut root = of(PLUGINS);
    add_patterns(&mut root);
    root
}

/// The schema as it is checked against: formats instead of patterns.
pub(super) fn of(plugins: &[Entry]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut properties = Map::new();
    let mut table = |name: &str, schema: schemars::Schema| {
        properties.insert(name.to_owned(), titled(schema, format!("[{name}]")));
    };
    table("server", generator.subschema_for::<server::ServerFile>());
    table("upstream", generator.subschema_for::<upstream::UpstreamFile>());
    table("store", generator.subschema_for::<store::StoreFile>());
    table("log", generator.subschema_for::<log::LogFile>());
    for plugin in plugins {
        let schema = (plugin.table_schema)(&mut generator);
        table(plugin.name, schema);
    }
    let entry = route_entry(plugins, &mut generator);
    properties.insert(
        "routes".to_owned(),
        json!({
            "type": "array",
            "title": "[[routes]]",
            "description": "Requests that are treated differently, by path and method. The most specific path wins.",
            "items": entry,
            "maxItems": u16::MAX,
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vestibule configuration",
        "description": "The file that `vestibule run` reads. Every key has a default.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": generator.take_definitions(true),
    })
}

/// One `[[routes]]` entry: the host's keys and one for each plugin that has one.
fn route_entry(plugins: &[Entry], generator: &mut SchemaGenerator) -> Value {
    let mut entry = definition::<routes::RouteFile>(generator);
    let mut overrides = definition::<upstream::UpstreamFile>(generator);
    if let Some(keys) = overrides.get_mut("properties").and_then(Value::as_object_mut) {
        keys.retain(|key, _| !upstream::HOST_WIDE.contains(&key.as_str()));
        keys.values_mut().filter_map(Value::as_object_mut).for_each(|key| {
            key.remove("default");
        });
    }
    entry["required"] = json!(["name", "path"]);
    overrides["description"] = "Any of these keys of [upstream], for this route.".into();
    if let Some(keys) = entry.get_mut("properties").and_then(Value::as_object_mut) {
        for key in ["name", "path", "methods"] {
            if let Some(key) = keys.get_mut(key).and_then(Value::as_object_mut) {
                key.remove("default");
            }
        }
        keys.insert("upstream".to_owned(), overrides);
        for plugin in plugins {
            if let Some(schema) = (plugin.route_schema)(generator) {
                keys.insert(plugin.name.to_owned(), titled(schema, format!("{} on this route", plugin.name)));
            }
        }
    }
    entry
}

/// The schema of a type itself, not a reference to it.
fn definition<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    let mut schema = T::json_schema(generator).to_value();
    // Documentation belongs to the schema that refers to it.
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
    }
    schema
}

fn titled(schema: schemars::Schema, title: String) -> Value {
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Value::String(title));
    }
    schema
}

/// Spells out the formats of `vestibule_plugin::units` for editors; a `${NAME}` may stand in for any of them.
fn add_patterns(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let pattern = match object.get("format").and_then(Value::as_str) {
                Some("vestibule-duration") => Some(r"^[0-9]+(ms|s|m|h|d)$|\$\{"),
                Some("vestibule-size") => Some(r"^[0-9]+(B|KiB|MiB|GiB)?$|\$\{"),
                Some("vestibule-rate") => Some(r"^[0-9]+/[0-9]*(ms|s|sec|m|min|h|d|day)$|\$\{"),
                _ => None,
            };
            if let Some(pattern) = pattern {
                object.insert("pattern".to_owned(), pattern.into());
            }
            object.values_mut().for_each(add_patterns);
        }
        Value::Array(items) => items.iter_mut().for_each(add_patterns),
        _ => {}
    }
}

/// What a schema means, behind references.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    root: &'a Value,
    schema: &'a Value,
}

/// References that may be followed in a row; more are a circle.
const MAX_REFERENCES: usize = 16;

impl<'a> View<'a> {
    /// Of the whole file.
    pub(super) fn whole(root: &'a Value) -> Self {
        Self { root, schema: root }
    }

    /// The JSON of it.
    pub(super) fn json(self) -> &'a Value {
        self.schema
    }

    fn at(self, schema: &'a Value) -> Self {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            let Some(name) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(target) = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { break };
            schema = target;
        }
        Self { root: self.root, schema }
    }

    /// A keyword of it.
    pub(super) fn keyword(self, name: &str) -> Option<&'a Value> {
        self.schema.get(name)
    }

    /// The keys a table may have by name.
    pub(super) fn properties(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        let properties = self.keyword("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(move |(name, schema)| (name.as_str(), self.at(schema)))
    }

    /// The value of a key: one named in the schema, else what any key holds.
    pub(super) fn property(self, key: &str) -> Option<View<'a>> {
        let named = self.properties().find(|(name, _)| *name == key).map(|(_, view)| view);
        let open = ["additionalProperties", "unevaluatedProperties"].into_iter().find_map(|name| self.keyword(name));
        named.or_else(|| match open {
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.at(schema)),
            None if self.keyword("properties").is_some() => None,
            None => Some(self.at(&Value::Bool(true))),
        })
    }

    /// The elements of a list.
    pub(super) fn items(self) -> Option<View<'a>> {
        self.keyword("items").map(|schema| self.at(schema))
    }

    /// The schemas of which one has to hold; TOML has no null, so that is left out.
    pub(super) fn alternatives(self) -> Option<Vec<View<'a>>> {
        let list = ["anyOf", "oneOf"].into_iter().find_map(|name| self.keyword(name))?.as_array()?;
        let views = list.iter().map(|schema| self.at(schema));
        Some(views.filter(|view| view.keyword("type").and_then(Value::as_str) != Some("null")).collect())
    }

    /// The words a string has to be one of.
    pub(super) fn words(self) -> Option<Vec<&'a str>> {
        if let Some(alternatives) = self.alternatives() {
            let each: Option<Vec<_>> = alternatives.into_iter().map(View::words).collect();
            return each.map(|words| words.into_iter().flatten().collect());
        }
        if let Some(word) = self.keyword("const") {
            return word.as_str().map(|word| vec![word]);
        }
        self.keyword("enum")?.as_array()?.iter().filter(|word| !word.is_null()).map(Value::as_str).collect()
    }

    /// The JSON types it admits; empty: any.
    pub(super) fn types(self) -> Vec<&'a str> {
        match self.keyword("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
            _ if self.words().is_some() => vec!["string"],
            _ => Vec::new(),
        }
    }
}
