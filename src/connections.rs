//! Upstream connections of the held lane, of tunnels and of health probes.

mod idle;

use crate::serve::worker;
use futures::FutureExt;
use idle::Idle;
use pingora::Result;
use pingora::connectors::http::Connector;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::ALPN;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1;
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::time::Duration;

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections to peers that speak HTTP/1.1 alone are kept here, by the worker that made them: taking one up again wakes
/// nobody and asks the kernel nothing. The rest are the engine's to keep, since HTTP/2 connections are shared.
pub struct Connections {
    plain: TransportConnector,
    idle: Idle,
    negotiated: Connector,
}

impl Connections {
    /// With room for `room` idle connections of each kind.
    pub fn new(room: usize, workers: usize) -> Self {
        let options = ConnectorOptions::new(room);
        Self {
            plain: TransportConnector::new(Some(options.clone())),
            // One shelf more for threads that are no worker.
            idle: Idle::new(room, workers + 1),
            negotiated: Connector::new(Some(options)),
        }
    }

    fn is_plain(peer: &HttpPeer) -> bool {
        !peer.is_tls() && peer.options.alpn == ALPN::H1
    }

    /// A connection to `peer`; whether others have used it. Making one is boxed: it is rare, and large.
    pub async fn connect(&self, peer: &HttpPeer) -> Result<(HttpSession, bool)> {
        if !Self::is_plain(peer) {
            return Box::pin(self.negotiated.get_http_session(peer)).await;
        }
        let (stream, reused) = match self.idle.take(worker::number(), peer.reuse_hash()) {
            Some(stream) => (stream, true),
            None => (Box::pin(self.plain.new_stream(peer)).await?, false),
        };
        Ok((HttpSession::H1(Http1::new_with_options(stream, peer)), reused))
    }

    /// Gives a connection back; one that cannot be used again is closed.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        match session {
            HttpSession::H1(mut session) if Self::is_plain(peer) => {
                session.respect_keepalive();
                // What can be used again is there at once. What cannot has a farewell to say, and without TLS that is
                // said by closing. One that was asked for fresh has a key that nobody else will look for.
                if peer.idle_timeout().is_none()
                    && let Some(Some(stream)) = session.reuse().now_or_never()
                {
                    self.idle.keep(worker::number(), peer.reuse_hash(), stream);
                }
            }
            session => {
                Box::pin(self.negotiated.release_http_session(session, peer, peer.idle_timeout())).await;
            }
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
