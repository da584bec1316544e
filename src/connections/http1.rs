//! An HTTP/1.1 connection to an upstream, with one exchange on it at a time.
//!
//! What is to be sent is lined up and leaves while something is read, so a request body and a
//! response pass each other. Heads and bodies are read by `vestibule_http1`, which takes nothing
//! that two parsers could read differently.

use super::message::{Framing, RequestBody, RequestHead, Switch};
use super::patience::{Patience, Timeouts, Waiting};
use super::upload::{Piece, UploadReader};
use crate::outbox::Outbox;
use crate::response_head::ResponseHead;
use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use pingora::protocols::{Shutdown, Stream};
use pingora::{Error, ErrorType, Result};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};
use vestibule_http1::{self as codec, AtEof, BodyReader, Limits, Parsed, Progress, RequestKind};
use vestibule_plugin::{Fields, Spelling};

/// Room that a read usually has for a head and what comes with it.
pub const USUAL_HEAD: usize = 4 * 1024;
/// The same while memory is scarce: as much as nearly every head takes.
pub const SMALL_HEAD: usize = 1024;
/// Bytes of a body that are read at once unless fewer are asked for.
pub const USUAL_PIECE: usize = 64 * 1024;
/// The same where nothing accounts for what comes.
pub const SMALL_PIECE: usize = 2 * 1024;
/// Bounds of a response head, and of trailers: far beyond what applications send, and small enough to hold.
const LIMITS: Limits = Limits { max_bytes: 256 * 1024, max_fields: 1024 };

/// The connection ended inside a response head.
pub const BROKEN_HEAD: ErrorType = ErrorType::Custom("BrokenHead");

/// The connection. It serves one exchange after another.
pub struct Http1 {
    stream: Stream,
    patience: Patience,
    out: Outbox,
    /// Bytes of the body that leave behind that.
    piece: Bytes,
    /// Bytes behind these.
    piece_end: &'static [u8],
    is_flushed: bool,
    /// The upstream takes no more for now.
    is_held_up: bool,
    upload: Option<Chunking>,
    /// Why the upstream took no more of the request.
    write_error: Option<io::Error>,
    input: BytesMut,
    scan: Progress,
    kind: RequestKind,
    body: BodyReader,
    state: State,
    /// A byte of an answer has come.
    has_heard: bool,
    /// Bytes that have come.
    received: u64,
}

/// A body that is still to come, and how its pieces are framed.
struct Chunking {
    from: UploadReader,
    is_chunked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No final head has come.
    Asked,
    /// A final head has come, after which the connection may serve again.
    Answered,
    /// One after which it may not, or none will come.
    Spent,
}

impl Http1 {
    /// On `stream`, before its first exchange.
    pub fn new(stream: Stream, timeouts: Timeouts) -> Self {
        Self {
            stream,
            patience: Patience::new(timeouts),
            out: Outbox::default(),
            piece: Bytes::new(),
            piece_end: b"",
            is_flushed: true,
            is_held_up: false,
            upload: None,
            write_error: None,
            input: BytesMut::new(),
            scan: Progress::default(),
            kind: RequestKind::Other,
            body: BodyReader::None,
            state: State::Spent,
            has_heard: false,
            received: 0,
        }
    }

    /// Begins another exchange.
    pub fn begin(&mut self, timeouts: Timeouts) {
        self.patience.begin(timeouts);
        self.has_heard = false;
    }

    /// Lines a request up.
    pub fn send(&mut self, head: &RequestHead<'_>, body: RequestBody) {
        let framing = body.framing(head.method);
        self.kind = match head.switch {
            Switch::Asked => RequestKind::Upgrade,
            Switch::NotAsked if *head.method == Method::HEAD => RequestKind::Head,
            Switch::NotAsked => RequestKind::Other,
        };
        self.state = State::Asked;
        write_head(head, framing, self.out.head());
        self.is_flushed = false;
        match body {
            RequestBody::None => {}
            RequestBody::Whole(bytes) => (self.piece, self.piece_end) = (bytes, b""),
            RequestBody::Streamed { from, .. } => {
                self.upload = Some(Chunking { from, is_chunked: framing == Framing::Chunked });
            }
        }
    }

    /// Whether a byte of an answer has come.
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Whether all of the request has left, or none of it will any more.
    pub fn is_sent(&self) -> bool {
        self.out.is_empty() && self.piece.is_empty() && self.upload.is_none()
    }

    /// Sends what is left of the request, once the response is complete.
    pub async fn send_rest(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) {
        poll_fn(|cx| self.poll_send(cx, seen)).await;
    }

    /// The next head: an interim one, or the final one.
    ///
    /// # Errors
    ///
    /// As the engine names them: `InvalidHTTPHeader` for what is not strict HTTP/1.1, `ConnectionClosed`,
    /// `ReadError` or `WriteError` when the connection ended, `ReadTimedout` and `WriteTimedout`.
    pub async fn read_head(&mut self, room: usize, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<ResponseHead> {
        self.patience.restart();
        loop {
            if let Some(head) = self.take_head()? {
                return Ok(head);
            }
            if self.fill(room, seen).await? == 0 {
                return Err(self.ended_before_an_answer());
            }
        }
    }

    /// Takes a head off what has been read, once it is whole.
    fn take_head(&mut self) -> Result<Option<ResponseHead>> {
        let mut read = codec::ResponseHead::default();
        match read.read(&self.input, &mut self.scan, &LIMITS, self.kind) {
            Ok(Parsed::Complete(())) => {}
            Ok(Parsed::Incomplete) => return Ok(None),
            Err(fault) => {
                self.state = State::Spent;
                return Err(invalid("reading a response head", fault));
            }
        }
        self.scan = Progress::default();

        let head = response_head(&read, self.input.split_to(read.len()).freeze())?;
        if !head.is_interim() {
            self.body = BodyReader::new(read.framing(), LIMITS.max_bytes, LIMITS.max_fields);
            let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
            let serves_again = read.persists() && !switched;
            self.state = if serves_again { State::Answered } else { State::Spent };
            if let Some(upload) = &mut self.upload {
                upload.from.is_last();
            }
        }
        Ok(Some(head))
    }

    /// The next piece of the body, of about `most` bytes at most; `None` at its end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`]: the body is malformed, or ended before its end.
    pub async fn read_body(&mut self, most: usize, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<Option<Bytes>> {
        self.patience.restart();
        loop {
            if self.body.is_finished() {
                return Ok(None);
            }
            if !self.input.is_empty() {
                let step = self.body.step(&self.input).map_err(|fault| {
                    self.state = State::Spent;
                    invalid("reading a response body", fault)
                })?;
                let mut used = self.input.split_to(step.consumed);
                used.truncate(step.data.end);
                used.advance(step.data.start);
                if !used.is_empty() {
                    return Ok(Some(used.freeze()));
                }
                if step.consumed > 0 {
                    continue;
                }
            }

            if self.fill(most.clamp(1, USUAL_PIECE), seen).await? == 0 {
                self.state = State::Spent;
                if self.body.at_eof() == AtEof::Complete {
                    self.body = BodyReader::None;
                    return Ok(None);
                }
                let cut = "the response body broke off";
                return Err(Error::explain(ErrorType::ConnectionClosed, cut).into_up());
            }
        }
    }

    /// Trailers behind a body that was read to its end.
    pub fn trailers(&self) -> Option<HeaderMap> {
        let trailers = self.body.trailers();
        (!trailers.is_empty()).then(|| trailers.iter().cloned().collect())
    }

    /// After a 101: what has been read behind the head, and the bare connection.
    pub fn into_stream(self) -> (Bytes, Stream) {
        (self.input.freeze(), self.stream)
    }

    /// `true` when another exchange may follow: request and response were complete, and nothing came behind them.
    pub fn is_idle(&self) -> bool {
        let request_is_complete = self.is_sent() && self.is_flushed && self.write_error.is_none();
        let response_is_complete = self.state == State::Answered && self.body.is_finished() && self.input.is_empty();
        request_is_complete && response_is_complete
    }

    /// Gives up what only an exchange needs.
    pub fn lighten(&mut self) {
        (self.input, self.body) = (BytesMut::new(), BodyReader::None);
    }

    /// `true` while the other end of an idle connection has neither closed it nor said anything, which nobody asked it to.
    pub fn is_open(&mut self) -> bool {
        let mut byte = [0];
        // Outside the budget of the task: an exhausted one would make every connection look open.
        let said = tokio::task::unconstrained(self.stream.read(&mut byte)).now_or_never();
        said.is_none()
    }

    /// Says good-bye to the other end.
    pub async fn close(&mut self) {
        Shutdown::shutdown(self.stream.as_mut()).await;
    }

    fn ended_before_an_answer(&mut self) -> Box<Error> {
        self.state = State::Spent;
        if let Some(error) = self.write_error.take() {
            return Error::because(ErrorType::WriteError, "sending a request", error).into_up();
        }
        if self.input.is_empty() {
            let closed = "the connection ended before an answer";
            return Error::explain(ErrorType::ConnectionClosed, closed).into_up();
        }
        Error::explain(BROKEN_HEAD, "the response head broke off").into_up()
    }

    /// Waits until more bytes are here, and sends meanwhile. 0: no more will come.
    async fn fill(&mut self, room: usize, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<usize> {
        if self.input.is_empty() && self.input.capacity() < room && room < USUAL_PIECE {
            // A buffer that was large once is made as large again.
            self.input = BytesMut::with_capacity(room);
        } else {
            self.input.reserve(room);
        }
        poll_fn(|cx| {
            let sending = self.poll_send(cx, seen);
            if let Poll::Ready(read) = self.poll_read(cx) {
                return Poll::Ready(read.map_err(|error| self.broken(error)));
            }
            let waiting = match sending {
                _ if self.write_error.is_some() => Waiting::EarlyAnswer,
                Poll::Ready(()) => Waiting::Read,
                Poll::Pending if self.out.is_empty() && self.piece.is_empty() && self.is_flushed => Waiting::Client,
                Poll::Pending => Waiting::Write,
            };
            let overdue = ready!(self.patience.poll_overdue(cx, waiting, self.out.written() + self.received));
            let silent = waiting == Waiting::EarlyAnswer;
            Poll::Ready(Err(if silent { self.ended_before_an_answer() } else { overdue }))
        })
        .await
    }

    fn broken(&mut self, error: io::Error) -> Box<Error> {
        self.state = State::Spent;
        if let Some(error) = self.write_error.take() {
            return Error::because(ErrorType::WriteError, "sending a request", error).into_up();
        }
        Error::because(ErrorType::ReadError, "reading from the upstream", error).into_up()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Stateless between polls, so it may be made anew for each.
        let came = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        self.has_heard |= came > 0;
        self.received += came as u64;
        Poll::Ready(Ok(came))
    }

    /// Sends what there is to send. Ready when all of it has left, or none of it will.
    fn poll_send(&mut self, cx: &mut Context<'_>, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Poll<()> {
        match self.poll_write_all(cx, seen) {
            Poll::Ready(Err(error)) => {
                // It may have decided already, and want no more (RFC 9112 section 9.5).
                self.write_error = Some(error);
                (self.out, self.piece, self.upload) = (Outbox::default(), Bytes::new(), None);
                self.is_held_up = false;
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Poll<io::Result<()>> {
        // A client that sends on is not asked for more, and puts no deadline off.
        if self.is_held_up {
            ready!(self.poll_flush(cx))?;
        }
        loop {
            while !self.piece.is_empty() {
                let taken = ready!(self.out.poll_write(&mut self.stream, cx, &self.piece, self.piece_end))?;
                self.piece.advance(taken);
                if self.piece.is_empty() {
                    // What is behind it counts as held as long as anything refers to it.
                    self.piece = Bytes::new();
                }
                self.is_flushed = false;
            }

            let next = match &mut self.upload {
                None => Poll::Ready(None),
                Some(upload) => upload.from.poll_next(cx),
            };
            match next {
                Poll::Ready(Some(piece)) => self.line_up(piece, seen),
                Poll::Ready(None) if self.upload.as_ref().is_some_and(|upload| upload.is_chunked) => {
                    self.upload = None;
                    self.out.head().extend_from_slice(codec::LAST_CHUNK);
                    self.is_flushed = false;
                }
                Poll::Ready(None) => {
                    self.upload = None;
                    return self.poll_flush(cx);
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let drained = self.out.poll_drain(&mut self.stream, cx);
        self.is_held_up = drained.is_pending();
        ready!(drained)?;
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn line_up(&mut self, piece: Piece, seen: &mut (dyn FnMut(&Bytes) + Send)) {
        let bytes = match piece {
            Piece::New(bytes) => {
                seen(&bytes);
                bytes
            }
            Piece::Again(bytes) => bytes,
        };
        if bytes.is_empty() {
            // An empty chunk would be the end.
            return;
        }
        self.piece_end = b"";
        if self.upload.as_ref().is_some_and(|upload| upload.is_chunked) {
            codec::write_chunk_head(bytes.len(), self.out.head());
            self.piece_end = codec::CHUNK_END;
        }
        self.piece = bytes;
    }
}

fn invalid(context: &'static str, fault: impl std::error::Error + Send + Sync + 'static) -> Box<Error> {
    Error::because(ErrorType::InvalidHTTPHeader, context, fault).into_up()
}

/// Writes a request head.
fn write_head(head: &RequestHead<'_>, framing: Framing, out: &mut Vec<u8>) {
    out.reserve(head.target.len() + 96 + head.fields.len() * 48);
    for part in [head.method.as_str().as_bytes(), b" ", head.target, b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    write_field(out, b"Host", &head.authority);
    head.fields.write(Spelling::Usual, out);

    match framing {
        Framing::None => {}
        Framing::Length(length) => {
            write_field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked => write_field(out, b"Transfer-Encoding", b"chunked"),
    }
    if head.switch == Switch::Asked {
        write_field(out, b"Connection", b"upgrade");
        write_field(out, b"Upgrade", b"websocket");
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A head as the rest of the proxy knows it.
fn response_head(head: &codec::ResponseHead, bytes: Bytes) -> Result<ResponseHead> {
    let status = StatusCode::from_u16(head.status()).map_err(|error| invalid("a status", error))?;
    let reason = head.reason(&bytes);
    let is_usual = reason.is_empty() || status.canonical_reason().map(str::as_bytes) == Some(reason);
    let reason = (!is_usual).then(|| bytes.slice_ref(reason));
    Ok(ResponseHead { status, reason, fields: Fields::of_head(bytes, head.fields().ranges(), FIELDS_ADDED) })
}

/// Fields that the edge and the plugins usually add to a response. There is room for more; it is
/// made again then.
const FIELDS_ADDED: usize = 10;

#[cfg(test)]
mod tests;
