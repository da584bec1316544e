//! A request body on its way past: copied as far as it may be kept, never held up.

use crate::metadata::Body;
use crate::redact::{MOST_BODY_BYTES, Omitted, Redactor};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use vestibule_plugin::Fields;

/// What of the body is kept.
pub(crate) enum Capture {
    /// Nothing, and why.
    Omitted(Omitted),
    /// There is none.
    Absent,
    /// These bytes so far.
    Copying { content_type: Option<HeaderValue>, content_encoding: Option<HeaderValue>, bytes: BytesMut },
}

impl Capture {
    pub(crate) fn new(is_on: bool, declared: Option<u64>, fields: &Fields) -> Self {
        match declared {
            Some(0) => Self::Absent,
            _ if !is_on => Self::Omitted(Omitted::Off),
            Some(length) if length > MOST_BODY_BYTES as u64 => Self::Omitted(Omitted::TooLarge),
            _ => Self::Copying {
                content_type: fields.value(&header::CONTENT_TYPE),
                content_encoding: fields.value(&header::CONTENT_ENCODING),
                bytes: BytesMut::new(),
            },
        }
    }

    /// A piece went past.
    pub(crate) fn add(&mut self, piece: &Bytes) {
        let Self::Copying { bytes, .. } = self else { return };
        if bytes.len() + piece.len() > MOST_BODY_BYTES {
            *self = Self::Omitted(Omitted::TooLarge);
        } else {
            bytes.extend_from_slice(piece);
        }
    }

    /// What is told of it.
    pub(crate) fn finish(&mut self, redactor: &Redactor) -> Body {
        match std::mem::replace(self, Self::Absent) {
            Self::Absent => Body::Absent,
            Self::Omitted(why) => Body::Omitted(why),
            Self::Copying { content_type, content_encoding, bytes } => {
                let field = |value: Option<&HeaderValue>| value.map(|value| value.as_bytes().to_vec());
                let (kind, coding) = (field(content_type.as_ref()), field(content_encoding.as_ref()));
                redactor.body(kind.as_deref(), coding.as_deref(), &bytes).map_or_else(Body::Omitted, Body::Kept)
            }
        }
    }
}
