//! Writing: interim heads, the final one, and the body behind it.

use super::{Http1, Unread};
use crate::downstream::date;
use crate::downstream::untaken::Untaken;
use crate::downstream::writer::{Next, framing_of, tell_next, write_head};
use crate::response_head::ResponseHead;
use bytes::Bytes;
use http::header::HeaderMap;
use http::{StatusCode, Version};
use pingora::{Error, ErrorType, Result};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use vestibule_http1::{CHUNK_END, Framing, LAST_CHUNK, write_chunk_head, write_last_chunk_with_trailers};

impl Http1 {
    /// Writes an interim head, or the final one.
    ///
    /// # Errors
    ///
    /// The client is gone, or takes nothing.
    pub async fn write_head(&mut self, mut head: ResponseHead) -> Result<()> {
        let is_interim = head.is_interim();
        // RFC 9110 section 15.2: they came after HTTP/1.0.
        if is_interim && self.version == Version::HTTP_10 {
            return Ok(());
        }

        self.written = Some(head.status);
        if is_interim {
            write_head(&head, self.out.head());
            return self.flush().await;
        }

        self.reply = framing_of(&head, &self.method);
        let is_left_open = self.reply == Framing::UntilClose || head.status == StatusCode::SWITCHING_PROTOCOLS;
        let is_unread = self.unread == Unread::Closes && !self.body.is_finished();
        if is_left_open || is_unread {
            self.next = Next::Closes;
        }
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            date::add(&mut head.fields);
            tell_next(&mut head.fields, self.next, self.version);
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
        let mut end: &'static [u8] = b"";
        match &mut self.reply {
            Framing::None => piece.clear(),
            Framing::Length(left) => {
                // Whoever reads the application sees to it; a client must not take more for the next response.
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
            }
            Framing::Chunked if !piece.is_empty() => {
                write_chunk_head(piece.len(), self.out.head());
                end = CHUNK_END;
            }
            Framing::Chunked | Framing::UntilClose => {}
        }
        self.write_all(&piece, end).await?;

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

    async fn write_all(&mut self, mut bytes: &[u8], end: &'static [u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, bytes, end)).await.map_err(not_written)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8], end: &'static [u8]) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(taken())) };
        let written = self.out.poll_write(io, cx, bytes, end);
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
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(taken())) };
        ready!(self.out.poll_drain(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    /// Nobody has anything to do: what waits to be written leaves. Ready when that fails.
    pub(super) fn poll_idle_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        }
    }

    /// Lets a write wait for a client that takes no byte, but not for ever.
    pub(super) fn timed<T>(
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

fn not_written(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "a response", error).into_down()
}

fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "a tunnel has the connection")
}
