//! A JSON object of a batch, whose members are taken out one by one. The first that is wrong is told with its place.

use serde_json::{Map, Value};

use crate::http::FieldError;
use crate::text::Invalid;

/// What is left of an object, and the JSON pointer to it.
#[derive(Debug)]
pub(super) struct Object {
    rest: Map<String, Value>,
    pointer: String,
}

impl Object {
    /// The object that stands at `pointer`.
    pub(super) fn of(value: Value, pointer: String) -> Result<Self, FieldError> {
        match value {
            Value::Object(rest) => Ok(Self { rest, pointer }),
            _ => Err(FieldError { pointer, detail: "must be an object".to_owned() }),
        }
    }

    /// A member; one that is not there is null.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Invalid>,
    ) -> Result<T, FieldError> {
        let value = self.rest.remove(name).unwrap_or(Value::Null);
        read(value).map_err(|reason| self.error(name, &reason))
    }

    /// A member that must be a string.
    pub(super) fn text<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Result<T, FieldError> {
        self.take(name, |value| match value {
            Value::String(text) => parse(&text),
            _ => Err(Invalid::new("must be a string")),
        })
    }

    /// A member that must be an object.
    pub(super) fn object(&mut self, name: &str) -> Result<Self, FieldError> {
        Self::of(self.rest.remove(name).unwrap_or(Value::Null), self.place(name))
    }

    /// What is wrong with a member.
    pub(super) fn error(&self, name: &str, reason: &Invalid) -> FieldError {
        FieldError { pointer: self.place(name), detail: reason.to_string() }
    }

    // No name that is asked for holds a character that RFC 6901 escapes.
    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }
}
