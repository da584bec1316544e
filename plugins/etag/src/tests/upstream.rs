//! What the upstream sees, and what this plugin does not touch at all.

use super::drive::{build, get, head, ok, proxy, reply};
use crate::{Config, RouteKey};
use http::Method;
use http::header::{HeaderValue, UPGRADE};
use vestibule_plugin::{Fields, RouteId};

const OURS: &str = r#"W/"vst1-Tf02EDqsCve23Mow6uXldw""#;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn lines<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    fields.lines(name).map(|line| std::str::from_utf8(line).expect("ASCII")).collect()
}

#[test]
fn only_our_tags_go_with_the_date_beside_them() {
    for field in [OURS, &format!("{OURS}, {OURS}"), &format!(",{OURS} ,")] {
        for request in [get(), head()] {
            let sent = proxy().send(request.with("if-none-match", field).with("if-modified-since", DATE), ok("x"));
            assert!(sent.seen.is_empty(), "{field}: {:?}", sent.seen);
        }
    }
}

#[test]
fn tags_of_others_are_forwarded_in_their_order() {
    let field = format!(r#""b", {OURS} ,W/"a""#);
    let sent = proxy().send(get().with("if-none-match", &field).with("if-modified-since", DATE), ok("x"));
    assert_eq!(lines(&sent.seen, "if-none-match"), [r#""b", W/"a""#]);
    assert_eq!(lines(&sent.seen, "if-modified-since"), [DATE], "still overruled by what is left");

    let two_lines = get().with("if-none-match", r#""b""#).with("if-none-match", OURS).with("if-none-match", r#""a""#);
    assert_eq!(lines(&proxy().send(two_lines, ok("x")).seen, "if-none-match"), [r#""b", "a""#]);
}

#[test]
fn what_holds_none_of_ours_is_forwarded_byte_for_byte() {
    let long = format!("{OURS}, \"{}\"", "x".repeat(9000));
    let many = vec![OURS; 101].join(",");
    for field in [r#""b" ,,W/"a""#, "*", "nonsense", &format!("{OURS}, b"), &format!("*, {OURS}"), &long, &many] {
        let sent = proxy().send(get().with("if-none-match", field).with("if-modified-since", DATE), ok("x"));
        assert_eq!(lines(&sent.seen, "if-none-match"), [field]);
        assert_eq!(lines(&sent.seen, "if-modified-since"), [DATE]);
    }
    let two_lines = get().with("if-none-match", r#""b""#).with("if-none-match", r#""a""#);
    assert_eq!(lines(&proxy().send(two_lines, ok("x")).seen, "if-none-match"), [r#""b""#, r#""a""#]);
}

#[test]
fn other_fields_of_the_request_stay() {
    let request = get().with("cache-control", "no-cache").with("accept-encoding", "gzip").with("if-match", r#""v1""#);
    let sent = proxy().send(request.with("if-modified-since", DATE), ok("x"));
    assert_eq!(sent.seen.len(), 4);
    assert_eq!(sent.outcome, "minted");
}

#[test]
fn a_range_on_our_tag_becomes_a_full_reply() {
    let strong_form = OURS.trim_start_matches("W/");
    for tag in [OURS, strong_form] {
        let sent = proxy().send(get().with("range", "bytes=0-9").with("if-range", tag), ok("x"));
        assert!(sent.seen.is_empty(), "{:?}", sent.seen);
        assert_eq!(sent.status, 200);
    }
}

/// ET-20: a range on the application's tag, or on a date, is its business; so is one without a condition.
#[test]
fn a_range_on_another_tag_is_forwarded() {
    for condition in [r#""v1""#, DATE, r#"W/"vst1-short""#, "nonsense"] {
        let request = get().with("range", "bytes=0-9").with("if-range", condition);
        let sent = proxy().send(request, reply(206, "x").with("content-range", "bytes 0-9/20").with("etag", r#""v1""#));
        assert_eq!((lines(&sent.seen, "range"), lines(&sent.seen, "if-range")), (vec!["bytes=0-9"], vec![condition]));
        assert_eq!(sent.status, 206);
        assert_eq!(sent.fields.text("content-range"), Some("bytes 0-9/20"));
    }
    assert_eq!(lines(&proxy().send(get().with("range", "bytes=0-9"), ok("x")).seen, "range"), ["bytes=0-9"]);
}

/// ET-26: where it is off it does not attach.
#[test]
fn off_is_not_attached() {
    let Ok(off) = build(Config::default(), Some(RouteKey::Switch(false))) else { panic!("does not build") };
    let attached = |route| off.attach(&Method::GET, RouteId(route), &mut Fields::new()).is_some();
    assert!(!attached(1));
    assert!(attached(0), "other routes are as the table says");
    assert!(!attached(2), "a route that does not exist");
}

/// ET-27: writes go to the application untouched.
#[test]
fn writes_are_not_attached_to() {
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST, Method::OPTIONS] {
        assert!(proxy().attach(&method, RouteId(1), &mut Fields::new()).is_none(), "{method}");
    }
}

#[test]
fn an_upgrade_is_not_attached_to() {
    let mut fields = Fields::new();
    fields.set(UPGRADE, HeaderValue::from_static("websocket"));
    assert!(proxy().attach(&Method::GET, RouteId(1), &mut fields).is_none());
}
