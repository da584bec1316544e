//! Small syntax rules of the edge. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use sha1::{Digest, Sha1};
use vestibule_plugin::list;

/// Most field lines of a request head.
pub const MAX_FIELDS: usize = 256;

/// The field whose name this one spells with `_` for `-`, when it spells any.
pub fn dashed_twin(name: &HeaderName) -> Option<String> {
    name.as_str().contains('_').then(|| name.as_str().replace('_', "-"))
}

/// Whether a WebSocket handshake is complete (RFC 6455 section 4.1): asked of this connection, version 13 and a key of
/// 16 bytes.
pub fn is_websocket_handshake(headers: &HeaderMap) -> bool {
    let is = |name: &str, expected: &str| {
        headers.get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
    };
    let key = headers.get("sec-websocket-key").map_or(&b""[..], |v| v.as_bytes());
    let key_ok = key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let asks = list::has_token(headers, &CONNECTION, "upgrade");
    asks && is("upgrade", "websocket") && is("sec-websocket-version", "13") && key_ok
}

/// Appended to the client's key before it is hashed (RFC 6455 section 1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a 101 accepts the WebSocket handshake that was made with `key` (RFC 6455 section 4.1): the protocol, the
/// option, and the proof that the handshake was understood.
pub fn is_websocket_acceptance(headers: &HeaderMap, key: Option<&HeaderValue>) -> bool {
    let switches = headers.get(UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let agrees = list::has_token(headers, &CONNECTION, "upgrade");
    let mut proof = Sha1::new();
    proof.update(key.map_or(&b""[..], HeaderValue::as_bytes));
    proof.update(WEBSOCKET_GUID);
    let proof = BASE64.encode(proof.finalize());
    let proves = headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|v| v.as_bytes().trim_ascii() == proof.as_bytes());
    switches && agrees && proves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_needs_connection_version_and_key() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "WebSocket".parse().expect("value"));
        headers.insert("sec-websocket-version", "13".parse().expect("value"));
        assert!(!is_websocket_handshake(&headers));
        headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().expect("value"));
        assert!(!is_websocket_handshake(&headers), "nobody asked for it on this connection");
        headers.insert("connection", "keep-alive, Upgrade".parse().expect("value"));
        assert!(is_websocket_handshake(&headers));
    }

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn an_acceptance_proves_that_the_key_was_read() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().expect("value"));
        headers.insert("connection", "Upgrade".parse().expect("value"));
        assert!(!is_websocket_acceptance(&headers, Some(&key)));
        headers.insert("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().expect("value"));
        assert!(is_websocket_acceptance(&headers, Some(&key)));
        assert!(!is_websocket_acceptance(&headers, None));
        headers.remove("connection");
        assert!(!is_websocket_acceptance(&headers, Some(&key)));
    }
}
