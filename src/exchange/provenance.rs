//! Where a request came from, and how the application is told.

use crate::edge::forwarded::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP};
use http::header::{self, HeaderValue};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::net::IpAddr;
use vestibule_plugin::Fields;

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The client, and the trusted hops behind it.
    pub origin: Origin,
    /// Who is at the other end of the connection.
    pub peer: IpAddr,
    /// The same as text.
    pub peer_text: HeaderValue,
    /// The host that the client asked for. The edge has seen that it needs no escaping inside quotes.
    pub host: Option<HeaderValue>,
}

/// Parts of a field value.
type Parts<'a> = SmallVec<[&'a [u8]; 16]>;

impl Provenance {
    /// Says so in the fields of a request over `scheme`: `X-Forwarded-*`, `X-Real-IP`, and `Forwarded` (RFC 7239).
    pub fn write(&self, fields: &mut Fields, scheme: &'static str) {
        let nodes: SmallVec<[Cow<'_, str>; 2]> =
            std::iter::once(&self.origin.client).chain(&self.origin.hops).map(|address| self.text(*address)).collect();
        let host = self.host.as_ref().map(HeaderValue::as_bytes);

        let mut chain = Parts::new();
        for (n, node) in nodes.iter().enumerate() {
            chain.extend_from_slice(&[separator(n), node.as_bytes()]);
        }
        fields.set_parts(X_FORWARDED_FOR, &chain);
        fields.set_parts(X_REAL_IP, &[nodes[0].as_bytes()]);
        fields.set(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        if let Some(host) = &self.host {
            fields.set(X_FORWARDED_HOST, host);
        }

        let mut forwarded: Parts<'_> = smallvec![];
        for (n, node) in nodes.iter().enumerate() {
            let (open, close): (&[u8], &[u8]) = if node.contains(':') { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
            forwarded.extend_from_slice(&[separator(n), open, node.as_bytes(), close]);
        }
        if let Some(host) = host {
            forwarded.extend_from_slice(&[b";host=\"", host, b"\""]);
        }
        forwarded.extend_from_slice(&[b";proto=", scheme.as_bytes()]);
        fields.set_parts(header::FORWARDED, &forwarded);
    }

    fn text(&self, address: IpAddr) -> Cow<'_, str> {
        match self.peer_text.to_str() {
            Ok(text) if address == self.peer => Cow::Borrowed(text),
            _ => Cow::Owned(address.to_string()),
        }
    }
}

/// Before the member of a list at `place`.
fn separator(place: usize) -> &'static [u8] {
    if place == 0 { b"" } else { b", " }
}
