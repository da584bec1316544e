//! What of a message is for one hop only, and what is added to a request on its way up.

use crate::downstream::Head;
use crate::edge::forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP};
use crate::exchange::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use vestibule_plugin::{Fields, list};

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
pub fn strip_response_hops(status: StatusCode, headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(&name);
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            headers.remove(header::CONNECTION);
        }
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        headers.remove(header::UPGRADE);
    }
    remove_hop_by_hop(headers);
}

/// Removes from trailers what speaks to the next hop or frames the message (RFC 9110 section 6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let framing =
        [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST];
    for name in &framing {
        trailers.remove(name);
    }
    remove_hop_by_hop(trailers);
}

/// Removes the fields of [`HOP_BY_HOP`]; nearly always there are none.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // One look at the first letter settles most names.
    let is_one = |name: &HeaderName| {
        matches!(name.as_str().as_bytes()[0], b'k' | b'p' | b't' | b'h') && HOP_BY_HOP.contains(name)
    };
    if headers.keys().any(is_one) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// Fields that a response's own Connection names; framing and fields of the message itself are not its to drop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    list::tokens(headers, &header::CONNECTION)
        .filter(|option| ![&b"keep-alive"[..], b"close"].iter().any(|usual| option.eq_ignore_ascii_case(usual)))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| {
            !matches!(name.as_str(), "upgrade" | "transfer-encoding") && !name.as_str().starts_with("content-")
        })
        .collect()
}

/// Removes from a request what was meant for this hop.
pub fn strip_request_hops(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    remove_hop_by_hop(headers);
}

/// HTTP/2 may send a cookie string in pieces; everybody else reads one line (RFC 9113 section 8.2.3).
pub fn join_cookies(head: &mut Head) {
    if head.version != Version::HTTP_2 || head.headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = head.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        head.headers.insert(header::COOKIE, joined);
    }
}

/// Writes what the proxy tells the application about the request: who asked, how, and that it passed here.
pub fn add_forwarding_fields(fields: &mut dyn Fields, request: &Request, via: Option<&Via>) {
    let Some(provenance) = &request.provenance else { return };
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
        let is_own = |entry: &&[u8]| {
            let mut words = entry.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            words.nth(1) == Some(self.name.as_bytes())
        };
        let own = list::tokens(headers, &header::VIA).filter(is_own).count();
        own >= LOOP_ENTRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_loses_what_was_meant_for_this_hop() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop, content-type"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-type", "text/plain"),
            ("trailer", "x-sum"),
            ("x-kept", "1"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_response_hops(StatusCode::OK, &mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
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
