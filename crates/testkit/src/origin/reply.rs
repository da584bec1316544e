//! What an HTTP/1 origin does with a request, down to the byte.

use super::plan::{Plan, Step};
use crate::fields::Fields;
use crate::gate::Gate;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A scripted reply. Framing fields are added unless the script names them itself, so that it can lie.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) before: Vec<Step>,
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: Body,
    pub(super) cut: Option<Cut>,
    pub(super) then: Then,
    pub(super) upload: Upload,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Whole(Bytes),
    Chunked {
        chunks: Vec<(Duration, Bytes)>,
        trailers: Fields,
    },
    UntilClose(Bytes),
    Events {
        interval: Duration,
        stop: Gate,
        event: EventText,
    },
    /// The whole message, head included, verbatim.
    Raw(Bytes),
    /// After a 101: what comes goes back.
    Echo,
    Never,
}

/// Writes the data of the nth event, from 0.
#[derive(Clone)]
pub(super) struct EventText(pub(super) Arc<dyn Fn(u64) -> String + Send + Sync>);

impl std::fmt::Debug for EventText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventText")
    }
}

/// Where the origin dies. Bytes are counted on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After this many bytes of the head; 0: before any byte.
    Head(usize),
    /// After the head and this many bytes of what follows it.
    Body(usize),
}

/// What happens to the connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed, as `connection: close` said.
    Close,
    /// It is closed without having said so.
    HangUp,
    /// It is reset.
    Reset,
}

/// What happens to a request body that nobody had read when the reply was chosen ([`super::Origin::at_head`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    ReadAfterwards,
    LeaveUnread,
}

impl Reply {
    fn with(status: u16, body: Body) -> Self {
        Self {
            before: Vec::new(),
            status,
            fields: Fields::default(),
            body,
            cut: None,
            then: Then::KeepAlive,
            upload: Upload::ReadAfterwards,
        }
    }

    /// An empty reply with this status.
    pub fn new(status: u16) -> Self {
        Self::with(status, Body::Whole(Bytes::new()))
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).body(body)
    }

    /// These bytes and nothing else, head included; the connection is kept unless said otherwise.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::with(0, Body::Raw(bytes.into()))
    }

    /// No reply; the connection stays open.
    pub fn never() -> Self {
        Self::with(0, Body::Never)
    }

    /// The origin dies before the first byte of a reply.
    pub fn dying() -> Self {
        Self::new(200).cut(Cut::Head(0))
    }

    /// 101 to `protocol`; from then on every byte goes back to its sender.
    pub fn switching(protocol: &str) -> Self {
        // What the key of the RFC is answered with (RFC 6455 section 1.3); tests send no other.
        let proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let switched = Self::with(101, Body::Echo).field("connection", "upgrade").field("upgrade", protocol);
        switched.field("sec-websocket-accept", proof)
    }

    /// A chunked `text/event-stream`: an event `data: 0`, `data: 1`, … each `interval` until `stop` opens.
    pub fn events(interval: Duration, stop: &Gate) -> Self {
        Self::events_saying(interval, stop, |n| n.to_string())
    }

    /// [`Reply::events`] with the data of the nth event written by `event`.
    pub fn events_saying(
        interval: Duration,
        stop: &Gate,
        event: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Self {
        let body = Body::Events { interval, stop: stop.clone(), event: EventText(Arc::new(event)) };
        Self::with(200, body).field("content-type", "text/event-stream")
    }

    /// With a further field.
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.add(name, value);
        self
    }

    /// With a body of known length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// With a body whose end is the end of the connection.
    pub fn until_close(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::UntilClose(body.into());
        self.then = Then::HangUp;
        self
    }

    /// With a further chunk.
    pub fn chunk(self, data: impl Into<Bytes>) -> Self {
        self.chunk_after(Duration::ZERO, data)
    }

    /// With a further chunk, sent this long after the one before.
    pub fn chunk_after(mut self, delay: Duration, data: impl Into<Bytes>) -> Self {
        self.chunked().0.push((delay, data.into()));
        self
    }

    /// With `data` in chunks of `size` bytes, `delay` before each.
    pub fn chunks_of(mut self, size: usize, delay: Duration, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let pieces = (0..data.len()).step_by(size.max(1));
        let pieces = pieces.map(|at| (delay, data.slice(at..data.len().min(at + size.max(1)))));
        self.chunked().0.extend(pieces);
        self
    }

    /// With a trailer field behind its chunks.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.chunked().1.add(name, value);
        self
    }

    /// The chunks and trailers; what was a body of known length becomes the first chunk.
    fn chunked(&mut self) -> (&mut Vec<(Duration, Bytes)>, &mut Fields) {
        if !matches!(self.body, Body::Chunked { .. }) {
            let first = match &self.body {
                Body::Whole(body) if !body.is_empty() => vec![(Duration::ZERO, body.clone())],
                _ => Vec::new(),
            };
            self.body = Body::Chunked { chunks: first, trailers: Fields::default() };
        }
        match &mut self.body {
            Body::Chunked { chunks, trailers } => (chunks, trailers),
            _ => unreachable!("made chunked above"),
        }
    }

    /// With an interim response before it, e.g. 100 or 103.
    pub fn interim(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let fields: Fields = fields.iter().copied().collect();
        self.before.push(Step::Send(super::plan::head(status, &fields)));
        self
    }

    /// Not before this much later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.before.push(Step::Wait(delay));
        self
    }

    /// Not before `gate` opens.
    pub fn once(mut self, gate: &Gate) -> Self {
        self.before.push(Step::Until(gate.clone()));
        self
    }

    /// The origin dies there: a close, or a reset with [`Reply::then`].
    pub fn cut(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        if self.then == Then::KeepAlive {
            self.then = Then::HangUp;
        }
        self
    }

    /// What happens to the connection afterwards.
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// The request body is never read; the connection stays open. Only for [`super::Origin::at_head`].
    pub fn leaving_the_upload(mut self) -> Self {
        self.upload = Upload::LeaveUnread;
        self
    }

    pub(super) fn plan(&self, method: &str) -> Plan {
        Plan::of(self, method)
    }
}
