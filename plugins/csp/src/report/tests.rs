use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn only(value: &Value) -> Element<'static> {
    let body = body(value).leak();
    let reports = read(body).expect("a known shape");
    assert_eq!((reports.elements.len(), reports.unread), (1, 0));
    reports.elements.into_iter().next().expect("one")
}

fn violation(value: &Value) -> Violation<'static> {
    match only(value) {
        Element::Violation(violation) => *violation,
        other => panic!("{other:?}"),
    }
}

fn old(report: Value) -> Value {
    let mut whole = json!({"csp-report": {"document-uri": "https://a.example/", "violated-directive": "img-src"}});
    if let (Value::Object(report), Some(into)) = (report, whole["csp-report"].as_object_mut()) {
        into.extend(report);
    }
    whole
}

fn new(report: Value, body: Value) -> Value {
    let mut whole = json!({
        "type": "csp-violation",
        "url": "https://a.example/",
        "body": {"effectiveDirective": "img-src"}
    });
    for (from, into) in [(body, "body"), (report, "")] {
        let into = if into.is_empty() { whole.as_object_mut() } else { whole[into].as_object_mut() };
        if let (Value::Object(from), Some(into)) = (from, into) {
            into.extend(from);
        }
    }
    whole
}

/// CSP-08, the shapes.
#[test]
fn both_shapes_say_the_same() {
    let older = violation(&json!({"csp-report": {
        "document-uri": "https://a.example/x", "referrer": "https://secret/", "violated-directive": "img-src 'self'",
        "effective-directive": "img-src", "original-policy": "img-src 'self'; report-uri /r", "disposition": "reporting",
        "blocked-uri": "https://b.example/y.png", "line-number": 12, "column-number": 4,
        "source-file": "https://a.example/x.js", "status-code": 200, "script-sample": "secret"
    }}));
    let newer = json!({
        "type": "csp-violation", "age": 1500, "url": "https://a.example/x", "user_agent": "secret",
        "body": {
            "documentURL": "https://a.example/x", "referrer": "https://secret/", "effectiveDirective": "img-src",
            "originalPolicy": "img-src 'self'; report-uri /r", "disposition": "report",
            "blockedURL": "https://b.example/y.png", "lineNumber": 12, "columnNumber": 4,
            "sourceFile": "https://a.example/x.js", "statusCode": 200, "sample": "secret"
        }
    });
    assert_eq!(violation(&newer).age, Duration::from_millis(1500));
    assert_eq!(Violation { age: Duration::ZERO, ..violation(&newer) }, older);
    assert_eq!((older.line, older.column, older.status), (Some(12), Some(4), Some(200)));
    assert_eq!(older.disposition, Disposition::Report);
    let batch = body(&json!([newer, newer, newer]));
    assert_eq!(read(&batch).expect("a batch").elements.len(), 3);
    assert_eq!(read(b" [] "), Ok(Reports::default()));
}

#[test]
fn what_is_no_report_is_malformed() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{}",
        "1",
        "null",
        "\"csp-report\"",
        "{} {}",
        "[] x",
        "nonsense",
        "[[[[[[[[[1]]]]]]]]]",
        "{\"csp-report\": 1}",
        "{\"csp-report\": []}",
        "{\"type\": \"csp-violation\"}",
        "{\"body\": {}}",
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(read(b"\xff"), Err(Malformed("the body is not UTF-8")));
    assert_eq!(read(b"[[[[[[[[[1]]]]]]]]]"), Err(Malformed("the body is nested more than 8 levels deep")));
    assert_eq!(read(b"[[[[[[[[1]]]]]]]]").map(|reports| reports.elements), Ok(vec![Element::Invalid]));
}

#[test]
fn a_bad_element_takes_no_other_with_it() {
    let good = new(json!({}), json!({}));
    let batch = json!([1, null, "x", [], {}, {"type": 1, "body": {}}, {"type": "csp-violation"},
        {"type": "csp-violation", "body": []}, {"type": "csp-violation", "body": {}}, good]);
    let text = body(&batch);
    let reports = read(&text).expect("a batch");
    let invalid = reports.elements.iter().filter(|element| **element == Element::Invalid).count();
    assert_eq!((reports.elements.len(), invalid), (10, 9));
    assert!(matches!(reports.elements[9], Element::Violation(_)));
}

#[test]
fn what_is_needed_and_missing_is_invalid() {
    for report in [
        old(json!({"document-uri": 7})),
        old(json!({"document-uri": ""})),
        old(json!({"violated-directive": ""})),
        old(json!({"violated-directive": null})),
        new(json!({"url": ""}), json!({})),
        new(json!({"age": -1}), json!({})),
        new(json!({"age": "5"}), json!({})),
        new(json!({"age": null}), json!({})),
        new(json!({"age": 86_400_001}), json!({})),
        new(json!({"age": 1e300}), json!({})),
    ] {
        assert_eq!(only(&report), Element::Invalid, "{report}");
    }
    assert_eq!(violation(&new(json!({"age": 86_400_000}), json!({}))).age, MAX_AGE);
}

#[test]
fn either_name_of_a_directive_serves() {
    let directive = |report| violation(&old(report)).directive.as_str();
    assert_eq!(directive(json!({})), "img-src");
    assert_eq!(directive(json!({"violated-directive": "Script-Src 'self' x"})), "script-src");
    assert_eq!(directive(json!({"effective-directive": "style-src-elem"})), "style-src-elem");
    assert_eq!(directive(json!({"effective-directive": " "})), "img-src");
    assert_eq!(directive(json!({"effective-directive": "x-made-up"})), "other");
}

#[test]
fn members_of_another_type_count_as_absent() {
    let odd = violation(&old(json!({
        "blocked-uri": 1, "source-file": [], "line-number": "12", "column-number": 1.5, "status-code": 1000,
        "disposition": "made-up", "original-policy": {}
    })));
    assert_eq!((odd.line, odd.column, odd.status, odd.policy), (None, None, None, None));
    assert_eq!((&*odd.blocked, &*odd.source, odd.disposition), ("", "", Disposition::Unknown));
    let lines = [(0, Some(0)), (10_000_000, Some(10_000_000)), (10_000_001, None), (-1, None)];
    for (line, read) in lines {
        assert_eq!(violation(&old(json!({"line-number": line}))).line, read);
    }
}

#[test]
fn a_number_that_no_float_holds_is_absent_and_takes_nothing_with_it() {
    for number in ["1e400", "-1e400", "1E+999", "123456789012345678901234567890"] {
        let text = format!(
            r#"{{"csp-report": {{"document-uri": "https://a.example/", "violated-directive": "img-src",
                "line-number": {number}, "column-number": {number}, "status-code": {number}, "source-file": {number}}}}}"#
        );
        let reports = read(text.as_bytes()).expect("a known shape");
        let [Element::Violation(found)] = &*reports.elements else { panic!("{number}: {reports:?}") };
        assert_eq!((found.line, found.column, found.status, &*found.source), (None, None, None, ""), "{number}");
    }
    let aged = r#"{"type": "csp-violation", "age": 1e400, "url": "https://a.example/",
        "body": {"effectiveDirective": "img-src"}}"#;
    assert_eq!(read(aged.as_bytes()).map(|reports| reports.elements), Ok(vec![Element::Invalid]));
    let named = r#"{"type": "csp-violation", "age": 0, "url": 1e400,
        "body": {"documentURL": "https://a.example/", "effectiveDirective": "img-src"}}"#;
    let reports = read(named.as_bytes()).expect("a known shape");
    assert!(matches!(&*reports.elements, [Element::Violation(_)]), "{named}: {reports:?}");
}

/// CSP-11, the types.
#[test]
fn other_types_are_told_apart() {
    for kind in OTHER_TYPES {
        assert_eq!(only(&json!({"type": kind, "body": {"secret": 1}})), Element::Other(kind));
    }
    assert_eq!(only(&json!({"type": "made-up", "body": null})), Element::Other("other"));
}

/// CSP-10, the reading.
#[test]
fn a_batch_is_read_to_its_hundredth_element() {
    let text = body(&Value::Array(vec![new(json!({}), json!({})); 150]));
    let reports = read(&text).expect("a batch");
    assert_eq!((reports.elements.len(), reports.unread), (100, 50));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_tokens_are_read_or_refused(text in r#"([\[\]{}:,]|"(csp-report|type|body|age|url|document-uri)"|-?[0-9]{1,3}|null|"csp-violation"){0,40}"#) {
        let valid = serde_json::from_str::<Value>(&text);
        if read(text.as_bytes()).is_ok() {
            prop_assert!(valid.is_ok(), "{text}");
        }
    }
}
