//! Reading: request heads, bodies, and that a client leaves.

use super::{Http1, MAX_REQUESTS, Unread};
use crate::downstream::connection::Expecting;
use crate::downstream::head::Head;
use crate::downstream::lingering::LINGER;
use crate::downstream::reader;
use crate::downstream::refused::{RefusedHead, Why, stand_in};
use crate::downstream::writer::Next;
use crate::edge::rules::MAX_FIELDS;
use bytes::Bytes;
use pingora::{Error, ErrorType, Result};
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;
use vestibule_http1::{BodyReader, Framing, Limits, Parsed, Progress, RequestHead};
use vestibule_plugin::Monotonic;

/// Bytes read at once where a head is due: most heads in one piece.
const HEAD_PIECE: usize = 4 * 1024;
/// Most bytes of a body read at once.
const BODY_PIECE: usize = 64 * 1024;
/// Bytes of pipelined requests that are read ahead; with so many waiting, a client that leaves is seen at the next write.
const READ_AHEAD: usize = 16 * 1024;

impl Http1 {
    /// Reads the next request head, or refuses it; `None` when there is none: the client is done, or idle for too long.
    pub async fn next(&mut self) -> Option<Arc<Head>> {
        let mut progress = None;
        poll_fn(|cx| self.poll_next(cx, &mut progress)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, progress: &mut Option<Progress>) -> Poll<Option<Arc<Head>>> {
        loop {
            if !self.input.is_empty() {
                let progress = progress.get_or_insert_with(|| {
                    self.begin_head();
                    Progress::default()
                });
                let mut head = RequestHead::default();
                match reader::read(&mut head, &self.input, progress, &self.bounds.head(), self.connection.tls) {
                    Ok(Parsed::Incomplete) => {}
                    Ok(Parsed::Complete(target)) => return Poll::Ready(Some(self.take_head(&head, target))),
                    Err(why) => return Poll::Ready(Some(self.refuse(why))),
                }
            }

            match self.poll_scratch(cx) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if self.poll_idle_write(cx).is_ready() {
                return Poll::Ready(None);
            }
            ready!(self.deadline.poll(cx));
            if progress.is_none() {
                return Poll::Ready(None);
            }
            return Poll::Ready(Some(self.refuse(Why::Slow(self.bounds.header_timeout))));
        }
    }

    fn begin_head(&mut self) {
        let began = self.first_byte.take().unwrap_or_else(Instant::now);
        let ago = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.connection.begin_head(Monotonic(self.host.clock.now().0.saturating_sub(ago)));
        self.deadline.set(began + self.bounds.header_timeout);
    }

    fn take_head(&mut self, head: &RequestHead, target: Option<Bytes>) -> Arc<Head> {
        let bytes = self.input.split_to(head.len()).freeze();
        let target = target.unwrap_or_else(|| bytes.slice_ref(head.target(&bytes)));
        self.body = BodyReader::new(head.framing(), self.bounds.max_header_bytes, MAX_FIELDS);
        self.begin_request(head, &bytes, target)
    }

    /// An exchange with a stand-in for the head under way answers for it, and is the last one.
    fn refuse(&mut self, why: Why) -> Arc<Head> {
        let (bytes, unread) = stand_in(&self.input);
        let bytes = Bytes::from(bytes);
        self.body = BodyReader::None;
        // It is made so that it can be read, whatever bound the one it stands for has exceeded.
        let mut head = RequestHead::default();
        let limits = Limits { max_bytes: bytes.len(), max_fields: MAX_FIELDS };
        let read = head.read(&bytes, &mut Progress::default(), &limits);
        debug_assert_eq!(read, Ok(Parsed::Complete(())), "{bytes:?}");

        let target = bytes.slice_ref(head.target(&bytes));
        let request = self.begin_request(&head, &bytes, target);
        self.next = Next::Closes;
        self.connection.refuse_head(RefusedHead { why, unread });
        request
    }

    fn begin_request(&mut self, head: &RequestHead, bytes: &Bytes, target: Bytes) -> Arc<Head> {
        let request = Head::of_http1(head, bytes, target);
        (self.method, self.version) = (request.method.clone(), request.version);
        self.requests += 1;
        let persists = head.connection().persists(head.version()) && self.requests < MAX_REQUESTS;
        self.next = if persists { Next::Serves } else { Next::Closes };
        self.unread = Unread::Closes;
        self.pace.reset();
        (self.answered, self.written, self.reply) = (None, None, Framing::None);
        self.connection.take_head();
        Arc::new(request)
    }

    /// Reads once into a buffer on the stack, so that an idle connection holds none.
    pub(super) fn poll_scratch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
            Some(deadline) => self.deadline.set(deadline),
            None => return Poll::Pending,
        }

        ready!(self.deadline.poll(cx));
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
