//! A response head on its way from an upstream, or from here, to a client.

use bytes::Bytes;
use http::StatusCode;
use vestibule_plugin::{Fields, ResponseHead as Edited};

/// A response head, an interim one included.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// A reason phrase other than the usual one of the status.
    pub reason: Option<Bytes>,
    /// The fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: None, fields: Fields::new() }
    }

    /// As plugins see it.
    pub fn edited(&mut self) -> Edited<'_> {
        Edited { status: &mut self.status, fields: &mut self.fields }
    }

    /// Whether it comes before the final one. A 101 is final.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}
