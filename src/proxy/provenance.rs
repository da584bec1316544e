//! Where a request came from: which client it is, what only others may say about that, what the application is told.

use crate::downstream::Head;
use crate::downstream::connection::Connection;
use crate::edge::forwarded::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::edge::forwarding_fields::Forwarding;
use crate::edge::guarded::Guarded;
use crate::edge::rules;
use crate::exchange::{Provenance, Request};
use crate::pipeline::Pipeline;
use http::header::{self, HeaderValue};
use ipnet::IpNet;
use smallvec::SmallVec;
use std::net::IpAddr;
use vestibule_plugin::ClientAddress;

/// Who is at the other end, and what was wrong with what it said about that.
pub struct Located {
    /// The client, as a key.
    pub client: ClientAddress,
    /// A field was removed that is the proxy's own, or spells one of them with `_`.
    pub spoofed: bool,
    /// A peer of the inside that is not trusted forwards for others.
    pub unheard: Option<Unheard>,
}

/// What a load balancer that nobody trusts said in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// Who its clients are: they all count as that peer.
    Clients,
    /// That they came over https: the application is told http.
    Https,
    /// Both.
    Both,
}

impl Unheard {
    fn of(removed: Removed) -> Option<Self> {
        match (removed.forwarded_for, removed.said_https) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Clients),
            (false, true) => Some(Self::Https),
            (false, false) => None,
        }
    }

    /// For the log.
    pub fn warning(self) -> &'static str {
        match self {
            Self::Clients => {
                "x-forwarded-for from a peer that is not in trusted_proxies: all clients behind it count as one"
            }
            Self::Https => {
                "x-forwarded-proto: https from a peer that is not in trusted_proxies: the application is told http"
            }
            Self::Both => {
                "x-forwarded-for and x-forwarded-proto: https from a peer that is not in trusted_proxies: all clients \
                 behind it count as one, and the application is told http"
            }
        }
    }
}

/// Finds the client, removes what only others may say about it, and prepares what the application is told.
pub fn locate(pipeline: &Pipeline, connection: &Connection, request: &mut Request, head: &mut Head) -> Located {
    let peer = connection.peer;
    let trusted = pipeline.trust.holds(peer);
    let origin = pipeline.trust.origin(peer, &head.fields);
    let mut host = request.authority.clone();
    if trusted {
        if let Some(scheme) = pipeline.trust.scheme(&head.fields) {
            request.scheme = scheme;
        }
        if let Some(said) = pipeline.trust.host(&head.fields).and_then(|h| HeaderValue::from_str(&h).ok()) {
            host = Some(said);
        }
    }
    let found = trusted.then_some(Found { client: origin.client, scheme: request.scheme });
    let removed = remove_forwarding(head, found, &pipeline.guarded);
    let client = pipeline.trust.key(origin.client);
    request.provenance = Some(Provenance { origin, peer, peer_text: connection.peer_text.clone(), host });
    Located {
        client,
        spoofed: removed.spoofed,
        unheard: (!trusted && is_inside(peer)).then_some(removed).and_then(Unheard::of),
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// A name that is the proxy's own, one that only a trusted peer may say or that says otherwise than the proxy
    /// found, or one that spells one of them, or a credential, with `_`.
    pub(super) spoofed: bool,
    /// `X-Forwarded-For`.
    forwarded_for: bool,
    /// `X-Forwarded-Proto: https`.
    said_https: bool,
}

/// What was found out about a request whose peer is trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) client: IpAddr,
    pub(super) scheme: &'static str,
}

/// A field name in lower case; most are short.
type Name = SmallVec<[u8; 48]>;

/// Removes forwarding fields, fields that only the proxy says, and names that spell one of them or a credential with
/// `_`. `trusted` is what a trusted peer's fields must not contradict; `None` for a stranger.
pub(super) fn remove_forwarding(head: &mut Head, trusted: Option<Found>, guarded: &Guarded) -> Removed {
    let mut doomed: Vec<Name> = Vec::new();
    let mut removed = Removed::default();

    for (sent, _) in head.fields.iter() {
        // Most names are settled by the first byte.
        let first = sent.first().map_or(0, u8::to_ascii_lowercase);
        if !Forwarding::may_begin_with(first) && !guarded.may_begin_with(first) {
            continue;
        }
        let name: Name = sent.iter().map(u8::to_ascii_lowercase).collect();
        let Ok(text) = std::str::from_utf8(&name) else { continue };

        if let Some(kind) = Forwarding::of(text) {
            let lines = || head.fields.lines(text);
            let agrees = |found: Found| lines().all(|line| kind.agrees(line, found.client, found.scheme));
            if trusted.is_some_and(agrees) {
                continue;
            }
            removed.forwarded_for |= X_FORWARDED_FOR == text;
            removed.said_https |= X_FORWARDED_PROTO == text && lines().any(|line| line.eq_ignore_ascii_case(b"https"));
            // A trusted peer's own word is read, and written anew; `Forwarded` is nobody's alias.
            removed.spoofed |= match kind {
                Forwarding::Rebuilt => trusted.is_none() && header::FORWARDED != text,
                _ => true,
            };
            doomed.push(name);
        } else if guarded.forbids(text) || rules::dashed_twin(text).is_some_and(|twin| Forwarding::of(&twin).is_some())
        {
            removed.spoofed = true;
            doomed.push(name);
        }
    }

    for name in &doomed {
        head.fields.remove(name);
    }
    removed
}
