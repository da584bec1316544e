//! The head guard: a stream wrapper between the (decrypted) socket and the HTTP/1 parser.
//!
//! It reads every request head before the parser does, by rules that leave one reading only, and hands it on whole; it
//! follows the body to its end, so that what comes behind it is the next request and nothing else. What breaks a rule or
//! a deadline never gets to the parser: it becomes an exchange with a refusal.

use super::connection::{Connection, Expecting};
use super::handover::{Handover, Verdict, judge};
use super::lingering::{LINGER, Lingering};
use super::outbox::Outbox;
use super::pace::Pace;
use super::refused::{RefusedHead, Why, stand_in};
use super::untaken::Untaken;
use super::untold::untold;
use crate::edge::rules::MAX_FIELDS;
use crate::host::Host;
use async_trait::async_trait;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{ALPN, IO, Shutdown, Ssl, UniqueID, UniqueIDType};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use vestibule_http1::{BodyReader, Framing, Limits, Progress};
use vestibule_plugin::Monotonic;

/// Bytes of pipelined requests that are read ahead; with so many waiting, a client that leaves is seen at the next write.
const READ_AHEAD: usize = 16 * 1024;

/// The bounds a guard enforces.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// From the first byte of a head to its end, in total.
    pub header_timeout: Duration,
    /// Between requests.
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

enum Phase {
    /// Between requests: no byte of the next head has come.
    Waiting,
    /// Inside a head.
    Head(Progress),
    /// Behind a head: it, and then its body, are handed on.
    Passing,
    /// Behind a head that was refused: its stand-in is handed on, and nothing else.
    Refused,
    /// The last answer is written; what the client still sends is thrown away.
    Lingering(Lingering),
    /// Over.
    Closed,
}

/// A guarded stream.
pub struct Guard<S> {
    io: S,
    out: Outbox,
    phase: Phase,
    /// Bytes that have come and were not handed on: of a head under way, or behind what the engine asks for.
    inbox: Vec<u8>,
    /// The head to hand on, where it did not come in one piece or is not handed on as it came.
    handover: Handover,
    body: BodyReader,
    pace: Pace,
    connection: Arc<Connection>,
    bounds: Bounds,
    host: Arc<Host>,
    deadline: Instant,
    /// When the head began that has not been read yet.
    first_byte: Option<Instant>,
    /// Since when the rest of a body is read that no answer depends on.
    answered: Option<Instant>,
    /// Runs while the client takes none of the bytes that wait for it.
    untaken: Option<Untaken>,
    /// Fires at or before `deadline`; pushed on when it fires early, so that a request costs no timer operation.
    sleep: Pin<Box<Sleep>>,
}

impl<S: IO> Guard<S> {
    /// Guards `io`: the first head is due a `header_timeout` after its first byte, which is due as much later than the
    /// connection was accepted.
    pub fn new(io: S, first: First, connection: Arc<Connection>, bounds: Bounds, host: Arc<Host>) -> Self {
        let (First::ByteSince(since) | First::ByteAt(since)) = first;
        let deadline = since + bounds.header_timeout;
        // The first request has its armed flag consumed here; later ones are armed by the connection loop.
        connection.take_armed();
        Self {
            io,
            out: Outbox::default(),
            phase: Phase::Waiting,
            inbox: Vec::new(),
            handover: Handover::default(),
            body: BodyReader::None,
            pace: Pace::default(),
            connection,
            bounds,
            host,
            deadline,
            first_byte: if let First::ByteAt(at) = first { Some(at) } else { None },
            answered: None,
            untaken: None,
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if self.sleep.deadline() > deadline {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            let deadline = self.deadline;
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Reads on until a head is whole or refused, and hands it over.
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // What came behind the request before is looked at first.
        if matches!(self.phase, Phase::Waiting) && !self.inbox.is_empty() {
            self.begin_head();
            self.inspect_inbox();
        }

        while matches!(self.phase, Phase::Waiting | Phase::Head(_)) {
            let from = buf.filled().len();
            match Pin::new(&mut self.io).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() > from => {}
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending => {
                    if let Poll::Ready(failed) = self.poll_idle_write(cx) {
                        return Poll::Ready(failed);
                    }
                    ready!(self.poll_deadline(cx));
                    match self.phase {
                        Phase::Head(_) => self.refuse(Why::Slow(self.bounds.header_timeout)),
                        _ => self.phase = Phase::Closed,
                    }
                    continue;
                }
            }

            if matches!(self.phase, Phase::Waiting) {
                self.begin_head();
                if self.inspect_in_place(buf, from) {
                    return Poll::Ready(Ok(()));
                }
            }
            self.inbox.extend_from_slice(&buf.filled()[from..]);
            buf.set_filled(from);
            self.inspect_inbox();
        }
        self.handover.give(buf);
        Poll::Ready(Ok(()))
    }

    fn begin_head(&mut self) {
        let began = self.first_byte.take().unwrap_or_else(Instant::now);
        let ago = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.connection.begin_head(Monotonic(self.host.clock.now().0.saturating_sub(ago)));
        self.set_deadline(began + self.bounds.header_timeout);
        self.phase = Phase::Head(Progress::default());
    }

    /// Looks at a head that may have come in one read; whether it did, and stays in `buf` as it came.
    fn inspect_in_place(&mut self, buf: &mut ReadBuf<'_>, from: usize) -> bool {
        let bytes = &buf.filled()[from..];
        match judge(bytes, &mut Progress::default(), &self.bounds.head(), self.connection.tls) {
            Ok(Some(Verdict::AsItCame(length, framing))) => {
                // The body goes by a count of its own.
                self.inbox.extend_from_slice(&bytes[length..]);
                buf.set_filled(from + length);
                self.end_head(framing);
                true
            }
            // Rare enough to be looked at again.
            _ => false,
        }
    }

    fn inspect_inbox(&mut self) {
        let Phase::Head(progress) = &mut self.phase else { return };
        match judge(&self.inbox, progress, &self.bounds.head(), self.connection.tls) {
            Ok(None) => {}
            Ok(Some(Verdict::AsItCame(length, framing))) => {
                let behind = self.inbox.split_off(length);
                self.handover = Handover::of(std::mem::replace(&mut self.inbox, behind));
                self.end_head(framing);
            }
            Ok(Some(Verdict::Rewritten(length, framing, head))) => {
                self.inbox.drain(..length);
                self.handover = Handover::of(head);
                self.end_head(framing);
            }
            Err(why) => self.refuse(why),
        }
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
    }

    fn end_head(&mut self, framing: Framing) {
        self.phase = Phase::Passing;
        self.body = BodyReader::new(framing, self.bounds.max_header_bytes, MAX_FIELDS);
        self.pace.reset();
        self.answered = None;
        self.connection.end_head();
    }

    /// Hands on a stand-in for the head under way; the exchange that it becomes answers.
    fn refuse(&mut self, why: Why) {
        let (bytes, unread) = stand_in(&std::mem::take(&mut self.inbox));
        self.handover = Handover::of(bytes);
        self.body = BodyReader::None;
        self.phase = Phase::Refused;
        self.connection.refuse_head(RefusedHead { why, unread });
    }

    /// Behind a head: hands on what belongs to the request, and keeps back what does not.
    fn poll_serve(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.handover.is_empty() {
            self.handover.give(buf);
            return Poll::Ready(Ok(()));
        }
        if let Phase::Refused = self.phase {
            return self.poll_idle_write(cx);
        }
        let is_tunnel = self.connection.expecting() == Expecting::Tunnel;
        if self.body.is_finished() && !is_tunnel {
            return self.poll_leaving(cx, buf);
        }

        let from = buf.filled().len();
        if self.inbox.is_empty() {
            match Pin::new(&mut self.io).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_patience(cx),
            }
        } else {
            let size = buf.remaining().min(self.inbox.len());
            buf.put_slice(&self.inbox[..size]);
            self.inbox.drain(..size);
            if self.inbox.is_empty() {
                self.inbox = Vec::new();
            }
        }
        self.pace.came(buf.filled().len() - from, Instant::now());
        Poll::Ready(if is_tunnel { Ok(()) } else { self.inspect_body(buf, from) })
    }

    /// Looks at the bytes of a body in `buf` behind `from`; what follows it stays here.
    fn inspect_body(&mut self, buf: &mut ReadBuf<'_>, from: usize) -> io::Result<()> {
        let bad = |this: &Self, kind, why: String| {
            this.connection.mark_bad_body();
            Err(io::Error::new(kind, why))
        };
        if buf.filled().len() == from && buf.remaining() > 0 {
            return bad(self, io::ErrorKind::UnexpectedEof, "the request body was cut off".into());
        }

        let mut at = from;
        while at < buf.filled().len() && !self.body.is_finished() {
            match self.body.step(&buf.filled()[at..]) {
                Ok(step) => at += step.consumed,
                Err(fault) => {
                    buf.set_filled(from);
                    return bad(self, io::ErrorKind::InvalidData, fault.to_string());
                }
            }
        }
        if at < buf.filled().len() {
            let behind = buf.filled()[at..].to_vec();
            self.inbox.splice(..0, behind);
            buf.set_filled(at);
        }
        Ok(())
    }

    /// The request is complete: only the client's leaving is of interest. Bytes that come are the next request and wait
    /// here, until there is no room for more.
    fn poll_leaving(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let from = buf.filled().len();
        while self.inbox.len() < READ_AHEAD {
            match Pin::new(&mut self.io).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() > from => {
                    self.inbox.extend_from_slice(&buf.filled()[from..]);
                    buf.set_filled(from);
                }
                Poll::Ready(left) => return Poll::Ready(left),
                Poll::Pending => break,
            }
        }
        self.poll_idle_write(cx)
    }

    /// Lets a write wait for a client that takes no byte, but not for ever.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        patience: Duration,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.untaken = None;
            return written;
        }
        let socket = self.io.id();
        let untaken = self.untaken.get_or_insert_with(|| Untaken::begin(socket, patience));
        ready!(untaken.poll(cx, socket, patience));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no byte of what is sent")))
    }

    /// Sends what waits, here and in TLS below, and that nothing more comes; a client that takes none of it gets [`LINGER`].
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = match self.out.poll_drain(&mut self.io, cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.io).poll_shutdown(cx),
            other => other,
        };
        let said = self.timed(cx, said, LINGER);
        if let Poll::Ready(Err(_)) = said {
            self.phase = Phase::Closed;
        }
        said
    }

    /// Writes with nothing left behind.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.out.poll_drain(&mut self.io, cx))?;
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        // What TLS keeps of it leaves with the next write, or when somebody reads.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.io).poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(written))
    }

    /// Nobody has anything to do: what waits to be written leaves.
    fn poll_idle_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = match self.out.poll_drain(&mut self.io, cx) {
            // TLS keeps bytes that the socket did not take.
            Poll::Ready(Ok(())) => Pin::new(&mut self.io).poll_flush(cx),
            left => left,
        };
        match left {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// Nothing of a body to read: is the client's time up?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(failed) = self.poll_idle_write(cx) {
            return Poll::Ready(failed);
        }
        if self.connection.expecting() != Expecting::Body {
            return Poll::Pending;
        }
        let answered = self.connection.is_answered().then(|| *self.answered.get_or_insert_with(Instant::now));
        let floor = self.bounds.min_body_rate;
        let due = [self.pace.waiting_until(Instant::now(), floor), answered.map(|at| at + LINGER)];
        match due.into_iter().flatten().min() {
            Some(deadline) => self.set_deadline(deadline),
            None => return Poll::Pending,
        }

        ready!(self.poll_deadline(cx));
        if self.answered.take().is_some() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "answered before the body had come")));
        }
        self.connection.mark_slow_body();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request body too slow")))
    }

    /// Reads on for a while, so that the client can read the answer before its connection is reset.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Phase::Lingering(lingering) = &mut self.phase {
            ready!(lingering.poll(&mut self.io, cx));
            self.phase = Phase::Closed;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the client may still be sending: closing now could reset the connection under its answer.
    fn may_be_sending(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.phase, Phase::Refused) || !self.body.is_finished() || !self.inbox.is_empty() {
            return true;
        }
        if self.connection.expecting() == Expecting::Tunnel {
            return true;
        }
        let mut peeked = [0; 64];
        let mut peeked = ReadBuf::new(&mut peeked);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut peeked);
        matches!(read, Poll::Ready(Ok(()))) && !peeked.filled().is_empty()
    }
}

impl<S: IO> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.phase, Phase::Passing | Phase::Refused) && this.connection.take_armed() {
            // There is no next request where the body before it has no end, nor behind a refused head.
            let is_whole = this.body.is_finished() && !matches!(this.phase, Phase::Refused);
            this.phase = if is_whole { Phase::Waiting } else { Phase::Closed };
            this.set_deadline(Instant::now() + this.bounds.idle_timeout);
        }
        match this.phase {
            Phase::Waiting | Phase::Head(_) => this.poll_head(cx, buf),
            Phase::Passing | Phase::Refused => this.poll_serve(cx, buf),
            Phase::Lingering(_) | Phase::Closed => this.poll_linger(cx),
        }
    }
}

impl<S: IO> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = if this.body.is_finished() {
            this.out.poll_write(&mut this.io, cx, buf)
        } else {
            // While a body is still to come nobody may be reading, and it is reading that lets the rest leave.
            this.poll_write_through(cx, buf)
        };
        this.timed(cx, written, this.bounds.idle_timeout)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| &b[..]);
        self.poll_write(cx, first)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match this.out.poll_drain(&mut this.io, cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.io).poll_flush(cx),
            other => other,
        };
        this.timed(cx, flushed, this.bounds.idle_timeout)
    }
    /// Sends what waits and says that nothing more comes; then reads on for a while if the client still owes bytes.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !matches!(this.phase, Phase::Lingering(_) | Phase::Closed) {
            ready!(this.poll_farewell(cx))?;
            let may_be_sending = this.may_be_sending(cx);
            this.phase = if may_be_sending { Phase::Lingering(Lingering::begin()) } else { Phase::Closed };
            (this.inbox, this.handover) = Default::default();
        }
        this.poll_linger(cx)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Guard<S> {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody to tell.
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: IO> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl<S: IO> UniqueID for Guard<S> {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl<S: IO> Ssl for Guard<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.selected_alpn_proto()
    }
}

untold!(Guard<S>, S: IO);
