//! An event before it has its place in the log: everything but its id and its position. Pure.

use crate::identity::{Actor, Client};
use crate::members::Members;
use crate::metadata::Metadata;
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;
use vestibule_chain::{ChainId, TYPE_PREFIX, canonical, write_rfc3339};

/// Version of the members of `data`.
const SCHEMA: u64 = 1;
/// Most bytes of an event.
const MAX_EVENT: usize = 64 << 10;
/// Room for the usual texts of a draft.
const USUAL: usize = 1024;
/// What stands around `data`, at most: names, id, source, time, type.
const AROUND: usize = 512;

/// An event on its way to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Draft {
    /// Type without its prefix.
    pub(crate) kind: &'static str,
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What it means for the requests under way.
    pub(crate) mark: Mark,
    /// `data` as canonical JSON, the subject, and the action: one piece of memory, as it is made on one thread and freed on
    /// another, which is dear.
    texts: Vec<u8>,
    /// Where the subject begins, and where the action does.
    cuts: (usize, usize),
}

/// What an event means for the requests under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// Nothing.
    None,
    /// This request is under way from now on.
    Opens(Uuid),
    /// It is over.
    Closes(Uuid),
}

/// The members of `data`, as they apply.
#[derive(Default)]
pub(crate) struct Data<'a> {
    pub(crate) action: Cow<'static, str>,
    pub(crate) actor: Actor<'a>,
    pub(crate) resource: Cow<'a, str>,
    pub(crate) route: Option<&'a str>,
    pub(crate) outcome: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) client: Option<Client>,
    pub(crate) metadata: Metadata,
    /// Of a request.
    pub(crate) request: Option<RequestData>,
}

/// What only records of a request have.
#[derive(Clone, Copy)]
pub(crate) struct RequestData {
    pub(crate) request_id: Uuid,
    pub(crate) trace_id: u128,
    pub(crate) started_ms: u64,
    pub(crate) replayed: bool,
    /// Once it is over.
    pub(crate) end: Option<EndData>,
}

/// What is known of a request that is over.
#[derive(Clone, Copy)]
pub(crate) struct EndData {
    pub(crate) duration_us: u64,
    pub(crate) attempts: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl Draft {
    /// Of these members. One that would be too large goes without its metadata.
    pub(crate) fn new(kind: &'static str, at_ms: u64, mark: Mark, data: Data<'_>) -> Self {
        let written = data.write(Size::Whole);
        if written.len() + data.resource.len() + AROUND > MAX_EVENT {
            let bare = Data { metadata: Metadata::default(), ..data };
            return Self::of_texts(kind, at_ms, mark, bare.write(Size::Truncated), &bare.resource, &bare.action);
        }
        Self::of_texts(kind, at_ms, mark, written, &data.resource, &data.action)
    }

    fn of_texts(kind: &'static str, at_ms: u64, mark: Mark, data: Vec<u8>, subject: &str, action: &str) -> Self {
        let mut texts = data;
        let subject_from = texts.len();
        texts.extend_from_slice(subject.as_bytes());
        let action_from = texts.len();
        texts.extend_from_slice(action.as_bytes());
        Self { kind, at_ms, mark, texts, cuts: (subject_from, action_from) }
    }

    /// What was done, for the count of what was lost.
    pub(crate) fn action(&self) -> &str {
        text(&self.texts[self.cuts.1..])
    }

    fn subject(&self) -> &str {
        text(&self.texts[self.cuts.0..self.cuts.1])
    }

    fn data(&self) -> &[u8] {
        &self.texts[..self.cuts.0]
    }

    /// From an event that was logged before: the same data, as another type. `None` when it is no event.
    pub(crate) fn of_event(kind: &'static str, at_ms: u64, mark: Mark, subject: &str, data: &Value) -> Self {
        let action = data.get("action").and_then(Value::as_str).unwrap_or("unknown");
        let mut written = Vec::new();
        canonical::value(&mut written, data);
        Self::of_texts(kind, at_ms, mark, written, subject, action)
    }

    /// Bytes that it takes while it waits.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.texts.capacity()
    }

    /// The event, canonical.
    pub(crate) fn write(&self, out: &mut Vec<u8>, id: Uuid, chain: ChainId) {
        let mut buffer = Uuid::encode_buffer();
        out.extend_from_slice(b"{\"data\":");
        out.extend_from_slice(self.data());
        out.extend_from_slice(b",\"datacontenttype\":\"application/json\",\"id\":\"");
        out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
        out.extend_from_slice(b"\",\"source\":\"urn:vestibule:");
        out.extend_from_slice(chain.0.hyphenated().encode_lower(&mut buffer).as_bytes());
        out.extend_from_slice(b"\",\"specversion\":\"1.0\",\"subject\":");
        canonical::string(out, self.subject());
        out.extend_from_slice(b",\"time\":\"");
        write_rfc3339(out, self.at_ms);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(TYPE_PREFIX.as_bytes());
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// What was put in as text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Whole,
    Truncated,
}

impl Data<'_> {
    /// Members in the order of their names.
    fn write(&self, size: Size) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL);
        let mut members = Members::new(&mut out);
        members.text("action", &self.action);
        members.with("actor", |out| self.actor.write(out));
        if let Some(end) = self.end() {
            members.number("attempts", end.attempts);
        }
        if let Some(client) = &self.client {
            members.with("client", |out| client.write(out));
        }
        if let Some(end) = self.end() {
            members.number("duration_us", end.duration_us);
        }
        members.json("metadata", self.metadata.json());
        members.plain("outcome", self.outcome);
        if let Some(request) = &self.request {
            members.json("replayed", if request.replayed { b"true" } else { b"false" });
        }
        if let Some(end) = self.end() {
            members.number("request_bytes", end.request_bytes);
        }
        if let Some(request) = &self.request {
            members.plain("request_id", request.request_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        members.text("resource", &self.resource);
        if let Some(end) = self.end() {
            members.number("response_bytes", end.response_bytes);
        }
        match self.route {
            Some(route) => members.text("route", route),
            None => members.json("route", b"null"),
        }
        members.number("schema", SCHEMA);
        if let Some(request) = &self.request {
            members.with("started_at", |out| {
                out.push(b'"');
                write_rfc3339(out, request.started_ms);
                out.push(b'"');
            });
        }
        match self.status {
            Some(status) => members.number("status", status.into()),
            None => members.json("status", b"null"),
        }
        if let Some(request) = &self.request {
            let digits = Uuid::from_u128(request.trace_id).simple();
            members.plain("trace_id", digits.encode_lower(&mut Uuid::encode_buffer()));
        }
        if size == Size::Truncated {
            members.json("truncated", b"true");
        }
        members.end();
        out
    }

    fn end(&self) -> Option<&EndData> {
        self.request.as_ref()?.end.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(draft: &Draft) -> (Vec<u8>, Value) {
        let mut event = Vec::new();
        draft.write(&mut event, Uuid::now_v7(), ChainId(Uuid::nil()));
        assert!(canonical::is_object(&event), "{}", String::from_utf8_lossy(&event));
        let value = serde_json::from_slice(&event).expect("JSON");
        (event, value)
    }

    fn whole(metadata: Value) -> Draft {
        let end = EndData { duration_us: 7, attempts: 1, request_bytes: u64::MAX, response_bytes: 3 };
        let data = Data {
            action: "auth.login".into(),
            resource: "session:\"é\"".into(),
            route: Some("login"),
            outcome: "success",
            status: Some(200),
            metadata: metadata.into(),
            request: Some(RequestData {
                request_id: Uuid::nil(),
                trace_id: 255,
                started_ms: 0,
                replayed: true,
                end: Some(end),
            }),
            ..Data::default()
        };
        Draft::new("request.finished", 1_795_341_791_482, Mark::None, data)
    }

    /// AUD-07: what is written is a CloudEvent, and canonical.
    #[test]
    fn an_event_is_canonical_and_whole() {
        let (_, event) = written(&whole(json!({"z": 1, "a": [1.5]})));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "io.vestibule.request.finished");
        assert_eq!(event["source"], "urn:vestibule:00000000-0000-0000-0000-000000000000");
        assert_eq!(event["subject"], "session:\"é\"");
        assert_eq!(event["time"], "2026-11-22T10:03:11.482Z");
        let data = &event["data"];
        assert_eq!(data["metadata"], json!({"a": ["1.5"], "z": 1}));
        assert_eq!(data["trace_id"], "000000000000000000000000000000ff");
        assert_eq!((&data["schema"], &data["status"], &data["duration_us"]), (&json!(1), &json!(200), &json!(7)));
        assert_eq!(data["request_bytes"], "18446744073709551615");
        assert_eq!(data["actor"], json!({"type": "anonymous", "id": null}));
    }

    #[test]
    fn one_that_is_too_large_goes_without_metadata() {
        let (event, value) = written(&whole(json!({"body": "x".repeat(70_000)})));
        assert!(event.len() < 2000);
        assert_eq!((&value["data"]["metadata"], &value["data"]["truncated"]), (&json!({}), &json!(true)));
        let (event, value) = written(&whole(json!({"body": "x".repeat(60_000)})));
        assert!(event.len() <= MAX_EVENT && value["data"].get("truncated").is_none());
    }
}
