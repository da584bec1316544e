//! What runs: the host's settings, parsed and complete.

use http::Method;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vestibule_store::RedisUrl;

/// Everything the host itself needs; plugins have their own.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[store]`
    pub store: Store,
    /// `[log]`
    pub log: Log,
    /// `[[routes]]`, in the order of the file.
    pub routes: Vec<Route>,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// The admin listener; `None` is `"off"`.
    pub admin: Option<SocketAddr>,
    /// Bearer token of the admin listener.
    pub admin_token: Option<SecretText>,
    /// Certificate chain and key, PEM, already read and checked.
    pub tls: Option<Tls>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Peers whose forwarding field is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which forwarding field that is.
    pub forwarding_field: ForwardingField,
    /// Bits of an IPv6 client address that count, 1 to 128.
    pub ipv6_prefix: u8,
    /// Methods that are served; never TRACE or CONNECT.
    pub methods: Vec<Method>,
    /// Whether route matching folds letters.
    pub path_case: PathCase,
    /// Most bytes of a request head.
    pub max_header_bytes: usize,
    /// Most bytes of a request body; `None`: no limit.
    pub max_body_bytes: Option<u64>,
    /// Most bytes of all bodies held in memory at once.
    pub max_held: usize,
    /// Bytes a second a request body must average after 5 s; 0: no floor.
    pub min_body_rate: u64,
    /// Total time for a request head.
    pub header_timeout: Duration,
    /// Between requests, and for a client that takes nothing.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one socket address; 0: no limit.
    pub max_connections_per_client: usize,
    /// Requests at once; 0: no limit.
    pub max_requests: usize,
    /// Name in Via; empty sends none.
    pub via: String,
    /// Longest drain after SIGTERM.
    pub drain_timeout: Duration,
    /// Whether a change of the file reloads it.
    pub watch: bool,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM, leaf first.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
}

/// The forwarding field that a trusted peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardingField {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

/// How paths are compared with route templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCase {
    /// `/A` is not `/a`.
    Sensitive,
    /// ASCII letters are folded.
    Insensitive,
}

/// `[upstream]`, also with a route's overrides applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is.
    pub target: Target,
    /// The url as written, without userinfo, for people.
    pub url: String,
    /// To connect, TLS included.
    pub connect_timeout: Duration,
    /// For each read.
    pub read_timeout: Duration,
    /// For each write.
    pub write_timeout: Duration,
    /// Idle connections kept, over all targets. Host-wide: a route cannot override it.
    pub idle_connections: usize,
    /// The CAs to trust instead of the built-in ones, as read from `ca_file`: the same file with another content is
    /// another upstream.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Name that the certificate must carry; set whenever `target` is TLS.
    pub server_name: String,
    /// Path to probe; `None`: not probed.
    pub health_path: Option<String>,
    /// How often.
    pub health_interval: Duration,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// TCP; the name is resolved when connecting.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// What is spoken.
        protocol: Protocol,
    },
    /// A Unix socket, HTTP/1.1.
    Unix(PathBuf),
}

/// What is spoken to a TCP upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http://`: HTTP/1.1.
    Http,
    /// `https://`: HTTP/2 or HTTP/1.1 by ALPN.
    Https,
    /// `h2c://`: HTTP/2 with prior knowledge.
    H2c,
}

/// `[store]`
#[derive(Clone, Debug)]
pub struct Store {
    /// Keys the HMAC over identifiers; drawn at start when not configured.
    pub secret: [u8; 32],
    /// Where it is.
    pub place: StorePlace,
    /// Stands in front of every name.
    pub namespace: Arc<str>,
    /// Longest time for one operation.
    pub timeout: Duration,
    /// Without a word of any sentinel for so long, nothing is claimed that waits for replicas.
    pub sentinel_silence: Duration,
    /// Bound of the memory store in bytes.
    pub memory_max: u64,
}

impl Store {
    /// The keys of `[store]` by whose change what is stored is not found again.
    pub fn forgets(&self, next: &Self) -> Vec<&'static str> {
        let changed = [
            ("store.url", !self.place.keeps_what(&next.place)),
            ("store.namespace", self.namespace != next.namespace),
            ("store.secret_file", self.secret != next.secret),
        ];
        changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
    }
}

/// Where what is shared lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// `memory:`, this process.
    Memory,
    /// A Redis.
    Redis(Redis),
}

impl StorePlace {
    /// Whether what is stored here is found there: at the same servers, whatever is said to be let in.
    fn keeps_what(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Redis(here), Self::Redis(there)) => here.url.is_same_place(&there.url),
            _ => self == next,
        }
    }
}

/// A Redis, and whom to believe that it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Where it is, credentials included.
    pub url: RedisUrl,
    /// The CAs to trust instead of the built-in ones.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line is written.
    pub format: LogFormat,
    /// Least level.
    pub level: tracing::Level,
    /// One line a request.
    pub access: bool,
    /// How a caller appears.
    pub client: LogClient,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// For people.
    Text,
}

/// How a caller appears in log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogClient {
    /// As a keyed hash.
    Hash,
    /// As the address.
    Address,
}

/// One `[[routes]]` entry as the host sees it, or a path that a plugin serves itself; those come last. Its id is its
/// position plus one.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its unique name.
    pub name: String,
    /// Its path template, `{name}` and `{*name}` included.
    pub path: String,
    /// Methods it names; empty: all.
    pub methods: Vec<Method>,
    /// Whether WebSocket upgrades pass.
    pub upgrade: bool,
    /// Its own upstream settings, complete; `None`: the file's.
    pub upstream: Option<Upstream>,
    /// The plugin that serves it; `None`: it stands in the file.
    pub owner: Option<&'static str>,
}

/// Text that is never shown.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct SecretText(pub String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
