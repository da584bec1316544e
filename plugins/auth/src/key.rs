//! A key that verifies, and the one kind of algorithm it may be used with.

use crate::algorithm::{Algorithm, KeyKind};
use ring::{agreement, digest, hmac, rand, signature};

/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Least bytes of a shared secret: as many as the hash has (RFC 7518 section 3.2).
pub(crate) const MIN_SECRET: usize = 32;

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    name: Name,
    /// The only algorithm it may be used with, when the set says so.
    algorithm: Option<Algorithm>,
    material: Material,
    print: Print,
}

/// What a key goes by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// Every name: there is only this one.
    Every,
    /// None.
    Unnamed,
    /// Its `kid` in the set.
    Is(String),
}

/// A hash of all there is to a key: another key under the same name has another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Print([u8; 32]);

/// What verifies.
pub(crate) enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    /// A compressed point (RFC 8032).
    Ed25519(Vec<u8>),
    /// Shared with the issuer.
    Secret(hmac::Key, [u8; 32]),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}(…)", self.kind())
    }
}

impl Material {
    /// An RSA key, or why it must not be one.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let trimmed = |number: &[u8]| number[number.iter().take_while(|byte| **byte == 0).count()..].to_vec();
        let (n, e) = (trimmed(n), trimmed(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if bits < *RSA_BITS.start() {
            return Err("an RSA key under 2048 bits");
        }
        if bits > *RSA_BITS.end() {
            return Err("an RSA key over 8192 bits");
        }
        // ring takes odd exponents from 3 to 2^33 - 1.
        if e.is_empty() || e.len() > 4 || e == [1] || e.last().is_some_and(|last| last % 2 == 0) {
            return Err("an RSA exponent nobody uses");
        }
        Ok(Self::Rsa { n, e })
    }

    /// A point on P-256 or P-384, uncompressed (SEC 1 section 2.3.3).
    pub(crate) fn point(kind: KeyKind, point: Vec<u8>) -> Result<Self, &'static str> {
        let (curve, material) = match kind {
            KeyKind::P256 => (&agreement::ECDH_P256, Self::P256(point.clone())),
            KeyKind::P384 => (&agreement::ECDH_P384, Self::P384(point.clone())),
            KeyKind::Rsa | KeyKind::Ed25519 | KeyKind::Secret => return Err("a curve that is not in use"),
        };
        // The one operation that says whether a point is on its curve.
        let own = agreement::EphemeralPrivateKey::generate(curve, &rand::SystemRandom::new());
        let own = own.map_err(|_| "no random numbers")?;
        agreement::agree_ephemeral(own, &agreement::UnparsedPublicKey::new(curve, point), |_| ())
            .map_err(|_| "a point that is not on its curve")?;
        Ok(material)
    }

    /// An Ed25519 key.
    pub(crate) fn ed25519(point: Vec<u8>) -> Result<Self, &'static str> {
        if point.len() == 32 { Ok(Self::Ed25519(point)) } else { Err("an Ed25519 key that is not 32 bytes") }
    }

    /// A shared secret.
    pub(crate) fn secret(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < MIN_SECRET {
            return Err("a secret under 32 bytes");
        }
        Ok(Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes), sha256(&[bytes])))
    }

    fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa { .. } => KeyKind::Rsa,
            Self::P256(_) => KeyKind::P256,
            Self::P384(_) => KeyKind::P384,
            Self::Ed25519(_) => KeyKind::Ed25519,
            Self::Secret(..) => KeyKind::Secret,
        }
    }
}

impl Key {
    /// Of this material.
    pub(crate) fn new(name: Name, algorithm: Option<Algorithm>, material: Material) -> Self {
        let (tag, parts): (&[u8], [&[u8]; 2]) = match &material {
            Material::Rsa { n, e } => (b"rsa", [n, e]),
            Material::P256(point) => (b"p256", [point, b""]),
            Material::P384(point) => (b"p384", [point, b""]),
            Material::Ed25519(point) => (b"ed25519", [point, b""]),
            Material::Secret(_, hash) => (b"secret", [hash, b""]),
        };
        let id: &[&[u8]] = match &name {
            Name::Every => &[b"every"],
            Name::Unnamed => &[b"unnamed"],
            Name::Is(id) => &[b"is", id.as_bytes()],
        };
        let only = algorithm.map_or("", Algorithm::name).as_bytes();
        let print = Print(sha256(&[&[tag, parts[0], parts[1], only], id].concat()));
        Self { name, algorithm, material, print }
    }

    /// What tells it from every other key.
    pub(crate) fn print(&self) -> Print {
        self.print
    }

    /// Whether it goes by this name.
    pub(crate) fn is_named(&self, id: &str) -> bool {
        match &self.name {
            Name::Every => true,
            Name::Unnamed => false,
            Name::Is(own) => own == id,
        }
    }

    /// Whether it may be used with this algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.key_kind() == self.material.kind() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether this is its signature.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let by = |parameters: &'static dyn signature::VerificationAlgorithm, point: &[u8]| {
            signature::UnparsedPublicKey::new(parameters, point).verify(signed, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => algorithm.rsa().is_some_and(|parameters| {
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            Material::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => by(&signature::ED25519, point),
            Material::Secret(key, _) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

/// SHA-256 of parts that cannot run into each other.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
