//! The members of a JSON object, taken out one by one; whatever is wrong with them is gathered.

use serde_json::{Map, Value};

use super::{FieldError, Problem};
use crate::text::Invalid;

/// What is left of an object, and what was wrong so far.
#[derive(Debug)]
pub(crate) struct Fields {
    rest: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The members of `body`, which must be an object.
    pub(crate) fn of(body: Value) -> Result<Self, Problem> {
        match body {
            Value::Object(rest) => Ok(Self { rest, errors: Vec::new() }),
            _ => Err(Problem::invalid(vec![FieldError::of_body("must be an object")])),
        }
    }

    /// A string that must be there; `None` after an error.
    pub(crate) fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Option<T> {
        if !self.rest.contains_key(name) {
            self.errors.push(FieldError::of(name, &Invalid::new("is required")));
        }
        self.optional(name, parse)
    }

    /// A string that may be left out; `None` when it is, and after an error.
    pub(crate) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Option<T> {
        let parsed = match self.rest.remove(name)? {
            Value::String(text) => parse(&text),
            Value::Null => Err(Invalid::new("must not be null")),
            _ => Err(Invalid::new("must be a string")),
        };
        parsed.map_err(|reason| self.errors.push(FieldError::of(name, &reason))).ok()
    }

    /// What `build` makes, unless there was an error. Members nobody took are errors too. `build` gives `None` only
    /// where a member it needs had one.
    pub(crate) fn finish<T>(mut self, read_only: &[&str], build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        for name in self.rest.keys() {
            let reason = if read_only.contains(&name.as_str()) { "is read-only" } else { "is not a known field" };
            self.errors.push(FieldError::of(name, &Invalid::new(reason)));
        }
        match build() {
            Some(built) if self.errors.is_empty() => Ok(built),
            _ => Err(Problem::invalid(self.errors)),
        }
    }
}
