//! What a row keeps beside its columns: the `metadata` of an event, and seven members of its `data`.

use serde_json::{Map, Value};

use super::object::Object;
use crate::http::FieldError;
use crate::text::{self, Invalid};

/// The proxy sends no event that is larger, all of it.
const MAX_BYTES: usize = 64 * 1024;
/// The largest integer that every reader of JSON takes (RFC 8259 section 6).
const MAX_INTEGER: u64 = (1 << 53) - 1;
const OUTCOMES: [&str; 6] = ["success", "failure", "denied", "error", "aborted", "unknown"];

type Check = fn(&Value) -> Result<(), Invalid>;

/// Null stands for what is not known yet, or never will be.
const KEPT: [(&str, Check); 7] = [
    ("client", client),
    ("duration_us", duration),
    ("outcome", outcome),
    ("replayed", replayed),
    ("route", route),
    ("status", status),
    ("trace_id", trace_id),
];

/// The JSON text of a row's metadata, from the `data` of its event.
pub(super) fn of(mut data: Object) -> Result<String, FieldError> {
    let mut kept = data.take("metadata", |value| match value {
        Value::Null => Ok(Map::new()),
        Value::Object(members) => Ok(members),
        _ => Err(Invalid::new("must be an object")),
    })?;
    for (name, check) in KEPT {
        let value = data.take(name, |value| match value {
            Value::Null => Ok(value),
            _ => check(&value).map(|()| value),
        })?;
        kept.insert(name.to_owned(), value);
    }
    let text = Value::Object(kept).to_string();
    if text.len() <= MAX_BYTES {
        Ok(text)
    } else {
        Err(data.error("metadata", &Invalid::new(format!("must have at most {MAX_BYTES} bytes as JSON"))))
    }
}

fn client(value: &Value) -> Result<(), Invalid> {
    let short = |name| value.get(name).is_none_or(|part| part.as_str().is_some_and(|part| part.len() <= 64));
    demand(value.is_object() && short("prefix") && short("hash"), "must be an object with a prefix and a hash")
}

fn duration(value: &Value) -> Result<(), Invalid> {
    demand(value.as_u64().is_some_and(|us| us <= MAX_INTEGER), "must be a whole number of microseconds")
}

fn outcome(value: &Value) -> Result<(), Invalid> {
    demand(value.as_str().is_some_and(|word| OUTCOMES.contains(&word)), "must be one of the six outcomes")
}

fn replayed(value: &Value) -> Result<(), Invalid> {
    demand(value.is_boolean(), "must be true or false")
}

fn route(value: &Value) -> Result<(), Invalid> {
    let name = value.as_str().ok_or_else(|| Invalid::new("must be a string"))?;
    text::bounded(name, 0..=1_024).map(|_| ())
}

fn status(value: &Value) -> Result<(), Invalid> {
    demand(value.as_u64().is_some_and(|status| (100..=999).contains(&status)), "must be a number from 100 to 999")
}

fn trace_id(value: &Value) -> Result<(), Invalid> {
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    demand(value.as_str().is_some_and(|id| id.len() == 32 && hex(id)), "must be 32 lower-case hexadecimal digits")
}

fn demand(holds: bool, reason: &'static str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid::new(reason)) }
}
