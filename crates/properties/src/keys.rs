//! Tokens and key sets, held against `serde_json`, which reads more than is taken here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vestibule_auth::fuzzing;

/// Most bytes of a token (`auth.md`), and most keys of a set.
const MAX_TOKEN: usize = 8 << 10;
const MAX_KEYS: usize = 100;

/// Holds of a token that is read: three parts of one spelling, whose header and claims mean the same to another reader.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    read(text);
    // Bytes as header and claims of a token: the reader behind the base64 gets them whole.
    let (header, claims) = text.split_once('.').unwrap_or((text, "{}"));
    let parts = [header, claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part));
    read(&parts.join("."));
}

fn read(text: &str) {
    let Some(token) = fuzzing::token(text) else { return };
    assert!(text.len() <= MAX_TOKEN);
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(token.signed, header.len() + 1 + claims.len());
    assert_eq!(URL_SAFE_NO_PAD.encode(&token.signature), signature, "another spelling of the signature");

    let [header, claims] = [header, claims].map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part, "another spelling of a part");
        serde_json::from_slice::<Value>(&bytes).expect("JSON")
    });
    assert_eq!(header["alg"], token.algorithm);
    assert_eq!(header.get("kid").and_then(Value::as_str), token.key_id.as_deref());
    assert!(["crit", "b64", "zip"].iter().all(|name| header.get(name).is_none()));
    assert_eq!(claims, Value::Object(token.claims));
}

/// Holds of a key set that is read: every entry is used or left out, and none that is private is used.
pub fn jwks(data: &[u8]) {
    // That it ends is all that is asked of a PEM.
    let _ = fuzzing::is_public_key(data);
    let Some(read) = fuzzing::key_set(data) else { return };
    let value: Value = serde_json::from_slice(data).expect("JSON");
    let entries = value["keys"].as_array().expect("a list");
    assert!((1..=MAX_KEYS).contains(&read.keys) && entries.len() <= MAX_KEYS);
    assert_eq!(read.keys + read.skipped.len(), entries.len());
    let private = entries.iter().filter(|entry| entry["kty"] == "oct" || entry.get("d").is_some()).count();
    assert!(read.skipped.len() >= private);
    for name in read.skipped {
        assert!(name.len() <= 64 && name.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name:?}");
    }
}
