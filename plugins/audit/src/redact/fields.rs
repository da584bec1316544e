//! Header fields: the few that are kept, and what the fields of a body say.

use super::REDACTED;
use super::scope::Scope;
use crate::members::Members;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, ORIGIN, REFERER};
use http::uri::Uri;
use std::borrow::Cow;
use vestibule_chain::canonical;
use vestibule_plugin::{Fields, list};

/// How many fields are kept.
pub(super) const COUNT: usize = 4;
/// The fields that are kept, sorted; of the last two the origin alone.
pub(super) static KEPT: [HeaderName; COUNT] = [ACCEPT, CONTENT_TYPE, ORIGIN, REFERER];

/// An object of the fields that are kept; of repeated fields the first.
pub(super) fn redact(scope: Scope<'_>, headers: &Fields) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut members = Members::new(&mut kept);
    for (name, hidden) in KEPT.iter().zip(scope.redactor.fields) {
        let Some(value) = headers.get(name) else { continue };
        let value = match *name {
            ORIGIN | REFERER => origin(value).map(Cow::Owned),
            _ => Some(String::from_utf8_lossy(value)),
        };
        let Some(value) = value else { continue };
        let value = if hidden { Cow::Borrowed(REDACTED) } else { scope.text(&value) };
        members.under(name.as_str(), |out| canonical::string(out, &value));
    }
    members.end();
    kept
}

/// Scheme, host and port without user information (RFC 6454 section 6.1), or `null`; nothing of what is neither.
fn origin(value: &[u8]) -> Option<String> {
    if value == b"null" {
        return Some("null".to_owned());
    }
    let uri = Uri::try_from(value).ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}"))
}

/// Whether a `content-encoding` says anything else than that there is none.
pub(super) fn is_coded(content_encoding: &[u8]) -> bool {
    list::tokens_of_line(content_encoding).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Redactor;
    use http::{HeaderName, HeaderValue};
    use serde_json::{Value, json};
    use vestibule_plugin::media;

    fn headers(fields: &[(&'static str, &str)]) -> Value {
        let mut map = Fields::new();
        for (name, value) in fields {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).expect("a field value"),
            );
        }
        serde_json::from_slice(&Redactor::new(["cookie", "accept-x", "token"]).headers(&map)).expect("JSON")
    }

    /// AUD-08: no field is kept that could carry a secret of its own.
    #[test]
    fn four_fields_are_kept() {
        let all = headers(&[
            ("content-type", "application/json; charset=utf-8"),
            ("accept", "text/html, */*;q=0.1"),
            ("origin", "https://app.example.com"),
            ("referer", "https://app.example.com:8443/reset?code=abc#x"),
            ("cookie", "session=abc"),
            ("authorization", "Bearer abc"),
            ("user-agent", "curl"),
            ("idempotency-key", "k1"),
            ("x-api-key", "k2"),
        ]);
        assert_eq!(
            all,
            json!({
                "content-type": "application/json; charset=utf-8",
                "accept": "text/html, */*;q=0.1",
                "origin": "https://app.example.com",
                "referer": "https://app.example.com:8443",
            })
        );
    }

    #[test]
    fn of_a_referer_the_origin_alone_is_kept() {
        for (referer, expected) in [
            ("https://alice:hunter2@example.com/a", Some("https://example.com")),
            ("http://[2001:db8::1]:80/a?b", Some("http://[2001:db8::1]:80")),
            ("HTTPS://EXAMPLE.com/alice@example.com", Some("https://EXAMPLE.com")),
            ("https://4111-1111-1111-1111.example.com/", Some("https://[card].example.com")),
            ("null", Some("null")),
            ("/reset?code=abc", None),
            ("example.com/reset", None),
            ("example.com", None),
            ("data:text/html,secret", None),
            ("https://", None),
            ("https://ex ample.com/", None),
            ("", None),
        ] {
            let kept = headers(&[("referer", referer)]);
            assert_eq!(kept.get("referer").and_then(Value::as_str), expected, "{referer}");
        }
    }

    #[test]
    fn what_is_kept_is_judged_by_pattern() {
        let kept = headers(&[("accept", "Bearer abc, alice@example.com"), ("content-type", "a/\u{e4}; t=\"Basic x\"")]);
        assert_eq!(kept, json!({"accept": "[redacted], [email]", "content-type": "a/\u{e4}; t=\"[redacted]\""}));
    }

    #[test]
    fn json_by_its_type() {
        for json in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "text/json",
            "application/vnd.api+json",
            "model/gltf+json;a=b",
        ] {
            assert!(media::is_json(json.as_bytes()), "{json}");
        }
        for other in [
            "",
            "json",
            "+json",
            "/x+json",
            "application/jsonl",
            "application/x-ndjson",
            "application/json, text/plain",
            "text/plain; a=application/json",
            "application/json/x",
        ] {
            assert!(!media::is_json(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn coded_by_any_coding() {
        for plain in ["", "identity", " Identity , identity"] {
            assert!(!is_coded(plain.as_bytes()), "{plain}");
        }
        for coded in ["gzip", "identity, br", "x"] {
            assert!(is_coded(coded.as_bytes()), "{coded}");
        }
    }
}
