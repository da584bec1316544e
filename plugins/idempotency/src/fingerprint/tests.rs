use super::*;
use crate::names::Names;
use vestibule_plugin::Fields;
use vestibule_plugin::Secret;

fn of_parts(method: &str, authority: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Fingerprint {
    with_kind(FingerprintKind::Raw, method, authority, target, fields, body)
}

fn with_kind(
    kind: FingerprintKind,
    method: &str,
    authority: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Fingerprint {
    let mut map = Fields::new();
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().expect("a name");
        map.append(name, http::HeaderValue::from_str(value).expect("a value"));
    }
    let names = Names::new(&Secret::new([7; 32]), "vestibule");
    of(names.fingerprint(), kind, &Head::new(method, "http", authority, target, &map), body)
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn every_part_of_a_request_counts() {
    let first = of_parts("POST", "h", "/a?x=1", JSON, b"{}");
    assert_eq!(of_parts("POST", "h", "/a?x=1", JSON, b"{}"), first);
    for other in [
        of_parts("PATCH", "h", "/a?x=1", JSON, b"{}"),
        of_parts("POST", "i", "/a?x=1", JSON, b"{}"),
        of_parts("POST", "h", "/b?x=1", JSON, b"{}"),
        of_parts("POST", "h", "/a?x=2", JSON, b"{}"),
        of_parts("POST", "h", "/a", JSON, b"{}"),
        of_parts("POST", "h", "/a?x=1", &[], b"{}"),
        of_parts("POST", "h", "/a?x=1", &[JSON[0], ("content-encoding", "gzip")], b"{}"),
        of_parts("POST", "h", "/a?x=1", JSON, b"{ }"),
        of_parts("POST", "h", "/a?x=1", JSON, b""),
        of_parts("POST", "h/a", "?x=1", JSON, b"{}"),
    ] {
        assert_ne!(other, first);
    }
}

#[test]
fn the_default_port_and_letters_of_a_host_mean_nothing() {
    let first = of_parts("POST", "example.org", "/", &[], b"");
    assert_eq!(of_parts("POST", "Example.ORG:80", "/", &[], b""), first);
    assert_ne!(of_parts("POST", "example.org:8080", "/", &[], b""), first);
    assert_ne!(of_parts("POST", "example.org:443", "/", &[], b""), first);
    assert_eq!(plain_authority("https", "a:443"), "a");
    assert_eq!(plain_authority("https", "[::1]:443"), "[::1]");
}

/// ID-13.
#[test]
fn json_is_compared_by_what_it_means_where_that_is_wanted() {
    let pair = |kind, content_type: &str, encoding: Option<&str>| {
        let mut fields = vec![("content-type", content_type)];
        fields.extend(encoding.map(|coding| ("content-encoding", coding)));
        let one = with_kind(kind, "POST", "h", "/", &fields, br#"{"a":1,"b":2}"#);
        one == with_kind(kind, "POST", "h", "/", &fields, br#"{ "b": 2, "a": 1 }"#)
    };
    assert!(pair(FingerprintKind::Json, "application/json", None));
    assert!(pair(FingerprintKind::Json, "Application/JSON; charset=utf-8", None));
    assert!(pair(FingerprintKind::Json, "application/merge-patch+json", None));
    assert!(!pair(FingerprintKind::Json, "application/json", Some("gzip")));
    assert!(!pair(FingerprintKind::Json, "text/plain", None));
    assert!(!pair(FingerprintKind::Raw, "application/json", None));
}

#[test]
fn what_is_no_json_is_compared_by_its_bytes() {
    let of = |body: &[u8]| with_kind(FingerprintKind::Json, "POST", "h", "/", JSON, body);
    assert_eq!(of(b"{\"a\":1,"), of(b"{\"a\":1,"));
    assert_ne!(of(b"{\"a\":1,"), of(b"{ \"a\":1,"));
    assert_ne!(of(br#"{"a":1,"a":2}"#), of(br#"{"a":2,"a":1}"#));
}

#[test]
fn a_form_is_the_same_under_another_boundary() {
    let of = |kind, boundary: &str, part: &str| {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let body = format!("--{boundary}\r\n\r\n{part}\r\n--{boundary}--\r\n");
        with_kind(kind, "POST", "h", "/", &[("content-type", &content_type)], body.as_bytes())
    };
    for kind in [FingerprintKind::Raw, FingerprintKind::Json] {
        assert_eq!(of(kind, "one", "x"), of(kind, "another", "x"));
        assert_ne!(of(kind, "one", "x"), of(kind, "one", "y"));
    }
}
