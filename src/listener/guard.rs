//! The head guard: a stream wrapper between the (decrypted) socket and the HTTP/1 parser.
//!
//! It sees every byte of a request head before the parser does. It bounds the head's total time and size and the pace
//! of a body, and answers a client that exceeds them itself; once a head has ended it costs one branch a read.

use super::connection::{Connection, Expecting};
use super::head::{HeadScan, Scanned};
use super::outbox::Outbox;
use super::pace::Pace;
use super::untold::untold;
use crate::edge::rules::MAX_FIELDS;
use crate::edge::target::{self, BadTarget};
use crate::edge::threats::Threat;
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

/// How long a client that has its answer may go on sending before its socket is closed under it. Closing with unread
/// bytes makes the kernel send a reset, which can overtake the answer.
const LINGER: Duration = Duration::from_secs(5);
/// Most bytes read and thrown away while lingering: what a client may have on its way before it reads the answer.
const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// Bytes thrown away at once.
const SCRATCH: usize = 16 * 1024;

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

enum Phase {
    /// Between requests: no byte of the next head has come.
    Waiting,
    /// Inside a head.
    Head(HeadScan),
    /// Behind a head: bytes pass.
    Passing,
    /// The refusal is being written.
    Refusing,
    /// The refusal is written; what the client still sends is thrown away.
    Lingering { bytes_left: usize, scratch: Vec<u8> },
    /// Over.
    Closed,
}

/// A guarded stream.
pub struct Guard<S> {
    io: S,
    out: Outbox,
    phase: Phase,
    pace: Pace,
    connection: Arc<Connection>,
    bounds: Bounds,
    host: Arc<Host>,
    deadline: Instant,
    /// Since when the rest of a body is read that no answer depends on.
    answered: Option<Instant>,
    /// Runs while the client takes none of the bytes that wait for it.
    unread: Option<Pin<Box<Sleep>>>,
    /// Fires at or before `deadline`; pushed on when it fires early, so that a request costs no timer operation.
    sleep: Pin<Box<Sleep>>,
}

impl<S: IO> Guard<S> {
    /// Guards `io`, accepted at `accepted`: the first head, TLS handshake included, is due a `header_timeout` later.
    pub fn new(io: S, accepted: Instant, connection: Arc<Connection>, bounds: Bounds, host: Arc<Host>) -> Self {
        let deadline = accepted + bounds.header_timeout;
        // The first request has its armed flag consumed here; later ones are armed by the connection loop.
        connection.take_armed();
        Self {
            io,
            out: Outbox::default(),
            phase: Phase::Waiting,
            pace: Pace::default(),
            connection,
            bounds,
            host,
            deadline,
            answered: None,
            unread: None,
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

    fn refuse(&mut self, threat: Threat, answer: &'static [u8]) {
        self.host.refuse_head(threat, self.connection.peer);
        // Bytes of an earlier response are out already: a head is read only after its predecessor's response.
        self.out = Outbox::default();
        self.out.put(answer);
        self.phase = Phase::Refusing;
        self.set_deadline(Instant::now() + LINGER);
    }

    /// Looks at the bytes that a read brought into `buf` behind `from`.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, from: usize) {
        if let Phase::Waiting = self.phase {
            self.connection.begin_head(self.host.clock.now());
            self.phase = Phase::Head(HeadScan::default());
        }
        let Phase::Head(scan) = &mut self.phase else {
            self.pace.came(buf.filled().len() - from, Instant::now());
            return;
        };
        let first = !scan.has_begun();
        match scan.advance(&buf.filled()[from..], self.bounds.max_header_bytes, MAX_FIELDS) {
            Scanned::Ended(length) => {
                let length = if first {
                    // Before the engine compares its authority with Host byte by byte.
                    match settle_target(buf, from, length, self.connection.tls) {
                        Ok(length) => length,
                        Err(BadTarget::OtherAuthority) => {
                            buf.set_filled(from);
                            return self.refuse(Threat::BadTarget, BAD_REQUEST);
                        }
                        // The edge answers those.
                        Err(_) => length,
                    }
                } else {
                    length
                };
                self.phase = Phase::Passing;
                self.connection.end_head(buf.filled().len() - from > length);
                self.pace.reset();
                self.answered = None;
            }
            Scanned::Unfinished if first => self.set_deadline(Instant::now() + self.bounds.header_timeout),
            Scanned::Unfinished => {}
            Scanned::TooLarge => {
                buf.set_filled(from);
                self.refuse(Threat::HeaderSize, HEADER_TOO_LARGE);
            }
            Scanned::BareLf => {
                buf.set_filled(from);
                self.refuse(Threat::Framing, BAD_REQUEST);
            }
        }
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Phase::Passing = self.phase
            && self.connection.expecting() == Expecting::Nothing
        {
            return self.poll_leaving(cx, buf);
        }
        let from = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > from {
                    self.inspect(buf, from);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_patience(cx),
        }
    }

    /// The request is complete: only the client's leaving is of interest. Bytes that come are the next request; they
    /// are kept back, the response under way is finished, and then the connection closes.
    fn poll_leaving(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_pipelined() {
            return self.poll_idle_write(cx);
        }
        let from = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > from => {
                buf.set_filled(from);
                self.connection.mark_pipelined();
                self.poll_idle_write(cx)
            }
            Poll::Ready(left) => Poll::Ready(left),
            Poll::Pending => self.poll_idle_write(cx),
        }
    }

    /// Lets a write wait for a client that takes no byte, but not for ever.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        patience: Duration,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.unread = None;
            return written;
        }
        let unread = self.unread.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(unread.as_mut().poll(cx));
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

    /// Nobody has anything to do: what waits to be written leaves.
    fn poll_idle_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.out.poll_drain(&mut self.io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// Nothing to read: is the client's time up?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Phase::Passing = self.phase {
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
        }
        ready!(self.poll_deadline(cx));
        match self.phase {
            Phase::Head(_) => self.refuse(Threat::SlowHead, REQUEST_TIMEOUT),
            Phase::Passing if self.answered.take().is_some() => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "answered before the body had come")));
            }
            Phase::Passing => {
                self.connection.mark_slow_body();
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request body too slow")));
            }
            _ => self.phase = Phase::Closed,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.phase {
                Phase::Refusing => {
                    let written = self.out.poll_drain(&mut self.io, cx);
                    if written.is_pending() {
                        ready!(self.poll_deadline(cx));
                    }
                    // Whether it could be written or not, nothing more is said.
                    let _ = Pin::new(&mut self.io).poll_shutdown(cx);
                    self.phase = lingering();
                }
                Phase::Lingering { bytes_left, scratch } => {
                    let mut thrown = ReadBuf::new(scratch);
                    match Pin::new(&mut self.io).poll_read(cx, &mut thrown) {
                        Poll::Ready(Ok(())) if !thrown.filled().is_empty() && *bytes_left > thrown.filled().len() => {
                            *bytes_left -= thrown.filled().len();
                        }
                        Poll::Ready(_) => self.phase = Phase::Closed,
                        Poll::Pending => {
                            ready!(self.poll_deadline(cx));
                            self.phase = Phase::Closed;
                        }
                    }
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Brings an absolute target at the start of a whole head into origin-form; the length of the head then.
fn settle_target(buf: &mut ReadBuf<'_>, from: usize, length: usize, tls: bool) -> Result<usize, BadTarget> {
    let (head, end) = (&mut buf.filled_mut()[from..], from + length);
    let left = target::settle_in_place(&mut head[..length], tls)?;
    let filled = buf.filled().len();
    buf.filled_mut().copy_within(end.., from + left);
    buf.set_filled(filled - (length - left));
    Ok(left)
}

fn lingering() -> Phase {
    Phase::Lingering { bytes_left: LINGER_BYTES, scratch: vec![0; SCRATCH] }
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const HEADER_TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl<S: IO> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Phase::Passing = this.phase
            && this.connection.take_armed()
        {
            this.phase = Phase::Waiting;
            this.set_deadline(Instant::now() + this.bounds.idle_timeout);
        }
        if matches!(this.phase, Phase::Waiting | Phase::Head(_) | Phase::Passing) {
            ready!(this.poll_serve(cx, buf))?;
        }
        this.poll_refusal(cx)
    }
}

impl<S: IO> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.out.poll_write(&mut this.io, cx, buf);
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
        if !matches!(this.phase, Phase::Lingering { .. } | Phase::Closed) {
            ready!(this.poll_farewell(cx))?;
            this.phase = match this.connection.expecting() {
                Expecting::Nothing if !this.connection.is_pipelined() => Phase::Closed,
                _ => lingering(),
            };
            this.set_deadline(Instant::now() + LINGER);
        }
        this.poll_refusal(cx)
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
