//! One stream of an HTTP/2 connection to an upstream.
//!
//! The connection is the engine's, which shares it between exchanges. As with HTTP/1.1 a body is
//! lined up and leaves while something is read.

use super::message::{RequestBody, RequestHead};
use super::patience::{Patience, Timeouts, Waiting};
use super::upload::{Piece, UploadReader};
use crate::response_head::ResponseHead;
use bytes::Bytes;
use futures::FutureExt;
use h2::{Reason, SendStream};
use http::header::HeaderMap;
use http::{Uri, Version};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, OrErr, Result};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use vestibule_plugin::Fields;

/// Where the connection of a stream goes back to.
pub struct Pool {
    /// Whoever made it.
    pub connector: Arc<Connector>,
    /// The key under which it is found.
    pub peer: Arc<HttpPeer>,
}

impl Pool {
    /// Ends the stream, with a reset unless it is complete, and leaves its connection to others, who have until the
    /// peer's idle timeout. The engine counts streams by this: a connection whose stream is merely dropped stays.
    fn take_back(&self, session: Http2Session) {
        // The engine starts a timer; without a runtime the process is about to end.
        if Handle::try_current().is_ok() {
            let release =
                self.connector.release_http_session(HttpSession::H2(session), &*self.peer, self.peer.idle_timeout());
            // Nothing in it waits.
            let _ = release.now_or_never();
        }
    }
}

/// The stream.
pub struct Http2 {
    /// Taken when this is dropped.
    session: Option<Http2Session>,
    pool: Pool,
    timeouts: Timeouts,
    patience: Patience,
    writer: Option<SendStream<Bytes>>,
    /// Bytes that wait for room in the peer's window.
    out: Bytes,
    upload: Option<UploadReader>,
    /// Why the upstream took no more of the request.
    write_error: Option<h2::Error>,
    has_head: bool,
    /// Changes with every piece that moved.
    moved: u64,
}

impl Http2 {
    /// An exchange on the stream of `session`.
    pub fn new(mut session: Http2Session, timeouts: Timeouts, pool: Pool) -> Self {
        // Time is kept here.
        (session.read_timeout, session.write_timeout) = (None, None);
        Self {
            session: Some(session),
            pool,
            timeouts,
            patience: Patience::new(timeouts),
            writer: None,
            out: Bytes::new(),
            upload: None,
            write_error: None,
            has_head: false,
            moved: 0,
        }
    }

    /// Sends a head and lines its body up.
    ///
    /// # Errors
    ///
    /// `InvalidHTTPHeader` for a head that cannot be written, `H2Error` when the connection takes
    /// no more streams: nothing was processed then.
    pub fn send(&mut self, head: &RequestHead<'_>, body: RequestBody) -> Result<()> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.version, parts.method, parts.headers) = (Version::HTTP_2, head.method.clone(), head.fields.to_map());
        parts.uri = Uri::builder()
            .scheme(head.scheme)
            .authority(&*head.authority)
            .path_and_query(head.target)
            .build()
            .or_err(ErrorType::InvalidHTTPHeader, "making the target of an HTTP/2 request")?;
        let length = match &body {
            RequestBody::None => None,
            RequestBody::Whole(bytes) => Some(bytes.len() as u64),
            RequestBody::Streamed { length, .. } => *length,
        };
        if let Some(length) = length {
            parts.headers.insert(http::header::CONTENT_LENGTH, length.into());
        }
        let ends = match &body {
            RequestBody::None => true,
            RequestBody::Whole(bytes) => bytes.is_empty(),
            RequestBody::Streamed { .. } => false,
        };
        let session = session(&mut self.session)?;
        session.write_request_header(Box::new(RequestHeader::from(parts)), ends)?;
        if ends {
            return Ok(());
        }

        self.writer = session.take_request_body_writer();
        match body {
            RequestBody::None => {}
            RequestBody::Whole(bytes) => self.out = bytes,
            RequestBody::Streamed { from, .. } => self.upload = Some(from),
        }
        Ok(())
    }

    /// Whether a byte of an answer has come.
    pub fn has_heard(&self) -> bool {
        self.has_head
    }

    /// Whether all of the request has left, or none of it will any more.
    pub fn is_sent(&self) -> bool {
        self.out.is_empty() && self.upload.is_none()
    }

    /// Sends what is left of the request, once the response is complete.
    pub async fn send_rest(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) {
        poll_fn(|cx| self.poll_send(cx, seen)).await;
    }

    /// The final head; the engine drops interim ones.
    ///
    /// # Errors
    ///
    /// `H2Error` with the library's own as its cause, `ReadError`, `ReadTimedout`, `WriteTimedout`.
    pub async fn read_head(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<ResponseHead> {
        self.patience.restart();
        poll_fn(|cx| {
            let sending = self.poll_send(cx, seen);
            if let Poll::Ready(read) = session(&mut self.session)?.poll_read_response_header(cx) {
                return Poll::Ready(read.map_err(|error| self.broken(error)));
            }
            self.poll_overdue(cx, sending)
        })
        .await?;
        self.has_head = true;
        if let Some(upload) = &mut self.upload {
            upload.is_last();
        }
        let head = session(&mut self.session)?.response_header();
        let head = head.ok_or_else(|| Error::explain(ErrorType::H2Error, "no response head").into_up())?;
        let (status, fields) = (head.status, Fields::from(&head.headers));
        Ok(ResponseHead { status, reason: None, fields })
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`].
    pub async fn read_body(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<Option<Bytes>> {
        self.patience.restart();
        poll_fn(|cx| {
            let sending = self.poll_send(cx, seen);
            loop {
                match session(&mut self.session)?.poll_read_response_body(cx) {
                    Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                    Poll::Ready(read) => {
                        self.moved += 1;
                        let piece = read.transpose().map_err(|error| {
                            Error::because(ErrorType::ReadError, "reading a response body", error).into_up()
                        });
                        return Poll::Ready(piece);
                    }
                    Poll::Pending => break,
                }
            }
            match self.poll_overdue(cx, sending) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Trailers behind a body that was read to its end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`].
    pub async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        let read = session(&mut self.session)?.read_trailers();
        let trailers = match self.timeouts.read {
            Some(patience) => tokio::time::timeout(patience, read)
                .await
                .unwrap_or_else(|_| Err(Error::explain(ErrorType::ReadTimedout, "waiting for trailers"))),
            None => read.await,
        };
        trailers.map_err(Error::into_up)
    }

    /// What a failed exchange says of the connection: one that goes away serves nobody else.
    fn broken(&mut self, error: h2::Error) -> Box<Error> {
        if error.is_go_away()
            && let Some(session) = &self.session
        {
            session.conn.mark_shutdown();
        }
        broken_stream(error)
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>, sending: Poll<()>) -> Poll<Result<()>> {
        let waiting = match sending {
            _ if self.write_error.is_some() => Waiting::EarlyAnswer,
            Poll::Ready(()) => Waiting::Read,
            Poll::Pending if self.out.is_empty() => Waiting::Client,
            Poll::Pending => Waiting::Write,
        };
        let overdue = ready!(self.patience.poll_overdue(cx, waiting, self.moved));
        let error = match self.write_error.take() {
            Some(error) => self.broken(error),
            None => overdue,
        };
        Poll::Ready(Err(error))
    }

    /// Sends what there is to send. Ready when all of it has left, or none of it will.
    fn poll_send(&mut self, cx: &mut Context<'_>, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Poll<()> {
        if self.writer.is_none() {
            return Poll::Ready(());
        }
        match self.poll_write_all(cx, seen) {
            Poll::Ready(Err(error)) => {
                // It may have decided already, and want no more (RFC 9113 section 8.1).
                self.write_error = Some(error);
                self.out = Bytes::new();
                self.upload = None;
                self.writer = None;
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => {
                self.writer = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        seen: &mut (dyn FnMut(&Bytes) + Send),
    ) -> Poll<std::result::Result<(), h2::Error>> {
        let Some(writer) = &mut self.writer else { return Poll::Ready(Ok(())) };
        loop {
            while !self.out.is_empty() {
                writer.reserve_capacity(self.out.len());
                let room = match ready!(writer.poll_capacity(cx)) {
                    Some(room) => room?,
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                };
                let piece = self.out.split_to(room.min(self.out.len()));
                let ends = self.out.is_empty() && self.upload.is_none();
                writer.send_data(piece, ends)?;
                self.moved += 1;
                if ends {
                    return Poll::Ready(Ok(()));
                }
            }

            let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
            match ready!(upload.poll_next(cx)) {
                Some(Piece::New(piece)) => {
                    seen(&piece);
                    self.out = piece;
                }
                Some(Piece::Again(piece)) => self.out = piece,
                None => {
                    self.upload = None;
                    writer.send_data(Bytes::new(), true)?;
                    self.moved += 1;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        // It holds the stream as well.
        self.writer = None;
        if let Some(session) = self.session.take() {
            self.pool.take_back(session);
        }
    }
}

fn session(session: &mut Option<Http2Session>) -> Result<&mut Http2Session> {
    session.as_mut().ok_or_else(|| Error::explain(ErrorType::InternalError, "the stream was given back").into_in())
}

/// The library's error in the engine's terms; it stays the cause, and `Processed` is read from it.
fn broken_stream(error: h2::Error) -> Box<Error> {
    let kind = if error.is_io() {
        ErrorType::ReadError
    } else if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        // What it sent has no meaning, to the connection or to one stream.
        ErrorType::InvalidH2
    } else {
        ErrorType::H2Error
    };
    Error::because(kind, "on an HTTP/2 stream", error).into_up()
}
