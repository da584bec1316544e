//! A client's connection of HTTP/1: one request after the other, each read by strict rules, and its answer written.
//!
//! Whoever asks for the next request gets it whole, or refused: nobody behind reads what two readers could read differently.
//! Deadlines are kept while it is asked, and what waits to be written leaves while something is read.

mod ending;
mod reading;
mod writing;

use super::connection::Connection;
use super::pace::Pace;
use super::untaken::Untaken;
use super::writer::Next;
use crate::deadline::Deadline;
use crate::edge::rules::MAX_FIELDS;
use crate::host::Host;
use crate::outbox::Outbox;
use bytes::BytesMut;
use http::{Method, StatusCode, Version};
use pingora::protocols::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vestibule_http1::{BodyReader, Framing, Limits};

/// Requests served on one connection before it is closed.
const MAX_REQUESTS: u32 = 10_000;

/// The bounds of a connection.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// From the first byte of a head to its end, in total.
    pub header_timeout: Duration,
    /// Between requests, and for a client that takes nothing of its response.
    pub idle_timeout: Duration,
    /// Size of a head.
    pub max_header_bytes: usize,
    /// Bytes a second a body must average after its grace; 0: no floor.
    pub min_body_rate: u64,
}

impl Bounds {
    fn head(&self) -> Limits {
        Limits { max_bytes: self.max_header_bytes, max_fields: MAX_FIELDS }
    }
}

/// The first byte of a connection's first head.
#[derive(Clone, Copy, Debug)]
pub enum First {
    /// Waited for since then, TLS handshake included.
    ByteSince(Instant),
    /// Came then, and can be read.
    ByteAt(Instant),
}

/// What becomes of a request body that nobody has read when its response is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// The connection closes for it.
    Closes,
    /// It is read and thrown away.
    Discarded,
}

/// The connection.
pub struct Http1 {
    /// Until a tunnel takes it.
    io: Option<Stream>,
    /// Bytes that have come and belong to nobody yet.
    input: BytesMut,
    out: Outbox,
    /// Runs while the client takes none of the bytes that wait for it.
    untaken: Option<Untaken>,
    deadline: Deadline,
    /// When the head began that has not been read yet.
    first_byte: Option<Instant>,
    requests: u32,

    connection: Arc<Connection>,
    bounds: Bounds,
    host: Arc<Host>,

    /// Method of the request under way.
    method: Method,
    version: Version,
    body: BodyReader,
    pace: Pace,
    unread: Unread,
    /// Since when the rest of a body is read that no answer depends on.
    answered: Option<Instant>,
    next: Next,
    written: Option<StatusCode>,
    reply: Framing,
}

impl Http1 {
    /// On `io`: the first head is due a `header_timeout` after its first byte, which is due as much later than the connection
    /// was accepted.
    pub fn new(io: Stream, first: First, connection: Arc<Connection>, bounds: Bounds, host: Arc<Host>) -> Self {
        let (First::ByteSince(since) | First::ByteAt(since)) = first;
        let deadline = Deadline::at(since + bounds.header_timeout);
        Self {
            io: Some(io),
            input: BytesMut::new(),
            out: Outbox::default(),
            untaken: None,
            deadline,
            first_byte: if let First::ByteAt(at) = first { Some(at) } else { None },
            requests: 0,
            connection,
            bounds,
            host,
            method: Method::GET,
            version: Version::HTTP_11,
            body: BodyReader::None,
            pace: Pace::default(),
            unread: Unread::Closes,
            answered: None,
            next: Next::Serves,
            written: None,
            reply: Framing::None,
        }
    }

    /// What exchanges know of it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether no body follows the head.
    pub fn has_no_body(&self) -> bool {
        matches!(self.body, BodyReader::None | BodyReader::Length(0))
    }

    /// Whether all of the body has come.
    pub fn body_is_done(&self) -> bool {
        self.body.is_finished()
    }

    /// Status of the last head that was written.
    pub fn written(&self) -> Option<StatusCode> {
        self.written
    }

    /// Serves no further request.
    pub fn close_after(&mut self) {
        self.next = Next::Closes;
    }

    /// Reads what is left of the body before the next request.
    pub fn discard_body(&mut self) {
        self.unread = Unread::Discarded;
    }
}
