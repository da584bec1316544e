//! The client's side of an exchange: its request as it comes, and the way its answer goes.
//!
//! HTTP/1 is read and written here, on the codec of `vestibule_http1`. HTTP/2 is a stream of the `h2` library.

pub mod connection;
mod date;
mod head;
pub mod http1;
pub mod http2;
pub mod lingering;
mod pace;
mod reader;
pub mod refused;
mod untaken;
pub mod upload;
mod writer;

pub use head::Head;

use crate::response_head::ResponseHead;
use bytes::Bytes;
use connection::Connection;
use http::{HeaderMap, StatusCode};
use http1::Http1;
use http2::Http2;
use pingora::protocols::Stream;
use pingora::{Error, ErrorType, Result};
use std::future::Future;
use std::sync::Arc;
use vestibule_plugin::Monotonic;

/// One request of a client, and the answer to it.
pub enum Downstream {
    /// On a connection of HTTP/1, which may serve another one afterwards.
    Http1(Box<Http1>),
    /// On a stream of HTTP/2.
    Http2(Box<Http2>),
}

/// How an exchange went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// To its end.
    Whole,
    /// Not to its end: the connection serves no other.
    Failed,
}

/// What serves the requests of a listener.
pub trait App: Send + Sync + 'static {
    /// Answers the request with this head.
    fn serve(&self, downstream: &mut Downstream, head: Arc<Head>) -> impl Future<Output = Served> + Send;
}

impl Downstream {
    /// What the exchange knows of its connection, or of its stream.
    pub fn connection(&self) -> &Arc<Connection> {
        match self {
            Self::Http1(http1) => http1.connection(),
            Self::Http2(http2) => http2.connection(),
        }
    }

    /// When the first byte of the head came.
    pub fn began(&self) -> Monotonic {
        match self {
            Self::Http1(http1) => http1.connection().head_began(),
            Self::Http2(http2) => http2.began(),
        }
    }

    /// Whether it is known that no body follows the head.
    pub fn has_no_body(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.has_no_body(),
            Self::Http2(http2) => http2.has_no_body(),
        }
    }

    /// Whether all of the request body has come.
    pub fn body_is_done(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.body_is_done(),
            Self::Http2(http2) => http2.body_is_done(),
        }
    }

    /// The next piece of the request body; `None` at its end. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// Those of the client's side: it is gone, or what it sends is malformed or too slow.
    pub async fn read_body(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Http1(http1) => http1.read_body().await,
            Self::Http2(http2) => http2.read_body().await,
        }
    }

    /// Resolves when nobody waits for the answer any more. For a request whose body has come.
    pub async fn leaves(&mut self) -> Box<Error> {
        match self {
            Self::Http1(http1) => http1.leaves().await,
            Self::Http2(http2) => http2.leaves().await,
        }
    }

    /// Writes an interim head, or the final one.
    ///
    /// # Errors
    ///
    /// The client is gone, or takes nothing.
    pub async fn write_head(&mut self, head: ResponseHead) -> Result<()> {
        match self {
            Self::Http1(http1) => http1.write_head(head).await,
            Self::Http2(http2) => http2.write_head(head, false).await,
        }
    }

    /// Writes the final head, behind which nothing comes.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_last_head(&mut self, head: ResponseHead) -> Result<()> {
        match self {
            Self::Http1(http1) => http1.write_head(head).await,
            Self::Http2(http2) => http2.write_head(head, true).await,
        }
    }

    /// Tells a client that waits for it to send its body (RFC 9110 section 10.1.1).
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_continue(&mut self) -> Result<()> {
        self.write_head(ResponseHead::new(StatusCode::CONTINUE)).await
    }

    /// Writes a piece of the response body; with `ends` it is the last one.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_body(&mut self, piece: Bytes, ends: bool) -> Result<()> {
        match self {
            Self::Http1(http1) => http1.write_body(piece, ends).await,
            Self::Http2(http2) => http2.write_body(piece, ends).await,
        }
    }

    /// Ends the response body with trailers.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`].
    pub async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        match self {
            Self::Http1(http1) => http1.write_trailers(&trailers).await,
            Self::Http2(http2) => http2.write_trailers(trailers).await,
        }
    }

    /// Ends the response, unless that was done, and sends what waits.
    ///
    /// # Errors
    ///
    /// As [`Self::write_head`]; the body is shorter than its head says.
    pub async fn finish(&mut self) -> Result<()> {
        match self {
            Self::Http1(http1) => http1.finish().await,
            Self::Http2(http2) => http2.finish().await,
        }
    }

    /// Serves no further request on this connection.
    pub fn close_after(&mut self) {
        if let Self::Http1(http1) = self {
            http1.close_after();
        }
    }

    /// Reads what is left of a request body that nobody wanted before the next request, instead of closing for it.
    pub fn discard_body(&mut self) {
        if let Self::Http1(http1) = self {
            http1.discard_body();
        }
    }

    /// Status of the last response head that was written.
    pub fn written(&self) -> Option<StatusCode> {
        match self {
            Self::Http1(http1) => http1.written(),
            Self::Http2(http2) => http2.written(),
        }
    }

    /// Takes the connection for a tunnel, with what has been read of it behind the head.
    ///
    /// # Errors
    ///
    /// It is a stream of HTTP/2.
    pub fn take_stream(&mut self) -> Result<(Bytes, Stream)> {
        let taken = match self {
            Self::Http1(http1) => http1.take_stream(),
            Self::Http2(_) => None,
        };
        taken.ok_or_else(|| Error::explain(ErrorType::InternalError, "a tunnel needs HTTP/1").into_in())
    }
}
