//! Small syntax rules of the edge. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use sha1::{Digest, Sha1};
use vestibule_plugin::{Fields, list};

/// Most field lines of a request head.
pub const MAX_FIELDS: usize = 256;

/// The field whose name this one spells with `_` for `-`, when it spells any.
pub fn dashed_twin(name: &str) -> Option<String> {
    name.contains('_').then(|| name.replace('_', "-"))
}

/// Whether a WebSocket handshake is complete (RFC 6455 section 4.1): asked of this connection, version 13 and a key of
/// 16 bytes.
pub fn is_websocket_handshake(fields: &Fields) -> bool {
    let is = |name: &str, expected: &str| {
        fields.get(name).is_some_and(|value| value.eq_ignore_ascii_case(expected.as_bytes()))
    };
    let key = fields.get("sec-websocket-key").unwrap_or_default();
    let key_ok = key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let asks = list::has_token(fields, &CONNECTION, "upgrade");
    asks && is("upgrade", "websocket") && is("sec-websocket-version", "13") && key_ok
}

/// Appended to the client's key before it is hashed (RFC 6455 section 1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a 101 accepts the WebSocket handshake that was made with `key` (RFC 6455 section 4.1): the protocol, the
/// option, and the proof that the handshake was understood.
pub fn is_websocket_acceptance(fields: &Fields, key: Option<&[u8]>) -> bool {
    let switches = fields.get(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let agrees = list::has_token(fields, &CONNECTION, "upgrade");
    let mut proof = Sha1::new();
    proof.update(key.unwrap_or_default());
    proof.update(WEBSOCKET_GUID);
    let proof = BASE64.encode(proof.finalize());
    let proves = fields.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|value| value.trim_ascii() == proof.as_bytes());
    switches && agrees && proves
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderName, HeaderValue};

    fn set(fields: &mut Fields, name: &'static str, value: &'static str) {
        fields.set(HeaderName::from_static(name), HeaderValue::from_static(value));
    }

    #[test]
    fn a_handshake_needs_connection_version_and_key() {
        let mut fields = Fields::new();
        set(&mut fields, "upgrade", "WebSocket");
        set(&mut fields, "sec-websocket-version", "13");
        assert!(!is_websocket_handshake(&fields));
        set(&mut fields, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(!is_websocket_handshake(&fields), "nobody asked for it on this connection");
        set(&mut fields, "connection", "keep-alive, Upgrade");
        assert!(is_websocket_handshake(&fields));
    }

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn an_acceptance_proves_that_the_key_was_read() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        let mut fields = Fields::new();
        set(&mut fields, "upgrade", "websocket");
        set(&mut fields, "connection", "Upgrade");
        assert!(!is_websocket_acceptance(&fields, Some(&key[..])));
        set(&mut fields, "sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_websocket_acceptance(&fields, Some(&key[..])));
        assert!(!is_websocket_acceptance(&fields, None));
        fields.remove("connection");
        assert!(!is_websocket_acceptance(&fields, Some(&key[..])));
    }
}
