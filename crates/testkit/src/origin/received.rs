//! What reached an origin.

use crate::fields::Fields;
use crate::wire::{BodyEnd, Head};
use bytes::Bytes;

/// A request as an origin got it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Which request of the origin it is, from 1.
    pub number: usize,
    /// Which connection of the origin it came on, from 1.
    pub connection: usize,
    /// Which request of that connection it is, from 1: above 1 the connection was reused.
    pub nth_on_connection: usize,
    /// As written.
    pub method: String,
    /// The request target as written; `:path` in HTTP/2.
    pub target: String,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// `:authority` in HTTP/2, else empty.
    pub authority: String,
    /// In order, case kept; without pseudo-headers.
    pub fields: Fields,
    /// Every byte of the head, the blank line included; empty in HTTP/2.
    pub raw_head: Bytes,
    /// De-chunked, as far as it was read.
    pub body: Bytes,
    /// The trailer section.
    pub trailers: Fields,
    /// How the body ended.
    pub body_end: BodyEnd,
}

impl Received {
    /// The first value of the field `name`; empty when there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn from_head(head: Head) -> Self {
        let mut parts = head.start.splitn(3, ' ').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (method, target, version) = (part(), part(), part());
        Self { method, target, version, fields: head.fields, raw_head: head.raw, ..Self::default() }
    }
}
