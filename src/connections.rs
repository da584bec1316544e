//! Connections to upstreams: of exchanges, of tunnels and of health probes.

mod http1;
mod http2;
mod idle;
mod message;
mod patience;
mod upload;

pub use http1::{BROKEN_HEAD, SMALL_HEAD, SMALL_PIECE, USUAL_HEAD, USUAL_PIECE};
pub use message::{RequestBody, RequestHead, Switch};
pub use upload::{Replay, Upload, UploadReader, UploadSender, upload};

use crate::response_head::ResponseHead;
use crate::serve::worker;
use bytes::Bytes;
use http::header::HeaderMap;
use http1::Http1;
use http2::Http2;
use http2::Pool;
use idle::Idle;
use patience::Timeouts;
use pingora::connectors::http::Connector;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::{ALPN, Stream};
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::time::Duration;

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// How long the farewell of a TLS connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Connections that speak HTTP/1.1 are kept here, by the worker that made them: taking one up again wakes nobody and asks
/// the kernel nothing. HTTP/2 connections are the engine's to keep, since exchanges share them.
pub struct Connections {
    plain: TransportConnector,
    idle: Idle,
    negotiated: Arc<Connector>,
}

/// A connection with one exchange on it.
pub struct UpstreamConnection {
    protocol: Protocol,
    peer: Arc<HttpPeer>,
    /// Key of the peer among idle connections.
    key: u64,
}

/// Boxed: it is moved from hand to hand on its way.
enum Protocol {
    /// HTTP/1.1, alone.
    Http1(Box<Http1>),
    /// A stream of HTTP/2.
    Http2(Box<Http2>),
}

/// Whether others have used a connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is new.
    Fresh,
    /// It was idle, or is shared: the upstream may be about to close it.
    Used,
}

impl Connections {
    /// With room for `room` idle connections of each kind.
    pub fn new(room: usize, workers: usize) -> Self {
        let options = ConnectorOptions::new(room);
        Self {
            plain: TransportConnector::new(Some(options.clone())),
            // One shelf more for threads that are no worker.
            idle: Idle::new(room, workers + 1),
            negotiated: Arc::new(Connector::new(Some(options))),
        }
    }

    /// A connection to `peer`. Making one is boxed: it is rare, and large.
    ///
    /// # Errors
    ///
    /// As the engine's connectors name them; nothing of a request was sent.
    pub async fn connect(&self, peer: Arc<HttpPeer>) -> Result<(UpstreamConnection, Age)> {
        let key = peer.reuse_hash();
        let (protocol, age) = self.protocol(&peer, key).await?;
        Ok((UpstreamConnection { protocol, peer, key }, age))
    }

    async fn protocol(&self, peer: &Arc<HttpPeer>, key: u64) -> Result<(Protocol, Age)> {
        let timeouts = Timeouts { read: peer.options.read_timeout, write: peer.options.write_timeout };
        let http1 = |stream| Protocol::Http1(Box::new(Http1::new(stream, timeouts)));

        // A peer that may speak HTTP/2 and does not has its connections here as well.
        if let Some(mut kept) = self.idle.take(worker::number(), key) {
            kept.begin(timeouts);
            return Ok((Protocol::Http1(kept), Age::Used));
        }
        if !peer.is_tls() && peer.options.alpn == ALPN::H1 {
            let stream = Box::pin(self.plain.new_stream(&**peer)).await.map_err(Error::into_up)?;
            return Ok((http1(stream), Age::Fresh));
        }
        let (session, reused) = Box::pin(self.negotiated.get_http_session(&**peer)).await.map_err(Error::into_up)?;
        let age = if reused { Age::Used } else { Age::Fresh };
        match session {
            HttpSession::H1(session) => Ok((http1(session.into_inner()), age)),
            HttpSession::H2(session) => {
                let pool = Pool { connector: Arc::clone(&self.negotiated), peer: Arc::clone(peer) };
                Ok((Protocol::Http2(Box::new(Http2::new(session, timeouts, pool))), age))
            }
            HttpSession::Custom(()) => {
                Err(Error::explain(ErrorType::InternalError, "no other protocol is asked for").into_in())
            }
        }
    }

    /// Gives a connection back; one that cannot be used again is closed.
    pub async fn release(&self, connection: UpstreamConnection) {
        let UpstreamConnection { protocol, peer, key } = connection;
        match protocol {
            Protocol::Http1(http1) if !http1.is_idle() => drop(http1),
            // One that was asked for fresh has a key that nobody else will look for.
            Protocol::Http1(http1) if peer.idle_timeout().is_none() => self.idle.keep(worker::number(), key, http1),
            Protocol::Http1(mut http1) if peer.is_tls() => {
                let farewell = Box::pin(http1.close());
                // Who does not take it loses nothing.
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
            }
            Protocol::Http1(http1) => drop(http1),
            // It goes back whatever became of its stream.
            Protocol::Http2(http2) => drop(http2),
        }
    }

    /// Closes idle connections that the other end has closed or that have been idle for too long, for ever.
    pub async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.idle.sweep();
        }
    }
}

impl UpstreamConnection {
    /// Whether it speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(_))
    }

    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        self.peer.is_tls()
    }

    /// Lines a request up; it leaves while something is read.
    ///
    /// # Errors
    ///
    /// When the head cannot be said in this protocol, or an HTTP/2 connection takes no more streams.
    pub fn send(&mut self, head: &RequestHead<'_>, body: RequestBody) -> Result<()> {
        match &mut self.protocol {
            Protocol::Http1(http1) => {
                http1.send(head, body);
                Ok(())
            }
            Protocol::Http2(http2) => http2.send(head, body).map_err(Error::into_up),
        }
    }

    /// The next head, interim or final. `seen` is shown each new piece of the request body as it leaves.
    ///
    /// # Errors
    ///
    /// When the connection broke, a deadline passed, or the head is malformed.
    pub async fn read_head(&mut self, room: usize, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<ResponseHead> {
        match &mut self.protocol {
            Protocol::Http1(http1) => http1.read_head(room, seen).await,
            Protocol::Http2(http2) => http2.read_head(seen).await,
        }
    }

    /// The next piece of the response body; `None` at its end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`].
    pub async fn read_body(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<Option<Bytes>> {
        self.read_piece(USUAL_PIECE, seen).await
    }

    /// The same, of about `most` bytes at most; a piece of HTTP/2 is what its windows let through.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`].
    pub async fn read_piece(&mut self, most: usize, seen: &mut (dyn FnMut(&Bytes) + Send)) -> Result<Option<Bytes>> {
        match &mut self.protocol {
            Protocol::Http1(http1) => http1.read_body(most, seen).await,
            Protocol::Http2(http2) => http2.read_body(seen).await,
        }
    }

    /// Trailers behind a body that was read to its end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_head`].
    pub async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        match &mut self.protocol {
            Protocol::Http1(http1) => Ok(http1.trailers()),
            Protocol::Http2(http2) => http2.read_trailers().await,
        }
    }

    /// Whether a byte of an answer has come.
    pub fn has_heard(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(http1) => http1.has_heard(),
            Protocol::Http2(http2) => http2.has_heard(),
        }
    }

    /// Whether all of the request has left, or none of it will any more.
    pub fn is_sent(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(http1) => http1.is_sent(),
            Protocol::Http2(http2) => http2.is_sent(),
        }
    }

    /// Sends what is left of the request, once the response is complete; ends early when the upstream wants no more.
    pub async fn send_rest(&mut self, seen: &mut (dyn FnMut(&Bytes) + Send)) {
        match &mut self.protocol {
            Protocol::Http1(http1) => http1.send_rest(seen).await,
            Protocol::Http2(http2) => http2.send_rest(seen).await,
        }
    }

    /// After a 101: what has been read behind the head, and the bare connection.
    pub fn into_stream(self) -> Option<(Bytes, Stream)> {
        match self.protocol {
            Protocol::Http1(http1) => Some(http1.into_stream()),
            Protocol::Http2(_) => None,
        }
    }
}
