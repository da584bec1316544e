//! Key sets (RFC 7517) and public keys in PEM, read with suspicion.

use crate::algorithm::{Algorithm, KeyKind};
use crate::key::{Key, Material, Name, Print};
use crate::token::STRICT;
use base64::Engine;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};
use spki::ObjectIdentifier;
use spki::der::Decode;

/// Most keys of a set.
const MAX_KEYS: usize = 100;
/// Most keys that one token is tried with.
pub(crate) const MAX_TRIED: usize = 4;
/// Bytes of a key's name that are repeated in a log.
const SHOWN_KID: usize = 64;

/// Keys that are in use together.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// A set, and what was left out of it.
#[derive(Debug)]
pub(crate) struct ReadSet {
    pub(crate) set: KeySet,
    pub(crate) skipped: Vec<Skipped>,
}

/// A key that is not used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Skipped {
    /// Its name, cut and escaped.
    pub(crate) key_id: String,
    /// Why.
    pub(crate) why: &'static str,
    /// It should never have been published.
    pub(crate) is_private: bool,
}

impl KeySet {
    /// One key for every name.
    pub(crate) fn of(material: Material) -> Self {
        Self { keys: vec![Key::new(Name::Every, None, material)] }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Those that a token may be signed with, in the set's order; at most four.
    pub(crate) fn candidates(&self, algorithm: Algorithm, key_id: Option<&str>) -> impl Iterator<Item = &Key> {
        let fitting = self.keys.iter().filter(move |key| key.fits(algorithm));
        fitting.filter(move |key| key_id.is_none_or(|id| key.is_named(id))).take(MAX_TRIED)
    }

    /// Whether this very key is among them.
    pub(crate) fn holds(&self, print: Print) -> bool {
        self.keys.iter().any(|key| key.print() == print)
    }
}

/// Reads a key set; an error when it is none, or has no key to use.
pub(crate) fn read_set(text: &[u8]) -> Result<ReadSet, String> {
    let value: Value = serde_json::from_slice(text).map_err(|_| "this is no JSON".to_owned())?;
    let Some(entries) = value.get("keys").and_then(Value::as_array) else {
        return Err("this is no key set: it has no list `keys`".to_owned());
    };
    if entries.len() > MAX_KEYS {
        return Err(format!("{} keys; expected at most {MAX_KEYS}", entries.len()));
    }
    let mut read = ReadSet { set: KeySet::default(), skipped: Vec::new() };
    for entry in entries {
        match read_key(entry) {
            Ok(key) => read.set.keys.push(key),
            Err(skipped) => read.skipped.push(skipped),
        }
    }
    if read.set.keys.is_empty() {
        let why = read.skipped.first().map_or("it is empty", |skipped| skipped.why);
        return Err(format!("no key of this set can be used: {why}"));
    }
    Ok(read)
}

fn read_key(entry: &Value) -> Result<Key, Skipped> {
    let id = entry.get("kid").and_then(Value::as_str);
    let skip = |why, is_private| Skipped { key_id: shown(id.unwrap_or_default()), why, is_private };
    let Some(entry) = entry.as_object() else { return Err(skip("it is no object", false)) };
    if entry.get("kty").and_then(Value::as_str) == Some("oct") {
        return Err(skip("a shared secret has no place in a key set", true));
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| entry.contains_key(*name)) {
        return Err(skip("it holds private members", true));
    }
    public_key(entry, id).map_err(|why| skip(why, false))
}

fn public_key(entry: &Map<String, Value>, id: Option<&str>) -> Result<Key, &'static str> {
    if entry.contains_key("kid") && id.is_none() {
        return Err("its `kid` is no text");
    }
    if entry.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not sig");
    }
    if let Some(operations) = entry.get("key_ops")
        && !operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    {
        return Err("its `key_ops` have no verify");
    }
    let algorithm = match entry.get("alg") {
        None => None,
        Some(name) => Some(name.as_str().and_then(Algorithm::of).ok_or("its `alg` is not in use")?),
    };
    let material = material(entry)?;
    let name = id.map_or(Name::Unnamed, |id| Name::Is(id.to_owned()));
    let key = Key::new(name, algorithm, material);
    if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
        return Err("its `alg` does not go with its `kty`");
    }
    Ok(key)
}

fn material(entry: &Map<String, Value>) -> Result<Material, &'static str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let bytes = |name: &str| text(name).and_then(|text| STRICT.decode(text).ok()).ok_or("a member is no base64url");
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Material::rsa(&bytes("n")?, &bytes("e")?),
        (Some("EC"), Some("P-256")) => point(KeyKind::P256, &bytes("x")?, &bytes("y")?, 32),
        (Some("EC"), Some("P-384")) => point(KeyKind::P384, &bytes("x")?, &bytes("y")?, 48),
        (Some("OKP"), Some("Ed25519")) => Material::ed25519(bytes("x")?),
        _ => Err("its `kty` or `crv` is not in use"),
    }
}

fn point(kind: KeyKind, x: &[u8], y: &[u8], length: usize) -> Result<Material, &'static str> {
    if x.len() != length || y.len() != length {
        return Err("a coordinate of the wrong length");
    }
    Material::point(kind, [&[4], x, y].concat())
}

/// Reads one public key in PEM (`BEGIN PUBLIC KEY`, RFC 7468 section 13).
pub(crate) fn read_pem(text: &[u8]) -> Result<Material, String> {
    const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    const EXPECTED: &str = "expected one public key in PEM, from BEGIN PUBLIC KEY to END PUBLIC KEY";

    let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| EXPECTED.to_owned())?;
    let info = spki::SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| EXPECTED.to_owned())?;
    let key = info.subject_public_key.as_bytes().ok_or(EXPECTED)?;
    let material = match info.algorithm.oid {
        RSA => {
            let key = pkcs1::RsaPublicKey::from_der(key).map_err(|_| EXPECTED.to_owned())?;
            Material::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
        }
        EC => match info.algorithm.parameters_oid() {
            Ok(P256) => Material::point(KeyKind::P256, key.to_vec()),
            Ok(P384) => Material::point(KeyKind::P384, key.to_vec()),
            _ => Err("its curve is not P-256 or P-384"),
        },
        ED25519 => Material::ed25519(key.to_vec()),
        _ => Err("it is no RSA, EC or Ed25519 key"),
    };
    material.map_err(str::to_owned)
}

/// What of a key's name may stand in a log.
pub(crate) fn shown(key_id: &str) -> String {
    let escaped: String = key_id.escape_debug().collect();
    escaped.chars().take(SHOWN_KID).filter(char::is_ascii).collect()
}

#[cfg(test)]
mod tests;
