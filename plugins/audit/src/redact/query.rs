//! The pairs of a query string (the URL Standard's `application/x-www-form-urlencoded`), decoded before they are judged.

use super::names::Name;
use super::scope::Scope;
use super::{REDACTED, TRUNCATED};
use crate::members::Members;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use vestibule_chain::canonical;

/// Most pairs that are kept.
const MOST_PAIRS: usize = 32;

/// Names to values. An object, since that is what a search in audit records asks for (`metadata.query.page`); a name
/// that occurs again, or got the same placeholder as another, has an array.
pub(super) fn redact(scope: Scope<'_>, query: &str) -> Vec<u8> {
    let redactor = scope.redactor;
    let mut all = Vec::new();
    let mut hides_values = false;
    for (at, (name, value)) in pairs(query).enumerate() {
        let judged = Name::of(&name);
        // Over all pairs: a label counts wherever it stands.
        hides_values |= judged.is_label() && redactor.hides_name(&value);
        if at < MOST_PAIRS {
            all.push((name, judged, value));
        }
    }
    let mut kept: Vec<_> = all
        .iter()
        .map(|(name, judged, value)| {
            let kept_name = scope.text(name);
            let hidden = hides_values && judged.is_value()
            || redactor.names.hide(judged)
            // What a placeholder says is judged as well.
            || matches!(kept_name, Cow::Owned(_)) && redactor.hides_name(&kept_name);
            (kept_name, if hidden { Cow::Borrowed(REDACTED) } else { scope.text(value) })
        })
        .collect();
    if pairs(query).nth(MOST_PAIRS).is_some() {
        kept.push((TRUNCATED.into(), TRUNCATED.into()));
    }
    // Stable: values of one name stay in their order.
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    let mut written = Vec::new();
    let mut members = Members::new(&mut written);
    for same in kept.chunk_by(|a, b| a.0 == b.0) {
        members.under(&same[0].0, |out| values(out, same));
    }
    members.end();
    written
}

/// The values of one name: a string, or an array of them.
fn values(out: &mut Vec<u8>, same: &[(Cow<'_, str>, Cow<'_, str>)]) {
    if let [(_, value)] = same {
        return canonical::string(out, value);
    }
    for (at, (_, value)) in same.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        canonical::string(out, value);
    }
    out.push(b']');
}

fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Decoded once. A leading `+` before a digit stays: that is the sign of a telephone number, by a sender who did not
/// encode it.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let sign = if matches!(text.as_bytes(), [b'+', b'0'..=b'9', ..]) { "+" } else { "" };
    let blanks = text[sign.len()..].replace('+', " ");
    Cow::Owned([sign, &percent_decode_str(&blanks).decode_utf8_lossy()].concat())
}

#[cfg(test)]
mod tests {
    use crate::redact::Redactor;
    use serde_json::{Value, json};

    fn query(query: &str) -> Value {
        serde_json::from_slice(&Redactor::new(["password", "token", "secret", "card"]).query(query)).expect("JSON")
    }

    /// AUD-08: the name is judged as the application reads it.
    #[test]
    fn names_and_values_are_decoded_before_they_are_judged() {
        for (text, expected) in [
            ("", json!({})),
            ("&&", json!({})),
            ("page=2&sort=name", json!({"page": "2", "sort": "name"})),
            ("flag&empty=", json!({"flag": "", "empty": ""})),
            ("a=b=c", json!({"a": "b=c"})),
            ("q=two+words%21", json!({"q": "two words!"})),
            ("p%61ssw%6Frd=hunter2", json!({"password": "[redacted]"})),
            ("user[pass+word]=hunter2", json!({"user[pass word]": "[redacted]"})),
            ("mail=alice%40example.com", json!({"mail": "[email]"})),
            ("mail=alice%2540example.com", json!({"mail": "[email]"})),
            ("pay=4111+1111+1111+1111", json!({"pay": "[card]"})),
            ("pay=4111%252d1111%252d1111%252d1111", json!({"pay": "[card]"})),
            ("pay=4111%001111%ff1111%e2%80%8b1111", json!({"pay": "[card]"})),
            ("tel=%2B4915123456789", json!({"tel": "[phone]"})),
            ("tel=%252B4915123456789", json!({"tel": "[phone]"})),
            ("tel=+49+151+23456789", json!({"tel": "[phone]"})),
            ("h=Bearer+abc", json!({"h": "[redacted]"})),
            ("bad=%zz%4", json!({"bad": "%zz%4"})),
        ] {
            assert_eq!(query(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_may_be_the_secret() {
        assert_eq!(query("alice@example.com&bob%40example.com=1&x=2"), json!({"[email]": ["", "1"], "x": "2"}));
        assert_eq!(query("4111111111111111=7"), json!({"[card]": "[redacted]"}));
    }

    #[test]
    fn a_name_that_occurs_again_has_all_its_values() {
        assert_eq!(
            query("a=1&b=2&a=3&a=+4&token=x&token=y"),
            json!({
                "a": ["1", "3", "+4"],
                "b": "2",
                "token": ["[redacted]", "[redacted]"],
            })
        );
    }

    #[test]
    fn a_label_hides_its_sibling() {
        assert_eq!(
            query("value=x&value=y&key=Pass-Word"),
            json!({
                "value": ["[redacted]", "[redacted]"],
                "key": "Pass-Word",
            })
        );
        let far = format!("value=x&{}name=token", "a=1&".repeat(40));
        assert_eq!(query(&far)["value"], "[redacted]");
    }

    #[test]
    fn json_in_a_value_is_redacted_inside() {
        assert_eq!(
            query("filter=%7B%22password%22:%22x%22,%22n%22:1%7D"),
            json!({
                "filter": r#"{"password":"[redacted]","n":1}"#,
            })
        );
    }

    #[test]
    fn thirty_two_pairs_are_kept() {
        let all: Vec<String> = (0..33).map(|n| format!("n{n}=1")).collect();
        let kept = query(&all.join("&"));
        assert_eq!(kept.as_object().map(serde_json::Map::len), Some(33));
        assert_eq!(kept["n31"], "1");
        assert_eq!(kept["[truncated]"], "[truncated]");
        assert_eq!(query(&all[..32].join("&")).get("[truncated]"), None);
    }
}
