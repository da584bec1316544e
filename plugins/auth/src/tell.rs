//! Verified claims as fields for the application, so that no value can pass for more than it is. Pure.

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde_json::Value;

/// Most bytes of a field.
const MAX_VALUE: usize = 1 << 10;
/// Of a value that stands alone: what is not visible ASCII, and the sign itself.
const ALONE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// Of an element of a list: what parts elements, too.
const LISTED: &AsciiSet = &ALONE.add(b',');

/// The value of a claim as a field; `None` when it is none that can be told.
pub(crate) fn value(claim: &Value) -> Option<HeaderValue> {
    let text = match claim {
        Value::Array(items) => items.iter().map(|item| scalar(item, LISTED)).collect::<Option<Vec<_>>>()?.join(","),
        claim => scalar(claim, ALONE)?,
    };
    (text.len() <= MAX_VALUE).then(|| HeaderValue::try_from(text).ok()).flatten()
}

fn scalar(value: &Value, encoded: &'static AsciiSet) -> Option<String> {
    let text = match value {
        Value::String(text) if text.contains(['\r', '\n', '\0']) => return None,
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    // `percent_encode` also encodes every byte beyond ASCII.
    Some(percent_encode(text.as_bytes(), encoded).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(claim: &Value) -> Option<String> {
        value(claim).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    /// AU-17
    #[test]
    fn a_value_cannot_break_out_of_its_place() {
        assert_eq!(told(&json!("alice@example.com")).as_deref(), Some("alice@example.com"));
        assert_eq!(told(&json!("é 100%,\u{7f}")).as_deref(), Some("%C3%A9%20100%25,%7F"));
        assert_eq!(told(&json!(["admin", "a,b", 7, true, "c%"])).as_deref(), Some("admin,a%2Cb,7,true,c%25"));
        assert_eq!(told(&json!(1.5)).as_deref(), Some("1.5"));
        assert_eq!(told(&json!([])).as_deref(), Some(""));
        for untold in [json!("a\r\nb"), json!("a\nb"), json!("a\0"), json!({"a": 1}), json!([["a"]]), json!(null)] {
            assert_eq!(told(&untold), None);
        }
        assert!(told(&json!("x".repeat(1024))).is_some());
        assert_eq!(told(&json!("x".repeat(1025))), None);
        assert_eq!(told(&json!(vec!["x".repeat(100); 20])), None);
    }
}
