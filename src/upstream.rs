//! An upstream: where it is, how it is spoken to, whether it lives.

mod health;
mod resolve;

use crate::config::settings::{self, Protocol, Target};
use crate::host::Lent;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy, PeerOptions};
use pingora::utils::tls::WrappedX509;
use resolve::Addresses;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use health::{Health, probe};

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
    /// Reads what the settings name. Resolves nothing yet.
    pub fn new(settings: settings::Upstream, lent: &Lent) -> Result<Arc<Self>, String> {
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
        settings.ca_file.hash(&mut group);
        if let Some(file) = &settings.ca_file {
            let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            options.ca = Some(Arc::from(authorities(&pem).map_err(|why| format!("{}: {why}", file.display()))?));
        }
        let place = match &settings.target {
            Target::Tcp { host, port, .. } => Place::Tcp(Addresses::new(host, *port)),
            Target::Unix(path) => Place::Unix(path.to_string_lossy().into_owned()),
        };
        let health = Health::new(&settings, lent);
        Ok(Arc::new(Self { settings, health, place, options, group: group.finish() }))
    }

    /// Somewhere to connect to. Waits for the first resolution of a name, at most `connect_timeout`.
    pub async fn peer(&self, upgrade: bool, reuse: Reuse) -> Result<Box<HttpPeer>, Unresolved> {
        let unresolved = || Unresolved(self.settings.url.clone());
        let tls = matches!(self.settings.target, Target::Tcp { protocol: Protocol::Https, .. });
        let sni = if tls { self.settings.server_name.clone() } else { String::new() };
        let mut peer = match &self.place {
            Place::Tcp(addresses) => {
                let address: SocketAddr = addresses.pick(self.settings.connect_timeout).await.ok_or_else(unresolved)?;
                HttpPeer::new(address, tls, sni)
            }
            Place::Unix(path) => HttpPeer::new_uds(path, false, sni).map_err(|_| unresolved())?,
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
        Ok(Box::new(peer))
    }

    /// Its name in a Host field.
    pub fn authority(&self) -> String {
        match &self.settings.target {
            Target::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port, .. } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }

    /// A connection could not be made: try the next address, and ask for them anew.
    pub fn connect_failed(&self) {
        if let Place::Tcp(addresses) = &self.place {
            addresses.advance();
        }
    }
}

/// A pool key that no other attempt has, so that no used connection can be found under it.
fn fresh_group() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn authorities(pem: &[u8]) -> Result<Vec<WrappedX509>, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem)
        .map(|der| {
            let der = der.map_err(|error| error.to_string())?;
            Ok(WrappedX509::new(der.to_vec(), pingora::utils::tls::parse_x509))
        })
        .collect()
}
