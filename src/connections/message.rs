//! One request on its way to an upstream, before it is written in the words of a protocol.

use super::upload::UploadReader;
use bytes::Bytes;
use http::Method;
use std::borrow::Cow;
use vestibule_plugin::Fields;

/// A request head, as one attempt sends it. Who writes it adds the framing and nothing else.
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The fields, without those of framing and of connections.
    pub fields: Fields,
    /// Path and query in origin-form, percent-encoded, or `*`.
    pub target: &'a [u8],
    /// `Host` for HTTP/1.1, `:authority` for HTTP/2.
    pub authority: Cow<'a, [u8]>,
    /// `:scheme` for HTTP/2.
    pub scheme: &'static str,
    /// A switch of protocols is asked for.
    pub switch: Switch,
}

/// Whether a request asks the upstream to switch protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// A WebSocket handshake.
    Asked,
    /// None: a 101 would be an error.
    NotAsked,
}

/// A request body, as one attempt sends it.
pub enum RequestBody {
    /// No body.
    None,
    /// All of it is here.
    Whole(Bytes),
    /// It comes while it is sent.
    Streamed {
        /// Where it comes from.
        from: UploadReader,
        /// Bytes, where that is known.
        length: Option<u64>,
    },
}

/// Methods whose requests mean an empty body when they have none (RFC 9110 section 8.6; QUERY: RFC
/// 10008).
const WITH_CONTENT: [&str; 4] = ["POST", "PUT", "PATCH", "QUERY"];

/// How the end of a request body is told to an HTTP/1.1 server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no field says so.
    None,
    /// `content-length`
    Length(u64),
    /// `transfer-encoding: chunked`
    Chunked,
}

impl RequestBody {
    /// The framing in HTTP/1.1. HTTP/2 says by ending the stream that there is no body; HTTP/1.1
    /// has to say it for methods that would have one.
    pub fn framing(&self, method: &Method) -> Framing {
        match self {
            Self::None if WITH_CONTENT.contains(&method.as_str()) => Framing::Length(0),
            Self::None => Framing::None,
            Self::Whole(bytes) => Framing::Length(bytes.len() as u64),
            Self::Streamed { length: Some(length), .. } => Framing::Length(*length),
            Self::Streamed { length: None, .. } => Framing::Chunked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::upload::{Replay, upload};
    use super::*;
    use crate::memory_budget::MemoryBudget;

    #[test]
    fn a_body_is_framed_once_and_its_absence_is_said_where_it_matters() {
        let room = MemoryBudget::for_tests(0).nothing_yet(vestibule_plugin::ClientAddress::Local);
        let (_sender, upload) = upload(room);
        let streamed =
            |length| RequestBody::Streamed { from: upload.reader(Replay::Dropped).expect("nothing was sent"), length };
        let query = Method::from_bytes(b"QUERY").expect("a method");
        for (body, method, framing) in [
            (RequestBody::None, Method::GET, Framing::None),
            (RequestBody::None, Method::DELETE, Framing::None),
            (RequestBody::None, Method::POST, Framing::Length(0)),
            (RequestBody::None, query, Framing::Length(0)),
            (RequestBody::Whole(Bytes::new()), Method::GET, Framing::Length(0)),
            (RequestBody::Whole(Bytes::from_static(b"abc")), Method::PUT, Framing::Length(3)),
            (streamed(Some(7)), Method::GET, Framing::Length(7)),
            (streamed(None), Method::POST, Framing::Chunked),
        ] {
            assert_eq!(body.framing(&method), framing, "{method}");
        }
    }
}
