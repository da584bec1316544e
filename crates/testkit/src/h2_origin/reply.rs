//! What an HTTP/2 origin does with a stream.

use crate::fields::Fields;
use crate::gate::Gate;
use bytes::Bytes;
use h2::Reason;
use std::time::Duration;

/// A scripted reply on one stream.
#[derive(Clone, Debug)]
pub struct H2Reply {
    pub(super) once: Option<Gate>,
    pub(super) delay: Duration,
    pub(super) head: Option<(u16, Fields)>,
    pub(super) chunks: Vec<(Duration, Bytes)>,
    pub(super) trailers: Fields,
    pub(super) end: End,
    pub(super) goes_away: bool,
    pub(super) leaves_upload: bool,
}

/// How the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Orderly,
    Reset(Reason),
    Never,
}

impl H2Reply {
    fn with(head: Option<(u16, Fields)>, end: End) -> Self {
        let (once, delay, chunks) = (None, Duration::ZERO, Vec::new());
        Self { once, delay, head, chunks, trailers: Fields::default(), end, goes_away: false, leaves_upload: false }
    }

    /// An empty reply with this status.
    pub fn new(status: u16) -> Self {
        Self::with(Some((status, Fields::default())), End::Orderly)
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).chunk(body)
    }

    /// A gRPC reply: one length-prefixed message and `grpc-status` in the trailers.
    pub fn grpc(message: &[u8], status: u32) -> Self {
        let length = u32::try_from(message.len()).expect("a message shorter than 4 GiB");
        let framed = [&[0][..], &length.to_be_bytes(), message].concat();
        let reply = Self::ok(framed).field("content-type", "application/grpc");
        reply.trailer("grpc-status", &status.to_string())
    }

    /// The stream is reset with REFUSED_STREAM: the request was not processed (RFC 9113 section 8.7).
    pub fn refused() -> Self {
        Self::resetting(Reason::REFUSED_STREAM)
    }

    /// The stream is reset before a head.
    pub fn resetting(reason: Reason) -> Self {
        Self::with(None, End::Reset(reason))
    }

    /// No reply; the stream stays open.
    pub fn never() -> Self {
        Self::with(None, End::Never)
    }

    /// With a further field of the head.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        if let Some((_, fields)) = &mut self.head {
            fields.add(name, value);
        }
        self
    }

    /// With a further DATA frame.
    pub fn chunk(self, data: impl Into<Bytes>) -> Self {
        self.chunk_after(Duration::ZERO, data)
    }

    /// With a further DATA frame, this long after the one before.
    pub fn chunk_after(mut self, delay: Duration, data: impl Into<Bytes>) -> Self {
        self.chunks.push((delay, data.into()));
        self
    }

    /// With a trailer field.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.add(name, value);
        self
    }

    /// Reset instead of ended, after what was scripted so far.
    pub fn then_reset(mut self, reason: Reason) -> Self {
        self.end = End::Reset(reason);
        self
    }

    /// With a GOAWAY that lets this stream finish and takes no further ones.
    pub fn going_away(mut self) -> Self {
        self.goes_away = true;
        self
    }

    /// The request body is never read; behind the reply the stream is reset with NO_ERROR (RFC 9113 section 8.1). Only
    /// for [`super::H2Origin::at_head`].
    pub fn leaving_the_upload(mut self) -> Self {
        self.leaves_upload = true;
        self
    }

    /// Not before this much later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Not before `gate` opens.
    pub fn once(mut self, gate: &Gate) -> Self {
        self.once = Some(gate.clone());
        self
    }
}
