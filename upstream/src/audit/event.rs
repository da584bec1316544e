//! One event of the proxy, read from its CloudEvents 1.0 form. A [`RequestEvent`] is always one that can be stored.
//!
//! Only what is stored is judged, and the bounds are wide: an event that is refused here is missing from the trail, and
//! some of its text was chosen by whoever sent the request.

use serde_json::Value;

use super::object::Object;
use super::{MAX_ACTION, MAX_USER, metadata};
use crate::http::FieldError;
use crate::id::Id;
use crate::text::{self, Invalid};
use crate::timestamp::Timestamp;

const MAX_RESOURCE: usize = 4_096;

/// What the proxy says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestEvent {
    pub(super) id: Id,
    pub(super) request_id: Id,
    pub(super) phase: Phase,
    pub(super) user_id: Option<String>,
    pub(super) action: String,
    pub(super) resource: String,
    /// A JSON object.
    pub(super) metadata: String,
    pub(super) time: Timestamp,
}

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It was about to be forwarded.
    Started,
    /// It was over, well or not.
    Ended,
}

impl Phase {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "io.vestibule.request.started" => Some(Self::Started),
            "io.vestibule.request.finished" | "io.vestibule.request.interrupted" => Some(Self::Ended),
            _ => None,
        }
    }
}

impl RequestEvent {
    /// Reads the event at `pointer`; `None` when it is of a type that is not kept.
    pub(super) fn read(event: Value, pointer: String) -> Result<Option<Self>, FieldError> {
        let mut event = Object::of(event, pointer)?;
        event.text("specversion", |version| match version {
            "1.0" => Ok(()),
            _ => Err(Invalid::new("must be 1.0")),
        })?;
        let Some(phase) = event.text("type", |kind| Ok(Phase::of(kind)))? else { return Ok(None) };
        let id = event.text("id", Id::parse)?;
        let time = event.text("time", utc)?;
        let mut data = event.object("data")?;
        data.take("schema", |schema| if schema == 1 { Ok(()) } else { Err(Invalid::new("must be 1")) })?;
        let request_id = data.text("request_id", Id::parse)?;
        let user_id = user(data.object("actor")?)?;
        let action = data.text("action", |text| text::bounded(text, 1..=MAX_ACTION))?;
        let resource = data.text("resource", |text| text::bounded(text, 1..=MAX_RESOURCE))?;
        let metadata = metadata::of(data)?;
        Ok(Some(Self { id, request_id, phase, user_id, action, resource, metadata, time }))
    }
}

/// The id of an actor that is a user; that of any other actor is no user's.
fn user(mut actor: Object) -> Result<Option<String>, FieldError> {
    let is_user = actor.text("type", |kind| Ok(kind == "user"))?;
    actor.take("id", |id| match id {
        Value::Null => Ok(None),
        Value::String(id) if is_user => text::bounded(&id, 1..=MAX_USER).map(Some),
        Value::String(_) => Ok(None),
        _ => Err(Invalid::new("must be a string or null")),
    })
}

/// A time whose offset is `Z`. Another one could carry it beyond the year 9999, where it could not be shown.
fn utc(text: &str) -> Result<Timestamp, Invalid> {
    let refused = || Invalid::new("must be an RFC 3339 time in UTC, such as 2026-01-31T12:00:00.000Z");
    if text.ends_with('Z') { Timestamp::parse(text).map_err(|_| refused()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests;
