//! `tracing` events as log lines.
//!
//! The proxy engine and its libraries log through the `log` crate, for which no logger is installed: their lines can
//! quote raw heads and query strings, and what they report is in our own lines.

use super::Log;
use super::line::Line;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Turns events into lines; spans are not kept.
pub struct Events {
    log: Log,
}

impl Events {
    /// Into `log`.
    pub fn new(log: Log) -> Self {
        Self { log }
    }
}

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries that use `tracing` themselves (h2) must not say more than info, whatever the level.
        let ours = !metadata.module_path().is_some_and(|path| path.starts_with("h2"));
        ours && metadata.is_event() && self.log.admits(*metadata.level())
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let metadata = event.metadata();
        let mut line = Line::new(self.log.format(), metadata.level().as_str(), metadata.target(), &message.0);
        event.record(&mut Rest(&mut line));
        self.log.write(line);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Picks the message out of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Writes the other fields.
struct Rest<'a>(&'a mut Line);

impl Visit for Rest<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.text(field.name(), &format!("{value:?}"));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.0.text(field.name(), value);
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.plain(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.plain(field.name(), value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.plain(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.plain(field.name(), value);
    }
}
