//! A batch of events: all of them can be stored, or none is.

use serde_json::Value;

use super::event::RequestEvent;
use crate::http::FieldError;

/// The most events of a batch.
pub(super) const MAX_EVENTS: usize = 500;

/// What a batch holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// In the order of the batch.
    pub(super) events: Vec<RequestEvent>,
    /// The number of events of types that are not kept.
    pub(super) dropped: usize,
}

impl Batch {
    /// Reads every event; gives one error for each that can never be stored.
    pub(super) fn read(events: Vec<Value>) -> Result<Self, Vec<FieldError>> {
        let mut batch = Self { events: Vec::with_capacity(events.len()), dropped: 0 };
        let mut errors = Vec::new();
        for (index, event) in events.into_iter().enumerate() {
            match RequestEvent::read(event, format!("/{index}")) {
                Ok(Some(event)) => batch.events.push(event),
                Ok(None) => batch.dropped += 1,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(batch) } else { Err(errors) }
    }
}
