//! An upstream: where it is, how it is spoken to, whether it lives.

mod health;
mod resolve;

use crate::config::settings::{self, Protocol, Target};
use crate::host::Lent;
use arc_swap::ArcSwapOption;
use pingora::protocols::ALPN;
use pingora::protocols::l4::socket;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy, Peer, PeerOptions};
use pingora::utils::tls::WrappedX509;
use resolve::Addresses;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use health::{Health, Standing, probe};

/// Streams at once on one HTTP/2 connection to an upstream.
const MAX_UPSTREAM_STREAMS: usize = 100;
/// How long a connection that an attempt insisted on being fresh is kept; nobody else will use it.
const FRESH_IDLE: Duration = Duration::from_secs(1);

/// An upstream of one configuration.
pub struct Upstream {
    /// As configured.
    pub settings: settings::Upstream,
    /// Whether it answers its health path.
    pub health: Health,
    place: Place,
    options: PeerOptions,
    /// What [`Self::usual_peer`] made last.
    usual: ArcSwapOption<HttpPeer>,
    /// Keeps connections with other certificate authorities apart in the pool.
    group: u64,
}

enum Place {
    Tcp(Addresses),
    Unix(String),
}

/// Whether an attempt may use a connection that others have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Any.
    Pooled,
    /// A new one.
    Fresh,
}

/// The upstream's name has no address.
#[derive(Debug, thiserror::Error)]
#[error("no address for `{0}`")]
pub struct Unresolved(pub String);

impl Upstream {
    /// By these settings. Resolves nothing yet.
    pub fn new(settings: settings::Upstream, lent: &Lent) -> Arc<Self> {
        let mut options = PeerOptions::new();
        options.connection_timeout = Some(settings.connect_timeout);
        options.total_connection_timeout = Some(settings.connect_timeout);
        options.read_timeout = Some(settings.read_timeout);
        options.write_timeout = Some(settings.write_timeout);
        options.max_h2_streams = MAX_UPSTREAM_STREAMS;
        options.alpn = match settings.target {
            Target::Tcp { protocol: Protocol::Https, .. } => ALPN::H2H1,
            Target::Tcp { protocol: Protocol::H2c, .. } => ALPN::H2,
            _ => ALPN::H1,
        };
        let mut group = DefaultHasher::new();
        if let Some(authorities) = &settings.authorities {
            authorities.iter().for_each(|der| der.as_ref().hash(&mut group));
            let parsed = authorities.iter().map(|der| WrappedX509::new(der.to_vec(), pingora::utils::tls::parse_x509));
            options.ca = Some(Arc::from(parsed.collect::<Vec<_>>()));
        }
        let place = match &settings.target {
            Target::Tcp { host, port, .. } => Place::Tcp(Addresses::new(host, *port)),
            Target::Unix(path) => Place::Unix(path.to_string_lossy().into_owned()),
        };
        let health = Health::new(&settings, lent);
        Arc::new(Self { settings, health, place, options, usual: ArcSwapOption::empty(), group: group.finish() })
    }

    /// Somewhere to connect to. Waits for the first resolution of a name, at most `connect_timeout`.
    pub async fn peer(&self, upgrade: bool, reuse: Reuse) -> Result<HttpPeer, Unresolved> {
        let address = self.address().await?;
        self.peer_at(address, upgrade, reuse)
    }

    /// The peer of a request that wants nothing special: made once and shared, as long as the address stays.
    pub async fn usual_peer(&self) -> Result<Arc<HttpPeer>, Unresolved> {
        let address = self.address().await?;
        if let Some(usual) = &*self.usual.load()
            && (address.is_none() || inet(usual) == address)
        {
            return Ok(Arc::clone(usual));
        }
        let made = Arc::new(self.peer_at(address, false, Reuse::Pooled)?);
        self.usual.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    /// Where it is; `None` for a unix socket.
    async fn address(&self) -> Result<Option<SocketAddr>, Unresolved> {
        match &self.place {
            Place::Tcp(addresses) => match addresses.pick(self.settings.connect_timeout).await {
                Some(address) => Ok(Some(address)),
                None => Err(self.unresolved()),
            },
            Place::Unix(_) => Ok(None),
        }
    }

    fn unresolved(&self) -> Unresolved {
        Unresolved(self.settings.url.clone())
    }

    fn peer_at(&self, address: Option<SocketAddr>, upgrade: bool, reuse: Reuse) -> Result<HttpPeer, Unresolved> {
        let tls = matches!(self.settings.target, Target::Tcp { protocol: Protocol::Https, .. });
        let sni = if tls { self.settings.server_name.clone() } else { String::new() };
        let mut peer = match (&self.place, address) {
            (Place::Unix(path), _) => HttpPeer::new_uds(path, false, sni).map_err(|_| self.unresolved())?,
            (Place::Tcp(_), Some(address)) => HttpPeer::new(address, tls, sni),
            (Place::Tcp(_), None) => return Err(self.unresolved()),
        };
        peer.options = self.options.clone();
        peer.group_key = self.group;
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy {
            h1_upgrade: H1UpgradePolicy::Deny,
            // The edge has judged Connection and removed what it named.
            strip_connection_nominated: false,
            ..HttpUpstreamRequestPolicy::default()
        };
        if upgrade {
            // Only HTTP/1.1 can switch protocols.
            peer.options.alpn = ALPN::H1;
        }
        if reuse == Reuse::Fresh {
            peer.group_key = fresh_group();
            peer.options.idle_timeout = Some(FRESH_IDLE);
        }
        Ok(peer)
    }

    /// Its name in a Host field.
    pub fn authority(&self) -> String {
        match &self.settings.target {
            Target::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port, .. } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }

    /// A connection to `peer` could not be made: try the next address, and ask for them anew.
    pub fn connect_failed(&self, peer: &HttpPeer) {
        if let (Place::Tcp(addresses), Some(failed)) = (&self.place, inet(peer)) {
            addresses.advance(failed);
        }
    }
}

fn inet(peer: &HttpPeer) -> Option<SocketAddr> {
    match peer.address() {
        socket::SocketAddr::Inet(address) => Some(*address),
        socket::SocketAddr::Unix(_) => None,
    }
}

/// A pool key that no other attempt has, so that no used connection can be found under it.
fn fresh_group() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
