//! What of a message is for one hop only, and what is added to a request on its way up.

use crate::downstream::Head;
use crate::exchange::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use vestibule_plugin::{Fields, Names, list};

/// Fields that speak to the next hop only (RFC 9110 section 7.6.1), framing apart: whoever writes the message frames it.
static HOP_BY_HOP: Names<7> = Names::new([
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "http2-settings",
]);
/// Fields of a request that speak to the next hop or frame the message, beside those.
static OF_REQUEST_HOPS: Names<3> = Names::new(["connection", "upgrade", "transfer-encoding"]);
/// Fields that frame or route a message, beside those (RFC 9110 section 6.5.1).
const NOT_OF_TRAILERS: [&str; 2] = ["content-length", "host"];

/// Removes from a response what was meant for this hop.
pub fn strip_response_hops(status: StatusCode, fields: &mut Fields) {
    if fields.has(header::CONNECTION) {
        for name in named_by_connection(fields) {
            fields.remove(&name);
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            fields.remove(header::CONNECTION);
        }
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        fields.remove(header::UPGRADE);
    }
    fields.remove_all(&HOP_BY_HOP);
}

/// Removes from trailers what does not belong there.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    for name in NOT_OF_TRAILERS.iter().chain(OF_REQUEST_HOPS.all()).chain(HOP_BY_HOP.all()) {
        trailers.remove(*name);
    }
}

/// Fields that a response's own Connection names; framing and fields of the message itself are not its to drop.
fn named_by_connection(fields: &Fields) -> Vec<HeaderName> {
    list::tokens(fields, &header::CONNECTION)
        .filter(|option| ![&b"keep-alive"[..], b"close"].iter().any(|usual| option.eq_ignore_ascii_case(usual)))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| {
            !matches!(name.as_str(), "upgrade" | "transfer-encoding") && !name.as_str().starts_with("content-")
        })
        .collect()
}

/// Removes from a request what was meant for this hop.
pub fn strip_request_hops(fields: &mut Fields) {
    fields.remove_all(&OF_REQUEST_HOPS);
    fields.remove_all(&HOP_BY_HOP);
}

/// HTTP/2 may send a cookie string in pieces; everybody else reads one line (RFC 9113 section 8.2.3).
pub fn join_cookies(head: &mut Head) {
    if head.version != Version::HTTP_2 || head.fields.lines(header::COOKIE).nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = head.fields.lines(header::COOKIE).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        head.fields.set(header::COOKIE, joined);
    }
}

/// Writes what the proxy tells the application about the request: who asked, how, and that it passed here.
pub fn add_forwarding_fields(fields: &mut Fields, request: &Request, via: Option<&Via>) {
    let Some(provenance) = &request.provenance else { return };
    provenance.write(fields, request.scheme);
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

    fn entry(&self, version: Version) -> &HeaderValue {
        if version == Version::HTTP_2 { &self.http2 } else { &self.http1 }
    }

    /// Whether the request has passed here so often that it must be going in circles.
    pub fn is_loop(&self, fields: &Fields) -> bool {
        let is_own = |entry: &&[u8]| {
            let mut words = entry.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            words.nth(1) == Some(self.name.as_bytes())
        };
        let own = list::tokens(fields, &header::VIA).filter(is_own).count();
        own >= LOOP_ENTRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_loses_what_was_meant_for_this_hop() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("connection", "x-hop, content-type"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-type", "text/plain"),
            ("trailer", "x-sum"),
            ("x-kept", "1"),
        ] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_response_hops(StatusCode::OK, &mut fields);
        let left: Vec<&[u8]> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(left, [&b"content-type"[..], b"x-kept"]);
    }

    #[test]
    fn eight_own_entries_are_a_loop() {
        let via = Via::new("vestibule").expect("a name");
        let mut fields = Fields::new();
        fields.append(header::VIA, HeaderValue::from_static("1.1 vestibule, 1.1 other"));
        for _ in 0..6 {
            fields.append(header::VIA, HeaderValue::from_static("2.0 vestibule"));
        }
        assert!(!via.is_loop(&fields));
        fields.append(header::VIA, HeaderValue::from_static("1.1 vestibule (comment)"));
        assert!(via.is_loop(&fields));
        assert!(Via::new("").is_none());
    }
}
