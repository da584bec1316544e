//! Somebody who signs tokens and publishes keys.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use vestibule_testkit::{Origin, Reply};

/// Who signs.
pub const ISSUER: &str = "https://id.example";
/// For whom.
pub const AUDIENCE: &str = "shop";

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims of alice for the next five minutes, with some of them replaced; null takes one away.
pub fn claims(changed: &Value) -> Value {
    let mut all = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "roles": ["admin", "buyer"], "exp": now().floor() + 300.0,
    });
    for (name, value) in changed.as_object().expect("an object") {
        match value {
            Value::Null => all.as_object_mut().expect("an object").remove(name),
            value => all.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
        };
    }
    all
}

/// A key to sign with.
pub struct Pen {
    id: String,
    algorithm: &'static str,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Vec<u8>),
}

impl Pen {
    fn ec(id: &str, algorithm: &'static str, curve: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).expect("a key");
        Self { id: id.to_owned(), algorithm, key: Key::Ec(key) }
    }

    pub fn es256(id: &str) -> Self {
        Self::ec(id, "ES256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub fn es384(id: &str) -> Self {
        Self::ec(id, "ES384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub fn eddsa(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        Self { id: id.to_owned(), algorithm: "EdDSA", key: Key::Ed(key) }
    }

    /// `RS256` or `PS256`, always the same key.
    pub fn rsa(id: &str, algorithm: &'static str) -> Self {
        let pem: String = include_str!("rsa.pem").lines().filter(|line| !line.starts_with('-')).collect();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).expect("base64")).expect("an RSA key");
        Self { id: id.to_owned(), algorithm, key: Key::Rsa(key) }
    }

    pub fn hs256(secret: &[u8]) -> Self {
        Self { id: "secret".to_owned(), algorithm: "HS256", key: Key::Secret(secret.to_vec()) }
    }

    /// What is published of it.
    pub fn jwk(&self) -> Value {
        match &self.key {
            Key::Rsa(pair) => {
                let public: rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({"kty": "RSA", "kid": self.id, "n": encode(public.n), "e": encode(public.e)})
            }
            Key::Ec(pair) => {
                let (curve, half) = if self.algorithm == "ES256" { ("P-256", 32) } else { ("P-384", 48) };
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..=half]), encode(&point[1 + half..]));
                json!({"kty": "EC", "crv": curve, "kid": self.id, "x": x, "y": y})
            }
            Key::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": encode(pair.public_key().as_ref())})
            }
            Key::Secret(secret) => json!({"kty": "oct", "kid": self.id, "k": encode(secret)}),
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm, "kid": self.id}), &claims.to_string())
    }

    /// A token of alice.
    pub fn token(&self) -> String {
        self.sign(&claims(&json!({})))
    }

    /// A token whose header and claims are as they stand.
    pub fn sign_as(&self, header: &Value, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = encode(self.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let scheme: &dyn ring::signature::RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(scheme, &random, signed, &mut signature).expect("a signature");
                signature
            }
            Key::Ec(pair) => pair.sign(&random, signed).expect("a signature").as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
            Key::Secret(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed).as_ref().to_vec(),
        }
    }
}

/// A key endpoint that counts.
pub struct Issuer {
    pub endpoint: Origin,
    reply: Arc<Mutex<Reply>>,
}

impl Issuer {
    pub fn publishing(pens: &[&Pen]) -> Self {
        let keys: Vec<Value> = pens.iter().map(|pen| pen.jwk()).collect();
        Self::saying(set(&keys))
    }

    pub fn saying(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let said = Arc::clone(&reply);
        let endpoint = Origin::replying(move |_| said.lock().expect("no test panics with it").clone());
        Self { endpoint, reply }
    }

    /// From the next fetch on.
    pub fn publish(&self, pens: &[&Pen]) {
        let keys: Vec<Value> = pens.iter().map(|pen| pen.jwk()).collect();
        self.say(set(&keys));
    }

    pub fn say(&self, reply: Reply) {
        *self.reply.lock().expect("no test panics with it") = reply;
    }

    /// `[auth]` for it.
    pub fn toml(&self) -> String {
        format!("{}jwks_url = \"{}/keys\"\n", table(), self.endpoint.url())
    }
}

/// A reply with a key set.
pub fn set(keys: &[Value]) -> Reply {
    Reply::ok(json!({ "keys": keys }).to_string()).field("content-type", "application/jwk-set+json")
}

/// `[auth]` without a source of keys.
pub fn table() -> String {
    format!(
        "[auth]\nmode = \"required\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nleeway = \"5s\"\n\
         jwks_cooldown = \"2s\"\njwks_refresh = \"5s\"\nalgorithms = [\"RS256\", \"PS256\", \"ES256\", \"ES384\", \"EdDSA\"]\n"
    )
}
