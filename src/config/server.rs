//! `[server]`: the listener, its limits and deadlines.

use crate::config::address::{self, Listeners};
use crate::config::report::Report;
use crate::config::secret_file::secret;
use crate::config::section::Section;
use crate::config::settings::{ForwardingField, PathCase, Server};
use crate::config::{methods, tls};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};

/// The listener, its limits and deadlines.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerFile {
    /// (restart) Address to serve on, or a list of them. Port 0 is one the system chooses.
    listen: OneOrMany,
    /// (restart) Address of the admin listener; "off" disables it. A non-loopback address needs `admin_token_file`.
    admin: String,
    /// Bearer token of the admin listener, literally; rather use `admin_token_file`.
    #[serde(skip_serializing_if = "String::is_empty")]
    admin_token: String,
    /// File that holds the bearer token of the admin listener.
    admin_token_file: String,
    /// (restart) Certificate chain and key, both PEM. With both set the listener speaks TLS, HTTP/1.1 and HTTP/2.
    tls: TlsFile,
    /// (restart) Worker threads; 0: one per core.
    #[schemars(range(min = 0, max = 1024))]
    workers: u32,
    /// CIDRs or addresses of peers whose forwarding field is believed, e.g. ["10.0.0.0/8"].
    trusted_proxies: Vec<String>,
    /// The field your load balancer writes the client's address into; the other one is never read.
    forwarding_field: ForwardingFieldFile,
    /// An IPv6 client is this many leading bits, wherever an address is a key.
    #[schemars(range(min = 1, max = 128))]
    ipv6_prefix: u8,
    /// Methods that are served; any other is 405.
    #[schemars(length(min = 1, max = 64))]
    methods: Vec<String>,
    /// "insensitive" for applications that ignore case in paths.
    path_case: PathCaseFile,
    /// Largest request head; over it: 431. 1KiB to 1MiB.
    max_header_bytes: Size,
    /// Largest request body; over it: 413. 0: no limit.
    max_body_bytes: ByteLimit,
    /// All bodies held in memory at once; over it: 503 for what must be held. At least 1MiB.
    max_held: Size,
    /// Bytes a second a request body must average after 5 s, else 408; 0: no floor.
    min_body_rate: u64,
    /// From the first byte (or accept) to the end of the request head, in total.
    header_timeout: Span,
    /// How long a kept-alive connection may be idle.
    idle_timeout: Span,
    /// Connections at once; one more is closed. At most half of the file descriptors that the system grants.
    #[schemars(range(min = 1, max = MOST_CONNECTIONS))]
    max_connections: u64,
    /// Connections at once from one client, an IPv6 one by `ipv6_prefix`, trusted proxies exempt; 0: no limit.
    max_connections_per_client: u64,
    /// Requests served at once; one more: 503. 0: no limit.
    max_requests: u64,
    /// Name in the Via field sent upstream; "" sends none.
    via: String,
    /// After SIGTERM, requests that are under way have this long to finish.
    drain_timeout: Span,
    /// Whether a change of this file reloads it.
    watch: bool,
}

impl Default for ServerFile {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            listen: OneOrMany::One("0.0.0.0:8080".to_owned()),
            admin: "127.0.0.1:9901".to_owned(),
            admin_token: String::new(),
            admin_token_file: String::new(),
            tls: TlsFile::default(),
            workers: 0,
            trusted_proxies: Vec::new(),
            forwarding_field: ForwardingFieldFile::XForwardedFor,
            ipv6_prefix: 64,
            methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(str::to_owned).into(),
            path_case: PathCaseFile::Sensitive,
            max_header_bytes: Size(64 << 10),
            max_body_bytes: ByteLimit(Size(10 << 20)),
            max_held: Size(256 << 20),
            min_body_rate: 240,
            header_timeout: seconds(10),
            idle_timeout: seconds(75),
            max_connections: 10_000,
            max_connections_per_client: 0,
            max_requests: 20_000,
            via: "vestibule".to_owned(),
            drain_timeout: seconds(30),
            watch: false,
        }
    }
}

/// PEM files of the listener.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsFile {
    /// Certificate chain, leaf first.
    pub(super) cert_file: String,
    /// Its private key.
    pub(super) key_file: String,
}

/// A string or a list of strings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1, max = 64))] Vec<String>),
}

/// A number of bytes, also as a plain integer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct ByteLimit(Size);

impl<'de> Deserialize<'de> for ByteLimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Size(Size),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Size(bytes),
            Written::Size(size) => size,
        }))
    }
}

impl JsonSchema for ByteLimit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteLimit".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let size = generator.subschema_for::<Size>();
        schemars::json_schema!({ "anyOf": [size, { "type": "integer", "minimum": 0 }] })
    }
}

/// A forwarding field.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
pub(super) enum ForwardingFieldFile {
    /// X-Forwarded-For
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// Forwarded (RFC 7239)
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// How paths are compared with those of routes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PathCaseFile {
    /// /A is not /a.
    Sensitive,
    /// Letters are folded.
    Insensitive,
}

/// A network of IPv4 addresses in IPv6 dress (`::ffff:0:0/96`) is that of the IPv4 addresses, as peers are.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let (address, bits) = (network.addr().to_canonical(), network.prefix_len());
    match (network, address) {
        (IpNet::V6(_), IpAddr::V4(_)) if bits >= MAPPED_BITS => {
            IpNet::new(address, bits - MAPPED_BITS).unwrap_or(network)
        }
        _ => network,
    }
}

/// Largest `max_connections`: more than any system has descriptors for.
const MOST_CONNECTIONS: u64 = 1 << 24;

/// Least `max_held`: with less, a sixteenth of it is no whole step of what is counted. The most is a tebibyte.
const MAX_HELD: (u64, u64) = (1 << 20, 1 << 40);

/// No deadline of the listener is shorter: a client needs a packet or two.
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);

impl ServerFile {
    /// The settings; what is wrong goes into `report` and a usable value in its place.
    pub(super) fn settle(&self, section: &Section<'_>, report: &mut Report<'_>) -> Server {
        let addresses = match &self.listen {
            OneOrMany::One(address) => std::slice::from_ref(address),
            OneOrMany::Many(addresses) => addresses,
        };
        let Listeners { listen, admin } = address::listeners(addresses, &self.admin, section, report);
        let has_token = !(self.admin_token.is_empty() && self.admin_token_file.is_empty());
        if let Some(admin) = admin
            && !admin.ip().is_loopback()
            && !has_token
            && section.sound(&["admin", "admin_token", "admin_token_file"])
        {
            let message = format!("the admin listener on {admin} needs a token");
            report.error(&section.place(&["admin"]), message, "set `admin_token_file`, or use a loopback address");
        }
        let bytes = |bytes: &u64| Size(*bytes).to_string();
        Server {
            listen,
            admin,
            admin_token: secret("admin_token", &self.admin_token, &self.admin_token_file, section, report),
            tls: tls::listener(&self.tls, section, report),
            workers: match self.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                workers => usize::try_from(workers).unwrap_or(usize::MAX),
            },
            trusted_proxies: self.networks(section, report),
            forwarding_field: match self.forwarding_field {
                ForwardingFieldFile::XForwardedFor => ForwardingField::XForwardedFor,
                ForwardingFieldFile::Forwarded => ForwardingField::Forwarded,
            },
            ipv6_prefix: self.ipv6_prefix,
            methods: methods::parse(&self.methods, &["methods"], section, report),
            path_case: match self.path_case {
                PathCaseFile::Sensitive => PathCase::Sensitive,
                PathCaseFile::Insensitive => PathCase::Insensitive,
            },
            max_header_bytes: section.bounded(
                "max_header_bytes",
                self.max_header_bytes.0,
                (1 << 10, 1 << 20),
                &bytes,
                report,
            ),
            max_body_bytes: Some(self.max_body_bytes.0.0).filter(|bytes| *bytes > 0),
            max_held: section.bounded("max_held", self.max_held.0, MAX_HELD, &bytes, report),
            min_body_rate: self.min_body_rate,
            header_timeout: section.duration("header_timeout", self.header_timeout, LEAST_TIMEOUT, report),
            idle_timeout: section.duration("idle_timeout", self.idle_timeout, LEAST_TIMEOUT, report),
            max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
            max_connections_per_client: usize::try_from(self.max_connections_per_client).unwrap_or(usize::MAX),
            max_requests: usize::try_from(self.max_requests).unwrap_or(usize::MAX),
            via: self.via(section, report),
            drain_timeout: self.drain_timeout.0,
            watch: self.watch,
        }
    }

    fn networks(&self, section: &Section<'_>, report: &mut Report<'_>) -> Vec<IpNet> {
        let parsed = self.trusted_proxies.iter().enumerate().filter_map(|(index, text)| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            if network.is_err() {
                let at = section.place(&["trusted_proxies", &index.to_string()]);
                let label = "expected an address or a CIDR such as \"10.0.0.0/8\"";
                report.error(&at, format!("`{text}` is no network"), label);
            }
            network.ok().map(canonical)
        });
        parsed.collect()
    }

    /// A pseudonym (RFC 9110 section 7.6.3): a token, or a host with a port.
    fn via(&self, section: &Section<'_>, report: &mut Report<'_>) -> String {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
        if self.via.len() > 255 || !self.via.bytes().all(allowed) {
            let label = "expected a name such as \"vestibule\", or \"\" to send none";
            report.error(&section.place(&["via"]), "`via` is no name", label);
        }
        self.via.clone()
    }
}
