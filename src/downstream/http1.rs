//! A client's connection of HTTP/1: one request after the other, each read by strict rules, and its answer written.
//!
//! Whoever asks for the next request gets it whole, or refused: nobody behind reads what two readers could read differently.
//! Deadlines are kept while it is asked, and what waits to be written leaves while something is read.

use super::connection::{Connection, Expecting};
use super::head::Head;
use super::lingering::{LINGER, Lingering};
use super::outbox::Outbox;
use super::pace::Pace;
use super::reader;
use super::refused::{RefusedHead, Why, stand_in};
use super::untaken::Untaken;
use super::writer::{Framing, Next, tell_next, write_head};
use super::{Served, date};
use crate::edge::rules::MAX_FIELDS;
use crate::host::Host;
use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;
use http::response::Parts;
use http::{Method, StatusCode, Version};
use pingora::protocols::Stream;
use pingora::{Error, ErrorType, Result};
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use vestibule_http1::{
    BodyReader, CHUNK_END, LAST_CHUNK, Limits, Parsed, Progress, RequestHead, read_request, write_chunk_head,
    write_last_chunk_with_trailers,
};
use vestibule_plugin::Monotonic;

/// Bytes read at once where a head is due: most heads in one piece.
const HEAD_PIECE: usize = 4 * 1024;
/// Most bytes of a body read at once.
const BODY_PIECE: usize = 64 * 1024;
/// Bytes of pipelined requests that are read ahead; with so many waiting, a client that leaves is seen at the next write.
const READ_AHEAD: usize = 16 * 1024;
/// Longest time in which what is left of a body is read that nobody wanted.
const DISCARD_TIME: Duration = Duration::from_secs(5);
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
    /// Fires at or before `deadline`; pushed on when it fires early, so that a request costs no timer operation.
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
    /// When the head began that has not been read yet.
    first_byte: Option<Instant>,
    requests: u32,

    connection: Arc<Connection>,
    bounds: Bounds,
    host: Arc<Host>,

    head: Head,
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
        let deadline = since + bounds.header_timeout;
        Self {
            io: Some(io),
            input: BytesMut::new(),
            out: Outbox::default(),
            untaken: None,
            sleep: Box::pin(sleep_until(deadline)),
            deadline,
            first_byte: if let First::ByteAt(at) = first { Some(at) } else { None },
            requests: 0,
            connection,
            bounds,
            host,
            head: Head::new(Method::GET, ""),
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

    /// The head of the request.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The same, to be changed.
    pub fn head_mut(&mut self) -> &mut Head {
        &mut self.head
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
}

/// Reading.
impl Http1 {
    /// Reads the next request head, or refuses it; `false` when there is none: the client is done, or idle for too long.
    pub async fn next(&mut self) -> bool {
        let mut progress = None;
        poll_fn(|cx| self.poll_next(cx, &mut progress)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, progress: &mut Option<Progress>) -> Poll<bool> {
        loop {
            if !self.input.is_empty() {
                let progress = progress.get_or_insert_with(|| {
                    self.begin_head();
                    Progress::default()
                });
                match reader::read(&self.input, progress, &self.bounds.head(), self.connection.tls) {
                    Ok(None) => {}
                    Ok(Some(read)) => {
                        self.take_head(read);
                        return Poll::Ready(true);
                    }
                    Err(why) => {
                        self.refuse(why);
                        return Poll::Ready(true);
                    }
                }
            }

            match self.poll_scratch(cx) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {}
            }
            if self.poll_idle_write(cx).is_ready() {
                return Poll::Ready(false);
            }
            ready!(self.poll_deadline(cx));
            if progress.is_none() {
                return Poll::Ready(false);
            }
            self.refuse(Why::Slow(self.bounds.header_timeout));
            return Poll::Ready(true);
        }
    }

    fn begin_head(&mut self) {
        let began = self.first_byte.take().unwrap_or_else(Instant::now);
        let ago = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.connection.begin_head(Monotonic(self.host.clock.now().0.saturating_sub(ago)));
        self.set_deadline(began + self.bounds.header_timeout);
    }

    fn take_head(&mut self, read: reader::Read) {
        let bytes = self.input.split_to(read.head.len()).freeze();
        let target = read.target.unwrap_or_else(|| bytes.slice_ref(read.head.target(&bytes)));
        self.body = BodyReader::new(read.head.framing(), self.bounds.max_header_bytes, MAX_FIELDS);
        self.begin_request(&read.head, &bytes, target);
    }

    /// An exchange with a stand-in for the head under way answers for it, and is the last one.
    fn refuse(&mut self, why: Why) {
        let (bytes, unread) = stand_in(&self.input);
        let bytes = Bytes::from(bytes);
        self.body = BodyReader::None;
        if let Ok(Parsed::Complete(head)) = read_request(&bytes, &mut Progress::default(), &self.bounds.head()) {
            let target = bytes.slice_ref(head.target(&bytes));
            self.begin_request(&head, &bytes, target);
        }
        self.next = Next::Closes;
        self.connection.refuse_head(RefusedHead { why, unread });
    }

    fn begin_request(&mut self, head: &RequestHead, bytes: &Bytes, target: Bytes) {
        self.head = Head::of_http1(head, bytes, target);
        self.requests += 1;
        let persists = head.connection().persists(head.version()) && self.requests < MAX_REQUESTS;
        self.next = if persists { Next::Serves } else { Next::Closes };
        self.unread = Unread::Closes;
        self.pace.reset();
        (self.answered, self.written, self.reply) = (None, None, Framing::None);
        self.connection.take_head();
    }

    /// Reads once into a buffer on the stack, so that an idle connection holds none.
    fn poll_scratch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let mut scratch = [MaybeUninit::uninit(); HEAD_PIECE];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// The client is gone, or sends what is no body or comes too slowly; the connection knows which.
    pub async fn read_body(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_body(cx))
            .await
            .map_err(|error| Error::because(ErrorType::ReadError, "a request body", error).into_down())
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if self.body.is_finished() {
                return Poll::Ready(Ok(None));
            }
            if self.input.is_empty() {
                match self.poll_piece(cx) {
                    Poll::Ready(Ok(0)) => {
                        let cut_off = io::Error::new(io::ErrorKind::UnexpectedEof, "the request body was cut off");
                        return Poll::Ready(Err(self.bad_body(cut_off)));
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return self.poll_patience(cx).map(Err),
                }
            }

            let step = match self.body.step(&self.input) {
                Ok(step) => step,
                Err(fault) => {
                    let malformed = io::Error::new(io::ErrorKind::InvalidData, fault.to_string());
                    return Poll::Ready(Err(self.bad_body(malformed)));
                }
            };
            self.pace.came(step.consumed, Instant::now());
            let piece = self.input.split_to(step.consumed).freeze().slice(step.data);
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }

    /// Reads once, as much as the body may still have.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let most = match self.body {
            BodyReader::Length(left) => usize::try_from(left).unwrap_or(BODY_PIECE).clamp(1, BODY_PIECE),
            _ => BODY_PIECE,
        };
        self.input.reserve(most);
        pin!(io.read_buf(&mut self.input)).poll(cx)
    }

    fn bad_body(&mut self, error: io::Error) -> io::Error {
        self.connection.mark_bad_body();
        self.next = Next::Closes;
        error
    }

    /// Nothing of a body to read: ready when the client's time is up.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Poll::Ready(error) = self.poll_idle_write(cx) {
            return Poll::Ready(error);
        }
        if self.connection.expecting() != Expecting::Body {
            return Poll::Pending;
        }
        let answered = self.connection.is_answered().then(|| *self.answered.get_or_insert_with(Instant::now));
        let due = [self.pace.waiting_until(Instant::now(), self.bounds.min_body_rate), answered.map(|at| at + LINGER)];
        match due.into_iter().flatten().min() {
            Some(deadline) => self.set_deadline(deadline),
            None => return Poll::Pending,
        }

        ready!(self.poll_deadline(cx));
        if self.answered.take().is_some() {
            return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "answered before the body had come"));
        }
        self.connection.mark_slow_body();
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "request body too slow"))
    }

    /// Resolves when the client is gone. Bytes that come are the next request and wait, until there is no room for more.
    pub async fn leaves(&mut self) -> Box<Error> {
        poll_fn(|cx| self.poll_leaving(cx)).await;
        Error::explain(ErrorType::ConnectionClosed, "the client left").into_down()
    }

    fn poll_leaving(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.body.is_finished() && self.input.len() < READ_AHEAD {
            match self.poll_scratch(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => {
                    self.next = Next::Closes;
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        self.poll_idle_write(cx).map(drop)
    }
}

/// Writing.
impl Http1 {
    /// Writes an interim head, or the final one.
    ///
    /// # Errors
    ///
    /// The client is gone, or takes nothing.
    pub async fn write_head(&mut self, mut head: Parts) -> Result<()> {
        let is_interim = head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        // RFC 9110 section 15.2: they came after HTTP/1.0.
        if is_interim && self.head.version == Version::HTTP_10 {
            return Ok(());
        }

        self.written = Some(head.status);
        if is_interim {
            write_head(&head, self.out.head());
            return self.flush().await;
        }

        self.reply = Framing::of(&head, &self.head.method);
        let is_left_open = self.reply == Framing::UntilClose || head.status == StatusCode::SWITCHING_PROTOCOLS;
        let is_unread = self.unread == Unread::Closes && !self.body.is_finished();
        if is_left_open || is_unread {
            self.next = Next::Closes;
        }
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            date::add(&mut head.headers);
            tell_next(&mut head.headers, self.next, self.head.version);
        }
        write_head(&head, self.out.head());
        // A body of known length is near, and leaves with its head.
        if matches!(self.reply, Framing::Length(1..)) && self.body.is_finished() { Ok(()) } else { self.flush().await }
    }

    /// Writes a piece of the body; with `ends` it is the last one.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_body(&mut self, mut piece: Bytes, ends: bool) -> Result<()> {
        match &mut self.reply {
            Framing::None => piece.clear(),
            Framing::Length(left) => {
                // Whoever reads the application sees to it; a client must not take more for the next response.
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
            }
            Framing::Chunked if !piece.is_empty() => write_chunk_head(piece.len(), self.out.head()),
            Framing::Chunked | Framing::UntilClose => {}
        }
        self.write_all(&piece).await?;
        if self.reply == Framing::Chunked && !piece.is_empty() {
            self.out.head().extend_from_slice(CHUNK_END);
        }

        if ends {
            return self.finish().await;
        }
        // Bytes of a body without a length are meant to be seen one after the other.
        if matches!(self.reply, Framing::Length(_)) && self.body.is_finished() { Ok(()) } else { self.flush().await }
    }

    /// Ends the body with trailers, where its framing has room for them.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_trailers(&mut self, trailers: &HeaderMap) -> Result<()> {
        if self.reply == Framing::Chunked {
            self.reply = Framing::None;
            write_last_chunk_with_trailers(trailers, self.out.head());
        }
        self.finish().await
    }

    /// Ends the body, unless that was done, and sends what waits.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`]; the body is shorter than its head said.
    pub async fn finish(&mut self) -> Result<()> {
        if self.reply == Framing::Chunked {
            self.reply = Framing::None;
            self.out.head().extend_from_slice(LAST_CHUNK);
        }
        self.flush().await?;
        if matches!(self.reply, Framing::Length(1..)) {
            return Err(Error::explain(ErrorType::WriteError, "the response is shorter than it said").into_down());
        }
        Ok(())
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, bytes)).await.map_err(not_written)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(taken())) };
        let written = self.out.poll_write(io, cx, bytes);
        self.timed(cx, written, self.bounds.idle_timeout)
    }

    async fn flush(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await.map_err(not_written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_out(cx);
        self.timed(cx, flushed, self.bounds.idle_timeout)
    }

    /// What waits leaves, here and in TLS below, which keeps bytes that the socket did not take.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(taken())) };
        ready!(self.out.poll_drain(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    /// Nobody has anything to do: what waits to be written leaves. Ready when that fails.
    fn poll_idle_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
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
            self.untaken = None;
            return written;
        }
        let Some(socket) = self.io.as_ref().map(|io| io.id()) else { return written };
        let untaken = self.untaken.get_or_insert_with(|| Untaken::begin(socket, patience));
        ready!(untaken.poll(cx, socket, patience));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no byte of what is sent")))
    }
}

/// Between requests, and the end.
impl Http1 {
    /// Whether another request may follow the one that was served; the connection is ready for it then. Else it is ended,
    /// unless the client must not take it for whole.
    pub async fn go_on(&mut self, served: Served) -> bool {
        // An orderly end would say that the body is whole.
        if self.connection.has_open_body() || self.io.is_none() {
            return false;
        }
        if served == Served::Failed {
            if self.written.is_some() {
                Box::pin(self.close()).await;
            }
            return false;
        }
        if self.finish().await.is_err() {
            return false;
        }
        if self.next == Next::Closes {
            Box::pin(self.close()).await;
            return false;
        }
        if !self.body.is_finished() && !self.discard().await {
            return false;
        }

        self.connection.rearm();
        self.connection.begin_idle(self.host.clock.now());
        self.head = Head::new(Method::GET, "");
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.set_deadline(Instant::now() + self.bounds.idle_timeout);
        true
    }

    /// Reads the rest of a body that nobody wanted; whether it ended.
    async fn discard(&mut self) -> bool {
        let rest = async {
            while let Ok(Some(_)) = self.read_body().await {}
            self.body.is_finished()
        };
        timeout(DISCARD_TIME, rest).await.unwrap_or(false)
    }

    /// Sends what waits and says that nothing more comes; then reads on for a while if the client still owes bytes.
    pub async fn close(&mut self) {
        let may_be_sending = poll_fn(|cx| self.poll_farewell(cx)).await;
        // Many may linger: session and exchange, with their buffers, are gone.
        (self.input, self.out, self.head) = (BytesMut::new(), Outbox::default(), Head::new(Method::GET, ""));
        if let (Ok(true), Some(io)) = (may_be_sending, &mut self.io) {
            let mut lingering = Lingering::begin();
            poll_fn(|cx| lingering.poll(io, cx)).await;
        }
    }

    /// A client that takes none of what waits gets [`LINGER`]. Whether it may still be sending: closing then could reset the
    /// connection under its answer.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let said = match self.poll_out(cx) {
            Poll::Ready(Ok(())) => match &mut self.io {
                Some(io) => Pin::new(io).poll_shutdown(cx),
                None => Poll::Ready(Ok(())),
            },
            other => other,
        };
        ready!(self.timed(cx, said, LINGER))?;

        if !self.body.is_finished() || !self.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let more = self.poll_scratch(cx);
        Poll::Ready(Ok(matches!(more, Poll::Ready(Ok(1..)))))
    }

    /// Takes the connection, with what has been read of it behind the head.
    pub fn take_stream(&mut self) -> Option<(Bytes, Stream)> {
        Some((self.input.split().freeze(), self.io.take()?))
    }
}

fn not_written(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "a response", error).into_down()
}

fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "a tunnel has the connection")
}
