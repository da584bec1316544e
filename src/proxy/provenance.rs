//! Where a request came from: which client it is, what only others may say about that, what the application is told.

use crate::edge::forwarded::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP};
use crate::edge::guarded::Guarded;
use crate::edge::rules;
use crate::exchange::{Provenance, Request};
use crate::listener::connection::Connection;
use crate::pipeline::Pipeline;
use http::header::{self, HeaderName, HeaderValue};
use ipnet::IpNet;
use pingora::http::RequestHeader;
use std::net::IpAddr;
use vestibule_plugin::ClientAddress;

/// Fields about a request's way here that only a trusted peer may bring along.
const TRUSTED_ONLY: [HeaderName; 8] = [
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Fields that are always written anew.
const REBUILT: [HeaderName; 5] = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_REAL_IP, header::FORWARDED];

/// Who is at the other end, and what was wrong with what it said about that.
pub struct Located {
    /// The client, as a key.
    pub client: ClientAddress,
    /// A field was removed that is the proxy's own, or spells one of them with `_`.
    pub spoofed: bool,
    /// A peer of the inside that is not trusted forwards for others, who all count as that peer.
    pub unheard: bool,
}

/// Finds the client, removes what only others may say about it, and prepares what the application is told.
pub fn locate(
    pipeline: &Pipeline,
    connection: &Connection,
    request: &mut Request,
    head: &mut RequestHeader,
) -> Located {
    let peer = connection.peer;
    let trusted = pipeline.trust.holds(peer);
    let origin = pipeline.trust.origin(peer, &head.headers);
    let mut host = request.authority.clone();
    if trusted {
        if let Some(scheme) = pipeline.trust.scheme(&head.headers) {
            request.scheme = scheme;
        }
        if let Some(said) = pipeline.trust.host(&head.headers).and_then(|h| HeaderValue::from_str(&h).ok()) {
            host = Some(said);
        }
    }
    let removed = remove_forwarding(head, trusted, &pipeline.guarded);
    request.provenance = Some(describe(&origin, connection, host, request.scheme));
    Located {
        client: pipeline.trust.key(origin.client),
        spoofed: removed.spoofed,
        unheard: removed.forwarded_for && !trusted && is_inside(peer),
    }
}

/// Whether `peer` is on this machine or in a private network, where a load balancer would be.
fn is_inside(peer: IpAddr) -> bool {
    match peer {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The network of `peer`, as `trusted_proxies` would name it.
pub fn network(peer: IpAddr) -> String {
    let bits = if peer.is_ipv4() { 24 } else { 64 };
    IpNet::new(peer, bits).map_or_else(|_| String::new(), |net| net.trunc().to_string())
}

/// What was among the fields that were removed.
pub(super) struct Removed {
    /// A name that is the proxy's own, or that spells one of them, or a credential, with `_`.
    pub(super) spoofed: bool,
    /// `X-Forwarded-For`.
    forwarded_for: bool,
}

/// Removes forwarding fields, fields that only the proxy says, and names that spell one of them or a credential with
/// `_`.
pub(super) fn remove_forwarding(head: &mut RequestHeader, trusted: bool, guarded: &Guarded) -> Removed {
    let mut doomed: Vec<HeaderName> = Vec::new();
    let mut removed = Removed { spoofed: false, forwarded_for: false };
    for name in head.headers.keys() {
        let text = name.as_str();
        // Every name in the tables starts with one of these letters; most names are settled by the first byte.
        if matches!(text.as_bytes()[0], b'x' | b'f' | b't' | b'c')
            && (REBUILT.contains(name) || (!trusted && TRUSTED_ONLY.contains(name)))
        {
            removed.forwarded_for |= *name == X_FORWARDED_FOR;
            doomed.push(name.clone());
        } else if guarded.forbids(name) {
            removed.spoofed = true;
            doomed.push(name.clone());
        } else if let Some(twin) = rules::dashed_twin(name)
            && REBUILT.iter().chain(&TRUSTED_ONLY).any(|n| n.as_str() == twin)
        {
            removed.spoofed = true;
            doomed.push(name.clone());
        }
    }
    for name in &doomed {
        head.remove_header(name);
    }
    removed
}

fn describe(origin: &Origin, connection: &Connection, host: Option<HeaderValue>, scheme: &str) -> Provenance {
    let value = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let text = |ip: &IpAddr| if *ip == connection.peer { connection.peer_text.clone() } else { value(ip.to_string()) };
    let nodes: Vec<HeaderValue> = std::iter::once(&origin.client).chain(&origin.hops).map(text).collect();
    let host_text = host.as_ref().and_then(|host| host.to_str().ok());
    // A host that the edge has let through needs no escaping inside quotes.
    let host_text = host_text.filter(|host| rules::is_host(host.as_bytes()));
    let mut forwarded = String::with_capacity(nodes.len() * 24 + host_text.map_or(0, str::len) + 24);
    for (n, node) in nodes.iter().filter_map(|node| node.to_str().ok()).enumerate() {
        let (open, close) = if node.contains(':') { ("for=\"[", "]\"") } else { ("for=", "") };
        forwarded.extend([if n == 0 { "" } else { ", " }, open, node, close]);
    }
    if let Some(host) = host_text {
        forwarded.extend([";host=\"", host, "\""]);
    }
    forwarded.extend([";proto=", scheme]);
    let chain = match &nodes[..] {
        [only] => only.clone(),
        nodes => value(nodes.iter().filter_map(|node| node.to_str().ok()).collect::<Vec<_>>().join(", ")),
    };
    Provenance { client: nodes[0].clone(), chain, host, forwarded: value(forwarded) }
}
