use serde_json::json;

use super::*;

/// The event of the specification with `value` at `pointer`.
fn with(pointer: &str, value: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": "01a20000-0000-7000-8000-000000000001",
        "source": "urn:vestibule:01a20000-0000-7000-8000-00000000000c",
        "type": "io.vestibule.request.finished",
        "subject": "session:1",
        "time": "2026-11-22T10:03:11.482Z",
        "datacontenttype": "application/json",
        "data": {
            "schema": 1,
            "request_id": "01a20000-0000-7000-8000-0000000000aa",
            "actor": {"type": "user", "id": "u-1"},
            "action": "auth.login",
            "resource": "session:1",
            "route": "login",
            "outcome": "success",
            "status": 200,
            "client": {"prefix": "203.0.113.0/24", "hash": "0123456789abcdef"},
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "started_at": "2026-11-22T10:03:11.400Z",
            "duration_us": 82_000,
            "attempts": 1,
            "request_bytes": 10,
            "response_bytes": 20,
            "replayed": false,
            "metadata": {"method": "POST", "status": "in the way"}
        }
    });
    if !pointer.is_empty() {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        event.pointer_mut(parent).expect("a parent")[name] = value;
    }
    event
}

fn read(event: Value) -> Result<Option<RequestEvent>, FieldError> {
    RequestEvent::read(event, "/7".to_owned())
}

fn kept(event: Value) -> RequestEvent {
    read(event).expect("accepted").expect("kept")
}

#[test]
fn an_event_becomes_the_columns_of_its_row() {
    let event = kept(with("", Value::Null));
    assert_eq!(event.phase, Phase::Ended);
    assert_eq!(event.user_id.as_deref(), Some("u-1"));
    assert_eq!((event.action.as_str(), event.resource.as_str()), ("auth.login", "session:1"));
    assert_eq!(event.time.to_string(), "2026-11-22T10:03:11.482000Z");
    let metadata: Value = serde_json::from_str(&event.metadata).expect("JSON");
    assert_eq!(
        metadata,
        json!({
            "method": "POST", "outcome": "success", "status": 200, "route": "login", "replayed": false,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "duration_us": 82_000,
            "client": {"prefix": "203.0.113.0/24", "hash": "0123456789abcdef"}
        })
    );
}

#[test]
fn three_types_are_kept_and_no_other_is_judged() {
    for (kind, phase) in [("started", Phase::Started), ("finished", Phase::Ended), ("interrupted", Phase::Ended)] {
        assert_eq!(kept(with("/type", json!(format!("io.vestibule.request.{kind}")))).phase, phase);
    }
    for kind in ["io.vestibule.security.auth_denied", "io.vestibule.audit.gap", "request.started", ""] {
        let event = json!({"specversion": "1.0", "type": kind, "data": 1});
        assert_eq!(read(event), Ok(None), "{kind}");
    }
}

#[test]
fn only_a_user_has_a_user_id() {
    for kind in ["api_key", "anonymous", "admin", "system", "later"] {
        assert_eq!(kept(with("/data/actor", json!({"type": kind, "id": "u-1"}))).user_id, None, "{kind}");
    }
    assert_eq!(kept(with("/data/actor", json!({"type": "user", "id": null}))).user_id, None);
    assert_eq!(kept(with("/data/actor", json!({"type": "user"}))).user_id, None);
}

#[test]
fn what_cannot_be_stored_is_refused_in_its_place() {
    for (pointer, values) in [
        ("/specversion", vec![json!("0.3"), json!(1.0), Value::Null]),
        ("/type", vec![json!(1), Value::Null]),
        ("/id", vec![json!("x"), json!("01a20000-0000-4000-8000-000000000001"), Value::Null]),
        (
            "/time",
            vec![
                json!("2026-11-22"),
                json!("2026-11-22T10:03:11.482+00:00"),
                json!("9999-12-31T23:59:59-23:59"),
                json!(1_700_000_000),
            ],
        ),
        ("/data", vec![json!([]), Value::Null]),
        ("/data/schema", vec![json!(2), json!("1"), Value::Null]),
        ("/data/request_id", vec![json!(""), Value::Null]),
        ("/data/actor", vec![json!("u-1"), Value::Null]),
        ("/data/actor/type", vec![json!(1), Value::Null]),
        ("/data/actor/id", vec![json!(1), json!(""), json!("a\0"), json!("x".repeat(257))]),
        ("/data/action", vec![json!(""), json!("a\0"), json!("x".repeat(1_025)), json!(["a"])]),
        ("/data/resource", vec![json!(""), json!("\0"), json!("x".repeat(4_097)), Value::Null]),
        ("/data/metadata", vec![json!([]), json!("{}"), json!({"query": "x".repeat(65_536)})]),
        ("/data/outcome", vec![json!("fine"), json!(true)]),
        ("/data/status", vec![json!(99), json!(1_000), json!(200.5), json!("200"), json!(-200)]),
        ("/data/route", vec![json!(1), json!("x".repeat(1_025))]),
        ("/data/client", vec![json!("203.0.113.0/24"), json!({"prefix": 1}), json!({"hash": "x".repeat(65)})]),
        ("/data/trace_id", vec![json!("4BF92F3577B34DA6A3CE929D0E0E4736"), json!(""), json!(1)]),
        ("/data/duration_us", vec![json!(-1), json!(9_007_199_254_740_992_u64), json!("1")]),
        ("/data/replayed", vec![json!("false"), json!(0)]),
    ] {
        for value in values {
            let error = read(with(pointer, value.clone())).expect_err(pointer);
            assert_eq!(error.pointer, format!("/7{pointer}"), "{value}");
        }
    }
    assert_eq!(read(json!("x")).expect_err("refused").pointer, "/7");
}

#[test]
fn both_ends_of_a_bound_are_part_of_it() {
    for (pointer, value) in [
        ("/data/actor/id", json!("x".repeat(256))),
        ("/data/action", json!("ä".repeat(1_024))),
        ("/data/resource", json!("ä".repeat(4_096))),
        ("/data/status", json!(100)),
        ("/data/status", json!(999)),
        ("/data/duration_us", json!(9_007_199_254_740_991_u64)),
        ("/time", json!("0000-01-01T00:00:00.000Z")),
        ("/time", json!("9999-12-31T23:59:59.999999Z")),
    ] {
        assert!(read(with(pointer, value)).is_ok(), "{pointer}");
    }
}

#[test]
fn what_a_started_does_not_know_yet_is_null() {
    for name in ["outcome", "status", "route", "client", "trace_id", "duration_us", "replayed"] {
        let mut event = with("/type", json!("io.vestibule.request.started"));
        event["data"].as_object_mut().expect("an object").remove(name);
        let metadata: Value = serde_json::from_str(&kept(event).metadata).expect("JSON");
        assert_eq!(metadata.get(name), Some(&Value::Null), "{name}");
    }
    let bare: Value = serde_json::from_str(&kept(with("/data/metadata", Value::Null)).metadata).expect("JSON");
    assert_eq!(bare.as_object().map(serde_json::Map::len), Some(7));
}

/// Whoever sends a request with U+0000 in its body must not stay out of the trail by it.
#[test]
fn u_0000_in_metadata_is_kept_as_its_escape() {
    let event = kept(with("/data/metadata", json!({"body": {"name": "a\0"}})));
    assert!(event.metadata.contains("a\\u0000") && !event.metadata.contains('\0'));
}
