//! Log lines on stderr: flat fields, `ts` first, one line an event and at most 8 KiB of it.
//!
//! No line holds a query string, a header value, a body or SQL.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LogFormat;
use crate::timestamp::Timestamp;

const MAX_VALUE_BYTES: usize = 2_048;
const MAX_LINE_BYTES: usize = 8_192;

/// Sends events of level `info` and above to stderr from now on.
pub(crate) fn start(format: LogFormat) {
    tracing_subscriber::registry().with(Lines(format).with_filter(LevelFilter::INFO)).init();
}

/// What stands behind an error, outermost cause first, without the error itself.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing into a String cannot fail.
        let _ = write!(text, "{separator}{cause}");
        next = cause.source();
    }
    text
}

/// The longest start of `text` that has at most `bytes` bytes and ends between characters.
pub(crate) fn clipped(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

struct Lines(LogFormat);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(vec![
            ("ts", Value::from(Timestamp::now().to_string())),
            ("level", Value::from(event.metadata().level().as_str().to_ascii_lowercase())),
            ("target", Value::from(event.metadata().target())),
        ]);
        event.record(&mut fields);
        let line = match self.0 {
            LogFormat::Json => fields.json(),
            LogFormat::Text => fields.text(),
        };
        // A log that cannot be written must not stop the service.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn json(&self) -> String {
        self.line(['{', '}'], ",", |name, value| format!("\"{name}\":{value}"))
    }

    fn text(&self) -> String {
        self.line([' ', ' '], " ", |name, value| match (name, value) {
            ("ts" | "level" | "msg", Value::String(text)) if !text.contains(char::is_control) => text.clone(),
            _ => format!("{name}={value}"),
        })
    }

    /// Leaves out whole fields at the end rather than write a line that is too long.
    fn line(&self, ends: [char; 2], separator: &str, show: impl Fn(&str, &Value) -> String) -> String {
        let mut line = String::from(ends[0]);
        for (at, (name, value)) in self.0.iter().enumerate() {
            let shown = show(name, value).replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            if line.len() + separator.len() + shown.len() + 2 > MAX_LINE_BYTES {
                break;
            }
            if at > 0 {
                line.push_str(separator);
            }
            line.push_str(&shown);
        }
        line.push(ends[1]);
        let mut line = line.trim().to_owned();
        line.push('\n');
        line
    }

    fn push(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        // The message comes last from `tracing`, and people look for it early.
        let at = if name == "msg" { self.0.len().min(3) } else { self.0.len() };
        self.0.insert(at, (name, value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::from(clipped(value, MAX_VALUE_BYTES)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_values_hold() {
        let fields = Fields(vec![("msg", "a\nb\u{2028}\"".into()), ("status", 200.into())]);
        let line = fields.json();
        assert_eq!(line.matches('\n').count(), 1);
        let back: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(back["msg"], "a\nb\u{2028}\"");
        assert_eq!(back["status"], 200);
    }

    #[test]
    fn a_long_line_loses_whole_fields() {
        let long = "x".repeat(MAX_LINE_BYTES);
        let fields = Fields(vec![("msg", "short".into()), ("path", long.into())]);
        assert_eq!(fields.json(), "{\"msg\":\"short\"}\n");
    }

    #[test]
    fn a_text_line_shows_the_same_fields() {
        let fields = Fields(vec![("msg", "request".into()), ("status", 200.into())]);
        assert_eq!(fields.text(), "request status=200\n");
    }

    #[test]
    fn clipping_never_splits_a_character() {
        assert_eq!(clipped("aä", 2), "a");
        assert_eq!(clipped("aä", 3), "aä");
    }
}
