//! What an accepted connection and the exchanges on it share.

use super::refused::RefusedHead;
use super::upload::Upload;
use crate::memory_budget::ConnectionReplies;
use http::HeaderValue;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use vestibule_plugin::Monotonic;

/// One accepted connection, or one stream of HTTP/2. Whoever reads it writes here, and the exchanges on it read.
#[derive(Debug)]
pub struct Connection {
    /// The other end of the socket; an IPv4 address in IPv6 dress is the IPv4 address.
    pub peer: IpAddr,
    /// The same as a field value.
    pub peer_text: HeaderValue,
    /// Whether it is TLS.
    pub tls: bool,
    head_began: AtomicU64,
    /// One of [`Expecting`].
    expecting: AtomicU8,
    slow_body: AtomicBool,
    bad_body: AtomicBool,
    /// The response is complete, whatever is left of the request.
    answered: AtomicBool,
    /// A body is under way whose end is that of the connection.
    open_ended: AtomicBool,
    /// Since when no exchange is under way, in nanoseconds; [`BUSY`] while one is.
    idle_since: AtomicU64,
    /// The head was refused, and the one that the exchange has stands in for it.
    refused: Mutex<Option<RefusedHead>>,
    /// The pace of the body under way, over HTTP/2.
    upload: Upload,
    /// Over HTTP/2: replies kept for all streams of the connection.
    replies: Option<ConnectionReplies>,
}

/// Stands for "not idle".
const BUSY: u64 = u64::MAX;

/// What the client may send behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Expecting {
    /// Nothing: bytes that come are the next request, and wait.
    Nothing,
    /// A body, at a pace.
    Body,
    /// A body without a floor.
    SlowBody,
    /// Bytes of a tunnel.
    Tunnel,
}

impl Connection {
    /// A connection on which nothing has happened yet.
    pub fn new(peer: IpAddr, tls: bool) -> Self {
        let peer = peer.to_canonical();
        let text = HeaderValue::try_from(peer.to_string());
        Self {
            peer,
            peer_text: text.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            tls,
            head_began: AtomicU64::new(0),
            expecting: AtomicU8::new(Expecting::Nothing as u8),
            slow_body: AtomicBool::new(false),
            bad_body: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            open_ended: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            refused: Mutex::new(None),
            upload: Upload::default(),
            replies: None,
        }
    }

    /// One stream of an HTTP/2 connection: the same peer, and a state of its own but for the `replies` that are kept.
    pub fn stream(&self, replies: &ConnectionReplies) -> Self {
        let replies = Some(replies.clone());
        Self { peer_text: self.peer_text.clone(), replies, ..Self::new(self.peer, self.tls) }
    }

    /// Over HTTP/2: replies kept for all streams of the connection.
    pub fn replies(&self) -> Option<&ConnectionReplies> {
        self.replies.as_ref()
    }

    /// The pace of the body under way, over HTTP/2.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// When the first byte of the current request head came.
    pub fn head_began(&self) -> Monotonic {
        Monotonic(self.head_began.load(Ordering::Relaxed))
    }

    /// The first byte of a head is here.
    pub fn begin_head(&self, now: Monotonic) {
        self.head_began.store(now.0, Ordering::Relaxed);
    }

    /// The head is refused, and the one of the exchange stands in for it.
    pub fn refuse_head(&self, refused: RefusedHead) {
        *self.refused.lock() = Some(refused);
    }

    /// The refusal for which the current head stands in.
    pub fn take_refused_head(&self) -> Option<RefusedHead> {
        self.refused.lock().take()
    }

    /// Since when no exchange has been under way; `None` while one is.
    pub fn idle_since(&self) -> Option<Monotonic> {
        Some(self.idle_since.load(Ordering::Relaxed)).filter(|since| *since != BUSY).map(Monotonic)
    }

    /// No exchange is under way from now on.
    pub fn begin_idle(&self, now: Monotonic) {
        self.idle_since.store(now.0, Ordering::Relaxed);
    }

    /// An exchange takes the head.
    pub fn take_head(&self) {
        self.idle_since.store(BUSY, Ordering::Relaxed);
    }

    /// A body begins whose end is that of the connection. Until [`Self::end_open_body`] the connection ends with a reset,
    /// whatever ends it, so that nobody takes what came for all of it.
    pub fn begin_open_body(&self) {
        self.open_ended.store(true, Ordering::Relaxed);
    }

    /// All of that body is written.
    pub fn end_open_body(&self) {
        self.open_ended.store(false, Ordering::Relaxed);
    }

    /// `true` while such a body is under way.
    pub fn has_open_body(&self) -> bool {
        self.open_ended.load(Ordering::Relaxed)
    }

    /// The exchange is over: what comes next is a head.
    pub fn rearm(&self) {
        self.expect(Expecting::Nothing);
        self.answered.store(false, Ordering::Relaxed);
    }

    /// Says what the client may send now.
    pub fn expect(&self, what: Expecting) {
        self.expecting.store(what as u8, Ordering::Relaxed);
    }

    /// As said with [`Self::expect`].
    pub fn expecting(&self) -> Expecting {
        match self.expecting.load(Ordering::Relaxed) {
            1 => Expecting::Body,
            2 => Expecting::SlowBody,
            3 => Expecting::Tunnel,
            _ => Expecting::Nothing,
        }
    }

    /// The whole response is out.
    pub fn mark_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the whole response is out; then what is left of the request has little time to come.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The body came too slowly.
    pub fn mark_slow_body(&self) {
        self.slow_body.store(true, Ordering::Relaxed);
    }

    /// Whether the body came too slowly.
    pub fn had_slow_body(&self) -> bool {
        self.slow_body.load(Ordering::Relaxed)
    }

    /// The body is malformed or was cut off.
    pub fn mark_bad_body(&self) {
        self.bad_body.store(true, Ordering::Relaxed);
    }

    /// Whether the body is malformed or was cut off.
    pub fn had_bad_body(&self) -> bool {
        self.bad_body.load(Ordering::Relaxed)
    }
}
