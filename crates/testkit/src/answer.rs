//! A response as a client saw it.

use crate::fields::Fields;
use crate::wire::BodyEnd;
use bytes::Bytes;

/// A response, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// In order, case kept.
    pub fields: Fields,
    /// De-chunked, as far as it came.
    pub body: Bytes,
    /// The trailer section.
    pub trailers: Fields,
    /// How the body ended.
    pub body_end: BodyEnd,
    /// Status and fields of the interim responses before it.
    pub interim: Vec<(u16, Fields)>,
    /// Every byte of its head, the blank line included; empty in HTTP/2.
    pub raw_head: Bytes,
}

impl Answer {
    /// The first value of the field `name`; empty when there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.text()))
    }

    /// The last part of `type` of a problem (RFC 9457), e.g. `bad-host`; empty when this is no problem.
    pub fn problem(&self) -> String {
        if !self.field("content-type").starts_with("application/problem+json") {
            return String::new();
        }
        let body = self.json();
        let uri = body["type"].as_str().unwrap_or_default();
        uri.rsplit([':', '#']).next().unwrap_or_default().to_owned()
    }
}
