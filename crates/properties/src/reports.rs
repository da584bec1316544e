//! What is kept of what clients say: reports of browsers, tags, and audit events without secrets.

use crate::parts;
use http::{HeaderValue, header};
use serde_json::Value;
use vestibule_audit::fuzzing::{MOST_STRING_BYTES, Redactor};
use vestibule_csp::fuzzing as csp;
use vestibule_etag::fuzzing::{self as etag, List};
use vestibule_plugin::Fields;

/// Most bytes of a cleaned URL, and elements of a batch.
const MOST_URL_BYTES: usize = 256;
const MOST_ELEMENTS: usize = 100;
/// Most bytes of a list of tags.
const MOST_LIST_BYTES: usize = 8 << 10;

/// Holds of a body of reports: of a URL no credentials, query or fragment is kept.
pub fn csp_report(data: &[u8]) {
    report(data);
    // Text in the place of each URL, in both shapes, so that cleaning is reached whatever the JSON around it.
    let text = Value::from(String::from_utf8_lossy(data));
    let old = serde_json::json!({"csp-report": {
        "document-uri": text, "blocked-uri": text, "source-file": text, "effective-directive": "img-src",
    }});
    let new = serde_json::json!([{"type": "csp-violation", "age": 1, "url": text, "body": {
        "documentURL": text, "blockedURL": text, "sourceFile": text, "effectiveDirective": "img-src",
    }}]);
    let prefixed = serde_json::json!({"csp-report": {
        "document-uri": format!("https://a.example/{}", String::from_utf8_lossy(data)),
        "blocked-uri": format!("https://{}", String::from_utf8_lossy(data)),
        "violated-directive": "script-src 'self'",
    }});
    for body in [old, new, prefixed] {
        report(body.to_string().as_bytes());
    }
}

fn report(body: &[u8]) {
    let Some(kept) = csp::kept(body) else { return };
    assert!(kept.elements <= MOST_ELEMENTS && kept.places.len() <= kept.elements);
    for url in kept.places.iter().flatten() {
        assert!(!url.contains(['?', '#', '@', '\r', '\n', ' ', '\0']), "{url:?}");
        assert!(url.is_ascii() && url.len() <= MOST_URL_BYTES, "{url:?}");
    }
    for record in &kept.records {
        let read: Value = serde_json::from_str(record).expect("a record is JSON");
        assert!(read.is_object() && record.len() < 8 << 10);
    }
}

/// Holds of a list of tags: ours are taken out, what is left is a list of others, and comparison is symmetric.
pub fn etag_list(data: &[u8]) {
    let [text, tag] = parts(data);
    if let List::Tags { any_ours, all_ours, others } = etag::list(text) {
        assert!(others.len() <= text.len() * 2);
        assert!(!all_ours || others.is_empty());
        assert!(any_ours || !all_ours || others.is_empty());
        match etag::list(&others) {
            // A blank behind each comma can be more than the list had room for.
            List::Malformed if others.len() > MOST_LIST_BYTES => {}
            List::Tags { any_ours, others: again, .. } => assert!(!any_ours && again == others),
            other => panic!("{other:?} of {:?}", String::from_utf8_lossy(&others)),
        }
    }
    if let Some((weakly, strongly)) = etag::names(text, tag) {
        assert!(weakly || !strongly, "what is equal strongly is equal weakly");
    }
    if let Some((weakly, strongly)) = etag::names(tag, tag) {
        assert!(weakly && strongly != tag.starts_with(b"W/"), "a tag equals itself");
    }
}

/// Secrets of which no trace may be left, each with what would be one.
const SECRETS: [(&str, &str); 6] = [
    ("Bearer s3cr3ts3cr3tQ", "s3cr3ts3"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "dozjgNry"),
    ("alice.secret@example.com", "alice.secret"),
    ("4111 1111 1111 1111", "4111 1111"),
    ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----", "MC4CAQAw"),
    ("+4915123456789", "1512345"),
];

/// Holds of redaction: a planted secret never survives, whatever stands around it, and what leaves is bounded and
/// stays as it is when it is redacted again.
pub fn redact(data: &[u8]) {
    let redactor = Redactor::new(["password", "token", "secret", "authorization", "cookie"]);
    let [around, name, raw] = parts(data);
    let (around, name) = (String::from_utf8_lossy(around), String::from_utf8_lossy(name));

    bounded(&redactor, raw);
    // What stands around a secret may spell it as well, once its controls are dropped.
    let plain = [&around, &name].map(|text| letters_and_digits(text));
    let spells = |trace| plain.iter().any(|text| text.contains(&letters_and_digits(trace)));
    for (secret, trace) in SECRETS.into_iter().filter(|(_, trace)| !spells(trace)) {
        // Between spaces, so that it is what it is: a digit beside a number makes it another number.
        let text = format!("{around} , {secret} , ");
        let kept = redactor.named("note", &text);
        assert!(!kept.contains(trace), "{kept:?} of {text:?}");

        let body = serde_json::json!({ name.as_ref(): [text, { "x": secret }] }).to_string();
        if let Ok(kept) = redactor.body(Some(b"application/json"), None, body.as_bytes()) {
            assert!(!kept.to_string().contains(trace), "{kept} of {body}");
        }
    }

    let hidden = "hunter2hunter2";
    if letters_and_digits(&name).contains(hidden) {
        return;
    }
    for name in [format!("{name}password"), format!("pass-WORD{name}"), format!("token_{name}")] {
        if !redactor.hides_name(&name) {
            // Letters of another script next to it may fold into it; then it is another name.
            continue;
        }
        let body = serde_json::json!({ name.as_str(): { "deep": hidden } , "b": [hidden.len()] }).to_string();
        let kept = redactor.body(Some(b"application/json"), None, body.as_bytes());
        assert!(!kept.is_ok_and(|kept| kept.to_string().contains(hidden)), "{body}");
        assert!(!redactor.named(&name, hidden).contains(hidden));
    }
}

fn letters_and_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Bytes as a body, a query and fields.
fn bounded(redactor: &Redactor, raw: &[u8]) {
    if let Ok(kept) = redactor.body(Some(b"application/json"), None, raw) {
        strings_are_short(&kept);
        let again = redactor.body(Some(b"application/json"), None, kept.to_string().as_bytes());
        assert_eq!(again.as_ref(), Ok(&kept), "redacted again it is something else");
    }
    let text = String::from_utf8_lossy(raw);
    let query = redactor.query(&text);
    assert!(vestibule_chain::canonical::is_object(&query), "{}", String::from_utf8_lossy(&query));
    strings_are_short(&serde_json::from_slice(&query).expect("a query is JSON"));

    let mut fields = Fields::new();
    if let Ok(value) = HeaderValue::from_bytes(raw) {
        for name in [header::COOKIE, header::AUTHORIZATION, header::REFERER, header::ORIGIN, header::CONTENT_TYPE] {
            fields.set(name, &value);
        }
        let kept = redactor.headers(&fields);
        assert!(vestibule_chain::canonical::is_object(&kept));
        let kept: Value = serde_json::from_slice(&kept).expect("fields are JSON");
        strings_are_short(&kept);
        assert!(kept.get("cookie").is_none() && kept.get("authorization").is_none());
    }
}

fn strings_are_short(value: &Value) {
    match value {
        Value::String(text) => assert!(text.len() <= MOST_STRING_BYTES, "{text:?}"),
        Value::Array(items) => items.iter().for_each(strings_are_short),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            assert!(name.len() <= MOST_STRING_BYTES, "{name:?}");
            strings_are_short(member);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
