mod bodies;
mod bounds;
mod planted;
mod strings;

use super::*;
use serde_json::json;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIObx\nkLq7+/w==\n-----END EC PRIVATE KEY-----";

/// With the entries of the default configuration.
fn redactor() -> Redactor {
    Redactor::new(["password", "token", "secret", "authorization", "cookie", "set-cookie", "totp", "card"])
}

fn body(text: &str) -> Result<Value, Omitted> {
    redactor().body(Some(b"application/json"), None, text.as_bytes())
}

fn kept(text: &str) -> Value {
    body(text).expect("JSON")
}

fn kept_query(query: &str) -> Value {
    let written = redactor().query(query);
    assert!(vestibule_chain::canonical::is_object(&written), "{}", String::from_utf8_lossy(&written));
    serde_json::from_slice(&written).expect("JSON")
}
