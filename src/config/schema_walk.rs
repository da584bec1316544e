//! Compares the tree with the schema: unknown keys, wrong types, words and ranges, each with its place.

use crate::config::nearest::{all_of, any_of, nearest};
use crate::config::schema::{HOST_TABLES, View};
use crate::config::tree::{Node, Place, Value};
use serde_json::Value as Json;
use std::fmt::Display;
use std::str::FromStr;
use toml::Value as Toml;
use vestibule_plugin::units::{BadValue, Rate, Size, Span};

/// Something that the schema does not admit.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) place: Place,
    /// Keys and indices from the root to what is wrong.
    pub(super) path: Vec<String>,
    pub(super) slip: Slip,
    pub(super) message: String,
    pub(super) label: String,
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slip {
    /// The value of a key that exists.
    Value,
    /// A key that does not exist, and may be meant for any that does.
    Name,
}

/// Everything below `node` that `schema` does not admit.
pub(super) fn walk(node: &Node, schema: View<'_>) -> Vec<Finding> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.value(node, schema);
    walk.found
}

struct Walk {
    path: Vec<String>,
    found: Vec<Finding>,
}

impl Walk {
    fn report(&mut self, place: &Place, message: String, label: String) {
        self.slipped(Slip::Value, place, message, label);
    }

    fn slipped(&mut self, slip: Slip, place: &Place, message: String, label: String) {
        self.found.push(Finding { place: place.clone(), path: self.path.clone(), slip, message, label });
    }

    fn inside(&mut self, step: impl Into<String>, visit: impl FnOnce(&mut Self)) {
        self.path.push(step.into());
        visit(self);
        self.path.pop();
    }

    fn value(&mut self, node: &Node, schema: View<'_>) {
        if let Some(words) = schema.words() {
            return self.word(node, &words);
        }
        if let Some(alternatives) = schema.alternatives() {
            return self.one_of(node, &alternatives);
        }
        if !admits(schema, node) {
            let header = matches!(node.value, Value::Table(_)) && self.path.len() == 1 && schema.types() == ["array"];
            let label = match header {
                true => format!("expected a list; write [[{}]]", self.name()),
                false => format!("expected {}, found {}", expected(schema), found(node)),
            };
            return self.report(&node.place, format!("wrong type for `{}`", self.name()), label);
        }
        match &node.value {
            Value::Table(_) => self.table(node, schema),
            Value::Array(items) => self.list(node, items, schema),
            Value::Scalar(Toml::String(text)) => self.text(node, text, schema),
            Value::Scalar(Toml::Integer(number)) => self.range(node, *number as f64, schema),
            Value::Scalar(Toml::Float(number)) => self.range(node, *number, schema),
            Value::Scalar(_) => {}
        }
    }

    fn table(&mut self, node: &Node, schema: View<'_>) {
        for (key, value) in node.entries() {
            match schema.property(&key.text) {
                Some(inner) => self.inside(&key.text, |walk| walk.value(value, inner)),
                None => {
                    let names: Vec<&str> = schema.properties().map(|(name, _)| name).collect();
                    let (message, label) = match self.path.is_empty() {
                        true => unknown_table(&key.text, value, schema, &names),
                        false => self.unknown(&key.text, &names),
                    };
                    self.inside(&key.text, |walk| walk.slipped(Slip::Name, &key.place, message, label));
                }
            }
        }
        let required = schema.keyword("required").and_then(Json::as_array).into_iter().flatten();
        // One that is there under a misspelt name was reported as that.
        let misspelt = |name: &str| {
            let unknown = node.entries().iter().filter(|(key, _)| schema.property(&key.text).is_none());
            unknown.into_iter().any(|(key, _)| nearest(&key.text, [name]).is_some())
        };
        let missing = |name: &&str| node.get(name).is_none() && !misspelt(name);
        for name in required.filter_map(Json::as_str).filter(missing) {
            let table = self.bracketed();
            self.inside(name, |walk| {
                walk.report(&node.place, format!("missing key `{name}`"), format!("{table} needs `{name}`"));
            });
        }
    }

    fn unknown(&self, key: &str, names: &[&str]) -> (String, String) {
        let near = nearest(key, names.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
        let table = self.bracketed();
        let all = || match names {
            [] => String::new(),
            names => format!("; its keys are {}", all_of(names.iter().copied())),
        };
        (format!("unknown key `{key}`"), format!("{table} has no `{key}`{}", near.unwrap_or_else(all)))
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: View<'_>) {
        if let Some(inner) = schema.items() {
            for (index, item) in items.iter().enumerate() {
                self.inside(index.to_string(), |walk| walk.value(item, inner));
            }
        }
        let bound = |name| schema.keyword(name).and_then(Json::as_u64);
        let count = items.len() as u64;
        if bound("minItems").is_some_and(|least| count < least) || bound("maxItems").is_some_and(|most| count > most) {
            let label = format!("expected {} elements", limits(bound("minItems"), bound("maxItems")));
            self.report(&node.place, format!("`{}` has {count} elements", self.name()), label);
        }
    }

    fn word(&mut self, node: &Node, words: &[&str]) {
        let choices = any_of(words.iter().copied());
        match node.as_str() {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let near = nearest(text, words.iter().copied());
                let near = near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
                self.report(
                    &node.place,
                    format!("unknown value `{text}` for `{}`", self.name()),
                    format!("expected {choices}{near}"),
                );
            }
            None => {
                let label = format!("expected {choices}, found {}", found(node));
                self.report(&node.place, format!("wrong type for `{}`", self.name()), label);
            }
        }
    }

    /// Reports what the alternative that was most probably meant has to say.
    fn one_of(&mut self, node: &Node, alternatives: &[View<'_>]) {
        let mut best: Option<Vec<Finding>> = None;
        for alternative in alternatives.iter().filter(|alternative| admits(**alternative, node)) {
            let mut walk = Self { path: self.path.clone(), found: Vec::new() };
            walk.value(node, *alternative);
            if walk.found.is_empty() {
                return;
            }
            if best.as_ref().is_none_or(|best| walk.found.len() < best.len()) {
                best = Some(walk.found);
            }
        }
        if let Some(best) = best {
            return self.found.extend(best);
        }
        let choices: Vec<String> = alternatives.iter().map(|alternative| expected(*alternative)).collect();
        let label = format!("expected {}, found {}", choices.join(" or "), found(node));
        self.report(&node.place, format!("wrong type for `{}`", self.name()), label);
    }

    fn text(&mut self, node: &Node, text: &str, schema: View<'_>) {
        let refused = match schema.keyword("format").and_then(Json::as_str) {
            Some("vestibule-duration") => refusal::<Span>(text, "duration"),
            Some("vestibule-size") => refusal::<Size>(text, "size"),
            Some("vestibule-rate") => refusal::<Rate>(text, "rate"),
            _ => None,
        };
        if let Some((kind, BadValue(label))) = refused {
            return self.report(&node.place, format!("`{text}` is no {kind}"), label);
        }
        let bound = |name| schema.keyword(name).and_then(Json::as_u64);
        let length = text.chars().count() as u64;
        let (least, most) = (bound("minLength"), bound("maxLength"));
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            let range = limits(least, most);
            let message = format!("`{}` has {length} characters", self.name());
            self.report(&node.place, message, format!("expected {range} characters"));
        }
    }

    fn range(&mut self, node: &Node, number: f64, schema: View<'_>) {
        let bound = |name| schema.keyword(name).and_then(Json::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) || number.is_nan() {
            let message = format!("`{}` cannot be {number}", self.name());
            self.report(&node.place, message, format!("expected {}", limits(least, most)));
        }
    }

    /// The key that is being looked at; for an element of a list that of the list.
    fn name(&self) -> &str {
        self.path.iter().rev().find(|step| !is_index(step)).map_or("the file", String::as_str)
    }

    /// The table that is being looked at, as its header is written.
    fn bracketed(&self) -> String {
        let names: Vec<&str> = self.path.iter().filter(|step| !is_index(step)).map(String::as_str).collect();
        match names.as_slice() {
            ["routes"] => "[[routes]]".to_owned(),
            names => format!("[{}]", names.join(".")),
        }
    }
}

/// A name at the top of the file that is none of its tables.
fn unknown_table(key: &str, value: &Node, schema: View<'_>, names: &[&str]) -> (String, String) {
    let is_table = matches!(value.value, Value::Table(_));
    if let Some(name) = nearest(key, names.iter().copied()) {
        return (format!("unknown table `{key}`"), format!("no [{key}]; did you mean [{name}]?"));
    }
    if is_table {
        let plugins = names.iter().copied().filter(|name| !HOST_TABLES.contains(name));
        return (format!("no plugin `{key}`"), format!("the plugins are {}", all_of(plugins)));
    }
    let owner = schema.properties().find(|(_, table)| table.properties().any(|(name, _)| name == key));
    let label = match owner {
        Some((owner, _)) => format!("`{key}` belongs below [{owner}]"),
        None => "every key belongs below a table such as [server]".to_owned(),
    };
    (format!("unknown key `{key}`"), label)
}

fn is_index(step: &str) -> bool {
    step.bytes().all(|byte| byte.is_ascii_digit())
}

fn refusal<T: FromStr<Err = BadValue>>(text: &str, kind: &'static str) -> Option<(&'static str, BadValue)> {
    text.parse::<T>().err().map(|error| (kind, error))
}

fn admits(schema: View<'_>, node: &Node) -> bool {
    if let Some(alternatives) = schema.alternatives() {
        return alternatives.into_iter().any(|alternative| admits(alternative, node));
    }
    let types = schema.types();
    let kinds: &[&str] = match &node.value {
        Value::Table(_) => &["object"],
        Value::Array(_) => &["array"],
        Value::Scalar(Toml::Boolean(_)) => &["boolean"],
        Value::Scalar(Toml::Integer(_)) => &["integer", "number"],
        Value::Scalar(Toml::Float(_)) => &["number"],
        Value::Scalar(Toml::String(_)) => &["string"],
        Value::Scalar(_) => &[],
    };
    types.is_empty() || types.iter().any(|kind| kinds.contains(kind))
}

fn expected(schema: View<'_>) -> String {
    if let Some(words) = schema.words() {
        return any_of(words);
    }
    if let Some(alternatives) = schema.alternatives() {
        return alternatives.into_iter().map(expected).collect::<Vec<_>>().join(" or ");
    }
    let kinds = schema.types().into_iter().map(|kind| match (kind, schema.keyword("format").and_then(Json::as_str)) {
        ("string", Some("vestibule-duration")) => "a duration such as \"10s\"".to_owned(),
        ("string", Some("vestibule-size")) => "a size such as \"10MiB\"".to_owned(),
        ("string", Some("vestibule-rate")) => "a rate such as \"60/min\"".to_owned(),
        ("string", _) => "a string".to_owned(),
        ("integer", _) => "an integer".to_owned(),
        ("number", _) => "a number".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("array", _) => "a list".to_owned(),
        _ => "a table".to_owned(),
    });
    kinds.collect::<Vec<_>>().join(" or ")
}

fn found(node: &Node) -> &'static str {
    match &node.value {
        Value::Table(_) => "a table",
        Value::Array(_) => "a list",
        Value::Scalar(Toml::String(_)) => "a string",
        Value::Scalar(Toml::Integer(_)) => "an integer",
        Value::Scalar(Toml::Float(_)) => "a float",
        Value::Scalar(Toml::Boolean(value)) => {
            if *value {
                "true"
            } else {
                "false"
            }
        }
        Value::Scalar(_) => "a date or time",
    }
}

fn limits<N: Display>(least: Option<N>, most: Option<N>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "a number".to_owned(),
    }
}
