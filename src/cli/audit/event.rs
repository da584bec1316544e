//! One event on one line, for people. Nothing in it can make it two, or speak to the terminal.

use chrono::{DateTime, Local};
use serde_json::Value;
use std::fmt::Write as _;
use vestibule_chain::printable::Printable;
use vestibule_chain::{Record, TYPE_PREFIX};

/// Letters of a value that are shown.
const LONGEST: usize = 64;
/// Members of `metadata` that are shown.
const MOST_MEMBERS: usize = 12;

/// When, which record, what, how it went, who, to what, and what else there is to say.
pub(super) fn readable(record: &Record<'_>) -> String {
    let event: Value = serde_json::from_slice(record.event).unwrap_or_default();
    let data = &event["data"];
    let kind = event["type"].as_str().unwrap_or("?");
    let kind = kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind);
    let mut line = local(event["time"].as_str().unwrap_or("?"));
    let _ = write!(line, "  {:>7}", record.seq);
    column(&mut line, kind, 22);
    let outcome = match data["status"].as_u64() {
        Some(status) => format!("{} {status}", text(&data["outcome"])),
        None => text(&data["outcome"]),
    };
    column(&mut line, &outcome, 11);
    let action = text(&data["action"]);
    // The proxy's own events have their type for an action.
    column(&mut line, if action == kind { "" } else { &action }, 18);
    column(&mut line, &text(&data["resource"]), 24);
    column(&mut line, &actor(&data["actor"]), 16);
    rest(&mut line, data);
    line.truncate(line.trim_end().len());
    line
}

/// `2026-11-22 11:03:11.482`, by the clock of whoever reads; what is no time stays as it is.
fn local(time: &str) -> String {
    match DateTime::parse_from_rfc3339(time) {
        Ok(time) => time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => format!("{:23}", shown(time)),
    }
}

fn actor(actor: &Value) -> String {
    match (text(&actor["type"]), &actor["id"]) {
        (kind, Value::Null) => kind,
        (kind, id) => format!("{kind}:{}", text(id)),
    }
}

fn rest(line: &mut String, data: &Value) {
    if let Some(spent) = data["duration_us"].as_u64() {
        let _ = write!(line, "  {}.{}ms", spent / 1000, spent % 1000 / 100);
    }
    if data["replayed"] == true {
        line.push_str("  replayed");
    }
    for (name, value) in [("client", &data["client"]["prefix"]), ("trace", &data["trace_id"])] {
        if !value.is_null() {
            let _ = write!(line, "  {name}={}", shown(&text(value)));
        }
    }
    let metadata = data["metadata"].as_object();
    for (name, value) in metadata.into_iter().flatten().filter(|(_, value)| says_something(value)).take(MOST_MEMBERS) {
        let _ = write!(line, "  {}={}", shown(name), shown(&text(value)));
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}

/// Text as it is, nothing as nothing, all else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn shown(text: &str) -> String {
    let mut shown = String::new();
    let (start, more) = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    let _ = write!(shown, "{}{more}", Printable(start));
    shown
}

/// Two spaces, then the value, as wide as the column at least.
fn column(line: &mut String, value: &str, width: usize) {
    let value = if value.is_empty() { "-".to_owned() } else { shown(value) };
    let _ = write!(line, "  {value:width$}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vestibule_chain::Digest;

    fn of(event: &Value) -> String {
        let event = event.to_string();
        let line = readable(&Record { seq: 1042, prev: Digest::ZERO, hash: Digest::ZERO, event: event.as_bytes() });
        // The time depends on where one is.
        line.get(23..).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_request_is_told_in_one_line() {
        let event = json!({
            "type": "io.vestibule.request.finished",
            "time": "2026-11-22T10:03:11.482Z",
            "data": {
                "action": "auth.login", "resource": "session:login", "outcome": "denied", "status": 401,
                "actor": { "type": "user", "id": "7f3a" }, "duration_us": 18_291, "replayed": true,
                "client": { "prefix": "203.0.113.0/24" }, "trace_id": "4bf9",
                "metadata": { "method": "post", "body": null, "headers": {}, "query": { "a": "b" } },
            },
        });
        assert_eq!(
            of(&event),
            "     1042  request.finished        denied 401   auth.login          session:login             \
             user:7f3a         18.2ms  replayed  client=203.0.113.0/24  trace=4bf9  method=post  query={\"a\":\"b\"}"
        );
    }

    #[test]
    fn what_the_proxy_says_of_itself_names_its_type_once() {
        let event = json!({
            "type": "io.vestibule.audit.gap",
            "time": "2026-11-22T10:03:11.482Z",
            "data": { "action": "audit.gap", "resource": "log", "outcome": "success", "actor": { "type": "system", "id": null },
                "metadata": { "lost": 3 } },
        });
        assert_eq!(
            of(&event),
            "     1042  audit.gap               success      -                   log                       system            lost=3"
        );
    }

    #[test]
    fn an_event_stays_on_its_line_and_off_the_terminal() {
        let evil = "\u{1b}]0;x\u{7}\r\nok: \u{202e}";
        let event = json!({ "type": evil, "time": evil, "data": {
            "action": evil, "resource": evil, "outcome": evil, "actor": { "type": evil, "id": evil },
            "client": { "prefix": evil }, "trace_id": evil, "metadata": { evil: { evil: evil } } } });
        let line =
            readable(&Record { seq: 1, prev: Digest::ZERO, hash: Digest::ZERO, event: event.to_string().as_bytes() });
        assert!(line.chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{line}");
        let long = json!({ "data": { "resource": "x".repeat(9_999), "metadata": { "a": "y".repeat(9_999) } } });
        assert!(of(&long).len() < 300);
        assert!(of(&json!(7)).contains("?"));
    }
}
