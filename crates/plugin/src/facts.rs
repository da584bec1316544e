//! What one plugin states and another reads.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Index of a `[[routes]]` entry, or behind these of a path that a plugin serves itself; 0 is `unmatched`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct RouteId(pub u16);

impl RouteId {
    /// The route of a request that matches no entry.
    pub const UNMATCHED: Self = Self(0);

    /// Position in a table with a row for `unmatched` in front.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Identity of this exchange in a trace (W3C Trace Context Level 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// 128 bits, never 0.
    pub trace_id: u128,
    /// The SERVER span's id, never 0.
    pub span_id: u64,
    /// `sampled` (bit 0) and `random` (bit 1).
    pub flags: u8,
}

impl TraceContext {
    /// The trace is recorded.
    pub const SAMPLED: u8 = 1;
    /// The low 56 bits of the trace id are random.
    pub const RANDOM: u8 = 2;

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

/// Where the request came from, with trusted proxies seen through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientAddress {
    /// An IPv4 address in full, or an IPv6 address cut to `prefix` bits.
    Ip {
        /// The address; bits beyond the prefix are zero.
        ip: IpAddr,
        /// Bits that count: 32 for IPv4, `[server] ipv6_prefix` for IPv6.
        prefix: u8,
    },
    /// A Unix socket.
    Local,
}

impl ClientAddress {
    /// Of `ip`, of which this many bits count when it is an IPv6 address; one that only wraps an IPv4 address is that.
    pub fn of(ip: IpAddr, ipv6_prefix: u8) -> Self {
        match ip.to_canonical() {
            ip @ IpAddr::V4(_) => Self::Ip { ip, prefix: 32 },
            IpAddr::V6(ip) => {
                let bits = u128::from(ip) & u128::MAX.checked_shl(128 - u32::from(ipv6_prefix)).unwrap_or(0);
                Self::Ip { ip: IpAddr::V6(Ipv6Addr::from(bits)), prefix: ipv6_prefix }
            }
        }
    }
}

impl ClientAddress {
    /// Appends it as it is displayed, without the detour over a formatter where that is the usual case.
    pub fn append_to(&self, text: &mut String) {
        // Writing to a String does not fail.
        let _ = match self {
            Self::Ip { ip: IpAddr::V4(ip), .. } => write_dotted(*ip, text),
            Self::Ip { ip: IpAddr::V6(_), .. } | Self::Local => write!(text, "{self}"),
        };
    }
}

impl fmt::Display for ClientAddress {
    /// `203.0.113.7`, `2001:db8:1:2::/64` or `local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip { ip: IpAddr::V4(ip), .. } => write_dotted(*ip, f),
            Self::Ip { ip: IpAddr::V6(ip), prefix: 128 } => ip.fmt(f),
            Self::Ip { ip: IpAddr::V6(ip), prefix } => write!(f, "{ip}/{prefix}"),
            Self::Local => f.write_str("local"),
        }
    }
}

/// By hand: every request of a limited caller needs it, and the formatting of the library costs more than the limiter.
fn write_dotted(ip: Ipv4Addr, out: &mut impl fmt::Write) -> fmt::Result {
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            out.write_char('.')?;
        }
        if octet >= 100 {
            out.write_char(char::from(b'0' + octet / 100))?;
        }
        if octet >= 10 {
            out.write_char(char::from(b'0' + octet / 10 % 10))?;
        }
        out.write_char(char::from(b'0' + octet % 10))?;
    }
    Ok(())
}

/// Who calls, as verified by the auth plugin. It holds no credential.
#[derive(Clone, PartialEq, Debug)]
pub struct Principal {
    /// What it rests on. With both a token and an API key it is the token.
    pub kind: PrincipalKind,
    /// Who issued the token.
    pub issuer: Option<Arc<str>>,
    /// The verified subject: of the token, or of the API key's record.
    pub subject: Option<Arc<str>>,
    /// Id of the API key, if one was presented.
    pub api_key: Option<Arc<str>>,
    /// What it may do.
    pub scopes: Arc<[Box<str>]>,
    /// The tier that the API key's record names; a token names its own in a claim.
    pub tier: Option<Arc<str>>,
    /// Every claim of the token; empty for an API key.
    pub claims: Arc<Claims>,
}

impl Principal {
    /// Of a verified token with these claims.
    pub fn of_token(claims: Claims) -> Self {
        let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
        Self {
            kind: PrincipalKind::Token,
            issuer: text("iss").map(Arc::from),
            subject: text("sub").map(Arc::from),
            api_key: None,
            scopes: Arc::default(),
            tier: None,
            claims: Arc::new(claims),
        }
    }

    /// Of the API key with this id.
    pub fn of_api_key(id: &str) -> Self {
        Self {
            kind: PrincipalKind::ApiKey,
            issuer: None,
            subject: None,
            api_key: Some(id.into()),
            scopes: Arc::default(),
            tier: None,
            claims: Arc::default(),
        }
    }
}

/// What a caller was verified by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrincipalKind {
    /// A signed token.
    Token,
    /// An API key.
    ApiKey,
}

/// The claims of a verified token (RFC 7519 section 4).
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// The claim of this name; a name that starts with `/` is a JSON pointer (RFC 6901).
pub fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a serde_json::Value> {
    let Some(pointer) = name.strip_prefix('/') else { return claims.get(name) };
    let unescaped = |step: &str| step.replace("~1", "/").replace("~0", "~");
    let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&unescaped(first))?;
    match rest {
        Some(rest) => value.pointer(&format!("/{rest}")),
        None => Some(value),
    }
}

/// What is known about an exchange. Each fact has one writer.
#[derive(Debug)]
pub struct Facts {
    route: RouteId,
    address: ClientAddress,
    trace: TraceContext,
    principal: Option<Arc<Principal>>,
    tier: Option<Arc<str>>,
    replayed: bool,
}

impl Facts {
    /// The facts the host states: route, client address, and a trace context drawn for this exchange.
    pub fn new(route: RouteId, address: ClientAddress, trace: TraceContext) -> Self {
        Self { route, address, trace, principal: None, tier: None, replayed: false }
    }

    /// Which `[[routes]]` entry applies.
    pub fn route(&self) -> RouteId {
        self.route
    }
    /// The client's address.
    pub fn address(&self) -> ClientAddress {
        self.address
    }
    /// The trace this exchange belongs to.
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }
    /// Who calls; `None` is anonymous.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }
    /// The rate tier that applies.
    pub fn tier(&self) -> Option<&Arc<str>> {
        self.tier.as_ref()
    }
    /// Whether the reply is a stored one.
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// Stated by the trace plugin when the caller brought a context.
    pub fn set_trace(&mut self, trace: TraceContext) {
        self.trace = trace;
    }
    /// Stated by the auth plugin.
    pub fn set_principal(&mut self, principal: Arc<Principal>) {
        self.principal = Some(principal);
    }
    /// Stated by the rate-limit plugin.
    pub fn set_tier(&mut self, tier: Arc<str>) {
        self.tier = Some(tier);
    }
    /// Stated by the idempotency plugin.
    pub fn set_replayed(&mut self) {
        self.replayed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_found_by_name_or_by_pointer() {
        let serde_json::Value::Object(claims) = json!({"tier": "gold", "https://x/y": 1, "a": {"b/c": ["d"]}}) else {
            panic!("an object")
        };
        assert_eq!(claim(&claims, "tier"), Some(&json!("gold")));
        assert_eq!(claim(&claims, "https://x/y"), Some(&json!(1)));
        assert_eq!(claim(&claims, "/tier"), Some(&json!("gold")));
        assert_eq!(claim(&claims, "/a/b~1c/0"), Some(&json!("d")));
        assert_eq!(claim(&claims, "/a/b/c"), None);
        assert_eq!(claim(&claims, "/"), None);
    }

    #[test]
    fn every_octet_is_written_as_the_library_writes_it() {
        for octet in 0..=u8::MAX {
            let ip = Ipv4Addr::new(octet, 0, u8::MAX - octet, octet.reverse_bits());
            let (address, mut appended) = (ClientAddress::Ip { ip: IpAddr::V4(ip), prefix: 32 }, "addr=".to_owned());
            address.append_to(&mut appended);
            assert_eq!((address.to_string(), appended), (ip.to_string(), format!("addr={ip}")));
        }
    }
}
