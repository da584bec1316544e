//! The file as a tree in which every key and value knows where it stands.

use crate::config::salvage;
use serde_path_to_error::Segment;
use std::ops::Range;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value as Toml};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// These bytes of the file.
    File(Range<usize>),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nowhere: a default, or the file as a whole.
    Nowhere,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string, integer, float, boolean or time.
    Scalar(Toml),
    Array(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

/// A key and its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

/// A file that is no TOML.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// All syntax errors as message and place.
    pub(super) errors: Vec<(String, Place)>,
    /// The tables that are sound, if they can be told from the others.
    pub(super) rest: Option<Node>,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Node, Box<Broken>> {
    strict(text).map_err(|errors| {
        let spans = |text: &str| {
            let errors = strict(text).err().unwrap_or_default();
            let span = |(_, place)| if let Place::File(span) = place { Some(span) } else { None };
            errors.into_iter().map(span).collect()
        };
        let rest = salvage::rest(text, spans).and_then(|rest| strict(&rest).ok());
        Box::new(Broken { errors, rest })
    })
}

fn strict(text: &str) -> Result<Node, Vec<(String, Place)>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let mut errors = Vec::new();
        let root = table_node(table.get_ref(), Place::Nowhere, &mut errors);
        return if errors.is_empty() { Ok(root) } else { Err(errors) };
    }
    Err(errors
        .iter()
        .map(|error| (error.message().to_owned(), error.span().map_or(Place::Nowhere, Place::File)))
        .collect())
}

fn table_node(table: &DeTable<'_>, place: Place, errors: &mut Vec<(String, Place)>) -> Node {
    let entries = table.iter().map(|(key, value)| {
        let key = Key { place: Place::File(key.span()), text: key.get_ref().to_string() };
        (key, node(value, errors))
    });
    Node { place, value: Value::Table(entries.collect()) }
}

fn node(spanned: &Spanned<DeValue<'_>>, errors: &mut Vec<(String, Place)>) -> Node {
    let place = Place::File(spanned.span());
    let scalar = match spanned.get_ref() {
        DeValue::Table(table) => return table_node(table, place, errors),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| node(item, errors)).collect();
            return Node { place, value: Value::Array(items) };
        }
        DeValue::String(text) => Toml::String(text.to_string()),
        DeValue::Boolean(value) => Toml::Boolean(*value),
        DeValue::Datetime(value) => Toml::Datetime(*value),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(value) => Toml::Integer(value),
            Err(_) => {
                errors.push(("integer is out of range".to_owned(), place.clone()));
                Toml::Integer(0)
            }
        },
        DeValue::Float(digits) => match digits.as_str().parse() {
            Ok(value) => Toml::Float(value),
            Err(_) => {
                errors.push(("number is out of range".to_owned(), place.clone()));
                Toml::Float(0.0)
            }
        },
    };
    Node { place, value: Value::Scalar(scalar) }
}

impl Node {
    /// A string that stands nowhere else in the file.
    pub(super) fn string(text: &str, place: Place) -> Self {
        Self { place, value: Value::Scalar(Toml::String(text.to_owned())) }
    }

    /// An empty table.
    pub(super) fn empty() -> Self {
        Self { place: Place::Nowhere, value: Value::Table(Vec::new()) }
    }

    /// The text, when it is a string.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Toml::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The entries, in the order of the file; none when it is no table.
    pub(super) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The elements; none when it is no array.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The value of this key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// Sets a key of a table; does nothing to other values.
    pub(super) fn set(&mut self, key: &str, node: Self) {
        if let Value::Table(entries) = &mut self.value {
            match entries.iter_mut().find(|(name, _)| name.text == key) {
                Some((_, old)) => *old = node,
                None => entries.push((Key { place: node.place.clone(), text: key.to_owned() }, node)),
            }
        }
    }

    /// The table behind this key, made when there is none.
    pub(super) fn table_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Table(entries) = &mut self.value else { return None };
        let position = entries.iter().position(|(name, _)| name.text == key).unwrap_or_else(|| {
            entries.push((Key { place: Place::Nowhere, text: key.to_owned() }, Self::empty()));
            entries.len() - 1
        });
        Some(&mut entries[position].1)
    }

    /// Without the keys that `keep` turns down.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        if let Value::Table(entries) = &mut self.value {
            entries.retain(|(key, _)| keep(&key.text));
        }
    }

    /// The keys of `over` laid over those of `self`.
    pub(super) fn overlaid(&self, over: &Self) -> Self {
        let mut merged = self.clone();
        for (key, node) in over.entries() {
            merged.set(&key.text, node.clone());
        }
        merged.place = over.place.clone();
        merged
    }

    /// The value of this key, or the element of this number.
    pub(super) fn step(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(_) => self.get(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::Scalar(_) => None,
        }
    }

    /// Where the deepest existing value on the way to `path` stands.
    pub(super) fn place_of<S: AsRef<str>>(&self, path: &[S]) -> Place {
        let mut here = self;
        let mut place = &self.place;
        for segment in path {
            let Some(next) = here.step(segment.as_ref()) else { break };
            here = next;
            if next.place != Place::Nowhere {
                place = &next.place;
            }
        }
        place.clone()
    }

    /// Applies `edit` to every scalar below, with the place of each.
    pub(super) fn each_scalar(&mut self, edit: &mut impl FnMut(&mut Toml, &Place)) {
        match &mut self.value {
            Value::Scalar(scalar) => edit(scalar, &self.place),
            Value::Array(items) => items.iter_mut().for_each(|item| item.each_scalar(edit)),
            Value::Table(entries) => entries.iter_mut().for_each(|(_, node)| node.each_scalar(edit)),
        }
    }

    /// Without places.
    pub(super) fn to_toml(&self) -> Toml {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::Array(items) => Toml::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(entries) => {
                Toml::Table(entries.iter().map(|(key, node)| (key.text.clone(), node.to_toml())).collect())
            }
        }
    }
}

impl From<Toml> for Node {
    /// A tree that stands nowhere.
    fn from(value: Toml) -> Self {
        let value = match value {
            Toml::Array(items) => Value::Array(items.into_iter().map(Self::from).collect()),
            Toml::Table(table) => Value::Table(
                table
                    .into_iter()
                    .map(|(text, value)| (Key { place: Place::Nowhere, text }, Self::from(value)))
                    .collect(),
            ),
            scalar => Value::Scalar(scalar),
        };
        Self { place: Place::Nowhere, value }
    }
}

/// The steps to where serde stopped.
pub(super) fn steps(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
