//! Between the proxy engine's header types and the contract's, and what is added to a request on its way up.
//! Both lanes use it.

use crate::edge::forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP};
use crate::exchange::{Provenance, Request};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use vestibule_plugin::Fields;

/// A request head of the engine as plugins edit it.
pub struct RequestFields<'a>(pub &'a mut RequestHeader);

impl Fields for RequestFields<'_> {
    fn map(&self) -> &HeaderMap {
        &self.0.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        // Name and value are valid by type; only a map of 32,768 entries could refuse them.
        let _ = self.0.insert_header(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.append_header(name, value);
    }
    fn remove(&mut self, name: &HeaderName) -> bool {
        self.0.remove_header(name).is_some()
    }
}

/// A response head of the engine as plugins edit it.
pub struct ResponseFields<'a>(pub &'a mut ResponseHeader);

impl Fields for ResponseFields<'_> {
    fn map(&self) -> &HeaderMap {
        &self.0.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.insert_header(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.append_header(name, value);
    }
    fn remove(&mut self, name: &HeaderName) -> bool {
        self.0.remove_header(name).is_some()
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that speak to the next hop only (RFC 9110 section 7.6.1), framing apart: whoever writes the message frames it.
const HOP_BY_HOP: [HeaderName; 7] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    HTTP2_SETTINGS,
];

/// Removes from a response what was meant for this hop.
pub fn strip_response_hops(head: &mut ResponseHeader) {
    for line in named_by_connection(&head.headers) {
        head.remove_header(&line);
    }
    let upgrading = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if !upgrading {
        head.remove_header(&header::CONNECTION);
        head.remove_header(&header::UPGRADE);
    }
    for name in &HOP_BY_HOP {
        if head.headers.contains_key(name) {
            head.remove_header(name);
        }
    }
}

/// Fields that a response's own Connection names; framing and fields of the message itself are not its to drop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|option| HeaderName::from_bytes(option.trim().as_bytes()).ok())
        .filter(|name| {
            !matches!(name.as_str(), "close" | "keep-alive" | "upgrade" | "transfer-encoding")
                && !name.as_str().starts_with("content-")
        })
        .collect()
}

/// Removes from a request what was meant for this hop; the held lane's share of what the engine does in its own.
pub fn strip_request_hops(head: &mut RequestHeader) {
    for name in HOP_BY_HOP.iter().chain(&[header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING]) {
        if head.headers.contains_key(name) {
            head.remove_header(name);
        }
    }
}

/// HTTP/2 may send a cookie string in pieces; everybody else reads one line (RFC 9113 section 8.2.3).
pub fn join_cookies(head: &mut RequestHeader) {
    if head.version != Version::HTTP_2 || head.headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = head.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        RequestFields(head).set(header::COOKIE, joined);
    }
}

/// Writes what the proxy tells the application about the request: who asked, how, and that it passed here.
pub fn announce(head: &mut RequestHeader, request: &Request, provenance: &Provenance, via: Option<&Via>) {
    let mut fields = RequestFields(head);
    fields.set(X_FORWARDED_FOR, provenance.chain.clone());
    fields.set(X_REAL_IP, provenance.client.clone());
    fields.set(X_FORWARDED_PROTO, HeaderValue::from_static(request.scheme));
    if let Some(host) = &provenance.host {
        fields.set(X_FORWARDED_HOST, host.clone());
    }
    fields.set(header::FORWARDED, provenance.forwarded.clone());
    if let Some(via) = via {
        fields.append(header::VIA, via.entry(request.version));
    }
    if request.is_grpc {
        fields.set(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The proxy's entry in Via (RFC 9110 section 7.6.3), made once a configuration.
pub struct Via {
    name: String,
    http1: HeaderValue,
    http2: HeaderValue,
}

/// Own entries in Via from which a request counts as going in circles.
const LOOP_ENTRIES: usize = 8;

impl Via {
    /// `None` when the name is empty: nothing is sent.
    pub fn new(name: &str) -> Option<Self> {
        let entry = |version: &str| HeaderValue::from_str(&format!("{version} {name}")).ok();
        if name.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), http1: entry("1.1")?, http2: entry("2.0")? })
    }

    fn entry(&self, version: Version) -> HeaderValue {
        if version == Version::HTTP_2 { self.http2.clone() } else { self.http1.clone() }
    }

    /// Whether the request has passed here so often that it must be going in circles.
    pub fn is_loop(&self, headers: &HeaderMap) -> bool {
        let own = headers
            .get_all(header::VIA)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter(|entry| entry.split_whitespace().nth(1) == Some(&self.name))
            .count();
        own >= LOOP_ENTRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_loses_what_was_meant_for_this_hop() {
        let mut head = ResponseHeader::build(200, None).expect("status");
        for (name, value) in [
            ("connection", "x-hop, content-type"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-type", "text/plain"),
            ("trailer", "x-sum"),
            ("x-kept", "1"),
        ] {
            head.append_header(name, value).expect("field");
        }
        strip_response_hops(&mut head);
        let mut left: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "x-kept"]);
    }

    #[test]
    fn eight_own_entries_are_a_loop() {
        let via = Via::new("vestibule").expect("a name");
        let mut headers = HeaderMap::new();
        headers.append(header::VIA, "1.1 vestibule, 1.1 other".parse().expect("value"));
        for _ in 0..6 {
            headers.append(header::VIA, "2.0 vestibule".parse().expect("value"));
        }
        assert!(!via.is_loop(&headers));
        headers.append(header::VIA, "1.1 vestibule (comment)".parse().expect("value"));
        assert!(via.is_loop(&headers));
        assert!(Via::new("").is_none());
    }
}
