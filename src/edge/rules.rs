//! Small syntax rules of the edge. Pure.

use http::HeaderMap;
use http::header::{CONNECTION, HeaderName};
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
}
