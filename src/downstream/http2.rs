//! One request of a client on a stream of HTTP/2, over the `h2` library.

use super::connection::Connection;
use super::date;
use super::head::Head;
use crate::response_head::ResponseHead;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use pingora::{Error, ErrorType, OrErr, Result};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use vestibule_plugin::{Monotonic, Names};

/// Most bytes sent at once: what one frame carries (RFC 9113 section 6.5.2). A client that takes so many in the time that it
/// has is seen to take some.
const FRAME: usize = 16 * 1024;

/// Fields that HTTP/2 does not have (RFC 9113 section 8.2.2).
static OF_HTTP1: Names<5> =
    Names::new(["transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"]);

/// The stream. Dropped before its response has ended, it is reset.
pub struct Http2 {
    /// No body follows the head.
    has_no_body: bool,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Once the final head is written.
    out: Option<SendStream<Bytes>>,
    has_ended: bool,
    written: Option<StatusCode>,
    /// How long the client may take none of what is sent.
    patience: Duration,
    connection: Arc<Connection>,
    began: Monotonic,
}

impl Http2 {
    /// Of a stream that the library has accepted, and the head of its request.
    pub fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        patience: Duration,
        connection: Arc<Connection>,
        began: Monotonic,
    ) -> (Self, Arc<Head>) {
        let (head, body) = request.into_parts();
        let head = Head::of_http2(head);
        let has_no_body = body.is_end_stream() || head.fields.text(header::CONTENT_LENGTH) == Some("0");
        let (out, has_ended, written) = (None, false, None);
        let stream = Self { has_no_body, body, respond, out, has_ended, written, patience, connection, began };
        (stream, Arc::new(head))
    }

    /// What the exchange knows of its stream.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// When the head came.
    pub fn began(&self) -> Monotonic {
        self.began
    }

    /// Whether no body follows the head.
    pub fn has_no_body(&self) -> bool {
        self.has_no_body
    }

    /// Whether all of the body has come.
    pub fn body_is_done(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Status of the final head, once it is written.
    pub fn written(&self) -> Option<StatusCode> {
        self.written
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// The stream or its connection has ended.
    pub async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let Some(piece) = self.body.data().await else { return Ok(None) };
        let piece = piece.or_err(ErrorType::ReadError, "a request body").map_err(Error::into_down)?;
        // The window opens as it is read: what is kept of it is bounded by whoever keeps it.
        let released = self.body.flow_control().release_capacity(piece.len());
        released.or_err(ErrorType::ReadError, "a request body").map_err(Error::into_down)?;
        Ok(Some(piece))
    }

    /// Resolves when the client has reset the stream, or its connection has ended.
    pub async fn leaves(&mut self) -> Box<Error> {
        let left = poll_fn(|cx| match &mut self.out {
            Some(out) => out.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        match left.await {
            Ok(_reason) => Error::explain(ErrorType::ConnectionClosed, "the client left").into_down(),
            Err(error) => Error::because(ErrorType::ConnectionClosed, "the client left", error).into_down(),
        }
    }

    /// Writes an interim head, or the final one; with `ends` nothing follows it.
    ///
    /// # Errors
    ///
    /// The stream or its connection has ended.
    pub async fn write_head(&mut self, mut head: ResponseHead, ends: bool) -> Result<()> {
        head.fields.remove_all(&OF_HTTP1);
        if head.status.is_informational() {
            // Nothing waits for its body over HTTP/2 but where it is asked for.
            let sent = self.respond.send_informational(response(&head));
            return sent.or_err(ErrorType::WriteError, "an interim response").map_err(Error::into_down);
        }

        date::add(&mut head.fields);
        let status = head.status;
        let sent = self.respond.send_response(response(&head), ends);
        self.out = Some(sent.or_err(ErrorType::WriteError, "a response").map_err(Error::into_down)?);
        (self.written, self.has_ended) = (Some(status), ends);
        Ok(())
    }

    /// Writes a piece of the body; with `ends` it is the last one.
    ///
    /// # Errors
    ///
    /// The stream has ended, or the client takes nothing.
    pub async fn write_body(&mut self, mut piece: Bytes, ends: bool) -> Result<()> {
        while !piece.is_empty() && !self.has_ended {
            let patience = self.patience;
            let part = self.send_part(&mut piece, ends);
            let late = |_elapsed| Error::explain(ErrorType::WriteTimedout, "the client takes no byte").into_down();
            timeout(patience, part).await.map_err(late)??;
        }
        if ends { self.finish().await } else { Ok(()) }
    }

    /// Sends as much of `piece` as the client has room for, once it has some.
    async fn send_part(&mut self, piece: &mut Bytes, ends: bool) -> Result<()> {
        let Some(out) = &mut self.out else { return Err(gone()) };
        out.reserve_capacity(piece.len().min(FRAME));
        let room = loop {
            match poll_fn(|cx| out.poll_capacity(cx)).await {
                // It may be told of room that another stream of the connection has taken meanwhile.
                Some(Ok(0)) => {}
                Some(Ok(room)) => break room,
                Some(Err(error)) => {
                    return Err(Error::because(ErrorType::WriteError, "a response", error).into_down());
                }
                None => return Err(gone()),
            }
        };
        let part = piece.split_to(room.min(piece.len()));
        self.has_ended = ends && piece.is_empty();
        out.send_data(part, self.has_ended).or_err(ErrorType::WriteError, "a response").map_err(Error::into_down)
    }

    /// Ends the body with trailers.
    ///
    /// # Errors
    ///
    /// The stream has ended.
    pub async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        let Some(out) = self.out.as_mut().filter(|_| !self.has_ended) else { return Ok(()) };
        self.has_ended = true;
        out.send_trailers(trailers).or_err(ErrorType::WriteError, "trailers").map_err(Error::into_down)
    }

    /// Ends the response, unless that was done.
    ///
    /// # Errors
    ///
    /// The stream has ended.
    pub async fn finish(&mut self) -> Result<()> {
        let Some(out) = self.out.as_mut().filter(|_| !self.has_ended) else { return Ok(()) };
        self.has_ended = true;
        out.send_data(Bytes::new(), true).or_err(ErrorType::WriteError, "a response").map_err(Error::into_down)
    }

    /// Whether the whole response has been handed over while the client is still sending.
    pub fn is_answered_early(&self) -> bool {
        self.written.is_some() && !self.body_is_done()
    }
}

/// As the library below takes it.
fn response(head: &ResponseHead) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields.to_map();
    response
}

fn gone() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client left").into_down()
}

/// Resets a stream whose head is malformed, before it becomes an exchange.
pub fn refuse(mut respond: SendResponse<Bytes>) {
    respond.send_reset(Reason::PROTOCOL_ERROR);
}
