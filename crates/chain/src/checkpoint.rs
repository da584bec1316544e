//! Checkpoints: what a log had come to at some moment, signed where there is a key.

use crate::digest::{ChainId, Digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::fmt;

/// Keeps these signatures apart from any other use of the key.
const DOMAIN: &[u8] = b"vestibule-audit-checkpoint/1\0";
/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a checkpoint says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log.
    pub chain: ChainId,
    /// The record before the checkpoint's own.
    pub seq: u64,
    /// That record's hash.
    pub hash: Digest,
    /// Records of the whole log up to that one.
    pub records: u64,
    /// Whether the process stopped cleanly behind it.
    pub is_final: bool,
    /// Which key signed it, and the signature.
    pub signature: Option<(String, Vec<u8>)>,
}

impl Checkpoint {
    /// As `data.metadata` of its event.
    pub fn to_metadata(&self) -> Value {
        let (key_id, sig) = match &self.signature {
            Some((key_id, sig)) => (Value::from(key_id.as_str()), Value::from(BASE64_STANDARD.encode(sig))),
            None => (Value::Null, Value::Null),
        };
        json!({
            "chain": self.chain.to_string(),
            "final": self.is_final,
            "hash": self.hash.to_string(),
            "key_id": key_id,
            "records": self.records,
            "seq": self.seq,
            "sig": sig,
        })
    }

    /// From `data.metadata` of an event.
    pub fn of_metadata(metadata: &Value) -> Option<Self> {
        let text = |name: &str| metadata.get(name)?.as_str();
        let signature = match (text("key_id"), text("sig")) {
            (Some(key_id), Some(sig)) => Some((key_id.to_owned(), BASE64_STANDARD.decode(sig).ok()?)),
            (None, None) => None,
            _ => return None,
        };
        Some(Self {
            chain: ChainId(text("chain")?.parse().ok()?),
            seq: metadata.get("seq")?.as_u64()?,
            hash: text("hash")?.parse().ok()?,
            records: metadata.get("records")?.as_u64()?,
            is_final: metadata.get("final")?.as_bool()?,
            signature,
        })
    }

    /// From a whole event.
    pub fn of_event(event: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(event).ok()?;
        Self::of_metadata(event.get("data")?.get("metadata")?)
    }

    /// What is signed.
    fn message(&self) -> Vec<u8> {
        [DOMAIN, self.chain.0.as_bytes(), &self.seq.to_be_bytes(), &self.hash.0].concat()
    }

    /// The same, signed.
    pub fn signed(mut self, key: &SigningKey) -> Self {
        let sig = key.pair.sign(&self.message()).as_ref().to_vec();
        self.signature = Some((key.id.clone(), sig));
        self
    }

    /// Whether it carries a good signature of `key`.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.signature.as_ref().is_some_and(|(key_id, sig)| {
            *key_id == key.id && UnparsedPublicKey::new(&ED25519, key.bytes).verify(&self.message(), sig).is_ok()
        })
    }
}

/// A key file that cannot be used. It never says what is in the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(&'static str);

/// An Ed25519 key that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl SigningKey {
    /// From PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|_| BadKey("expected a private key in PEM, as `openssl genpkey -algorithm ed25519` writes it"))?;
        // OpenSSL leaves the public half out.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| BadKey("expected an Ed25519 key"))?;
        let id = key_id(pair.public_key().as_ref());
        Ok(Self { pair, id })
    }

    /// 16 hexadecimal digits of SHA-256 over the public half's SubjectPublicKeyInfo.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// The public half.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    id: String,
}

impl VerifyingKey {
    /// From SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| BadKey("expected a public key in PEM, as `openssl pkey -pubout` writes it"))?;
        let key = der.as_ref().strip_prefix(&SPKI_ED25519[..]).and_then(|key| key.try_into().ok());
        let bytes: [u8; 32] = key.ok_or(BadKey("expected an Ed25519 key"))?;
        Ok(Self { bytes, id: key_id(&bytes) })
    }

    /// As [`SigningKey::id`].
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn key_id(public: &[u8]) -> String {
    let hash = sha2::Sha256::new().chain_update(SPKI_ED25519).chain_update(public).finalize();
    Digest(hash.into()).to_string()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    // Made with `openssl genpkey -algorithm ed25519`, for this test alone.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIJOHZK2A5KxvZ/aQzP147I9V0EYuCWDPWg4OUBLi54ek\n\
         -----END PRIVATE KEY-----";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAX2FGnZYpUvxOjhtLMMgDOKH1nRfxZBAjICk6GjQKBqQ=\n\
         -----END PUBLIC KEY-----";

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            chain: ChainId(Uuid::from_u128(1)),
            seq: 41,
            hash: Digest([7; 32]),
            records: 42,
            is_final: false,
            signature: None,
        }
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_alone() {
        let key = SigningKey::from_pem(PRIVATE.as_bytes()).expect("key");
        let public = VerifyingKey::from_pem(PUBLIC.as_bytes()).expect("key");
        assert_eq!(key.id(), public.id());
        let signed = checkpoint().signed(&key);
        assert!(signed.is_signed_by(&public));
        let read = Checkpoint::of_metadata(&signed.to_metadata()).expect("reads back");
        assert_eq!(read, signed);
        for changed in [
            Checkpoint { seq: 42, ..signed.clone() },
            Checkpoint { hash: Digest::ZERO, ..signed.clone() },
            Checkpoint { chain: ChainId(Uuid::from_u128(2)), ..signed.clone() },
            Checkpoint { signature: None, ..signed.clone() },
        ] {
            assert!(!changed.is_signed_by(&public), "{changed:?}");
        }
    }

    #[test]
    fn an_unsigned_one_says_so() {
        let metadata = checkpoint().to_metadata();
        assert!(metadata["sig"].is_null() && metadata["key_id"].is_null());
        assert_eq!(Checkpoint::of_metadata(&metadata), Some(checkpoint()));
    }

    #[test]
    fn another_file_is_no_key() {
        assert!(SigningKey::from_pem(PUBLIC.as_bytes()).is_err());
        assert!(VerifyingKey::from_pem(PRIVATE.as_bytes()).is_err());
        assert!(SigningKey::from_pem(b"hello").is_err());
    }
}
