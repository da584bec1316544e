//! Upstream connections of the held lane and of health probes.

use pingora::Result;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::{Connector, v1};
use pingora::protocols::ALPN;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};

/// Two pools: one for peers that speak HTTP/1.1 alone, whose idle connections are found without the room that making one
/// takes, and one for the rest.
pub struct Connections {
    plain: v1::Connector,
    negotiated: Connector,
}

impl Connections {
    /// With room for `idle` idle connections each.
    pub fn new(idle: usize) -> Self {
        let options = ConnectorOptions::new(idle);
        Self { plain: v1::Connector::new(Some(options.clone())), negotiated: Connector::new(Some(options)) }
    }

    fn is_plain(peer: &HttpPeer) -> bool {
        !peer.is_tls() && peer.options.alpn == ALPN::H1
    }

    /// A connection to `peer`; whether others have used it. Making one is boxed: it is rare, and large.
    pub async fn connect(&self, peer: &HttpPeer) -> Result<(HttpSession, bool)> {
        if !Self::is_plain(peer) {
            return Box::pin(self.negotiated.get_http_session(peer)).await;
        }
        if let Some(session) = self.plain.reused_http_session(peer).await {
            return Ok((HttpSession::H1(session), true));
        }
        let (session, reused) = Box::pin(self.plain.get_http_session(peer)).await?;
        Ok((HttpSession::H1(session), reused))
    }

    /// Gives a connection back; one that cannot be used again is closed.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        let idle = peer.idle_timeout();
        match session {
            HttpSession::H1(session) if Self::is_plain(peer) => {
                self.plain.release_http_session(session, peer, idle).await;
            }
            session => Box::pin(self.negotiated.release_http_session(session, peer, idle)).await,
        }
    }
}
