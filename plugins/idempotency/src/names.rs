//! What a record and a caller are called where others can read it: keyed hashes, so that names tell nothing.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use vestibule_plugin::Secret;
use vestibule_store::records::{Account, Name};

/// Stands in every hash; another one makes every record unreachable.
const VERSION: &[u8] = b"vestibule idempotency 1";

/// Makes names, under one secret and namespace.
pub(crate) struct Names {
    keyed: Hmac<Sha256>,
    namespace: Arc<str>,
}

/// Who sent a request, for logs and as a part of record names: a hash over kind and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PrincipalId(pub(crate) [u8; 16]);

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PrincipalId {
    /// As [`fmt::Display`] writes it.
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 32 || !hex.is_ascii() {
            return None;
        }
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(id))
    }
}

impl PrincipalId {
    /// For counting what it uses of a store.
    pub(crate) fn account(self) -> Account {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        Account::of([a, b, c, d, e, f, g, h])
    }
}

impl Names {
    /// Under this secret.
    pub(crate) fn new(secret: &Secret, namespace: &str) -> Self {
        // A key of HMAC-SHA256 may have any length up to its block of 64 bytes; the secret has 32.
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret.bytes());
        Self { keyed: KeyInit::new(&block.into()), namespace: namespace.into() }
    }

    /// Of a principal of this kind.
    pub(crate) fn principal(&self, kind: &str, value: &[u8]) -> PrincipalId {
        let mut mac = self.begin(b"principal");
        mac.part(kind.as_bytes());
        mac.part(value);
        PrincipalId(half(mac.finish()))
    }

    /// Of the record of a principal's key. Kind and value of the principal enter through its id, so that an operator
    /// who has the id from a log line can name the record.
    pub(crate) fn record(&self, principal: PrincipalId, key: &str) -> Name {
        let mut mac = self.begin(b"record");
        mac.part(&principal.0);
        mac.part(key.as_bytes());
        Name(half(mac.finish()))
    }

    /// For a fingerprint.
    pub(crate) fn fingerprint(&self) -> Mac {
        self.begin(b"request")
    }

    fn begin(&self, purpose: &[u8]) -> Mac {
        let mut mac = Mac(self.keyed.clone());
        mac.part(VERSION);
        mac.part(self.namespace.as_bytes());
        mac.part(purpose);
        mac
    }
}

fn half(whole: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

/// HMAC-SHA256 over parts that cannot run into each other.
pub(crate) struct Mac(Hmac<Sha256>);

impl Mac {
    /// One more part, behind its length.
    pub(crate) fn part(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// The hash over all of them.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(secret: u8, namespace: &str) -> Names {
        Names::new(&Secret::new([secret; 32]), namespace)
    }

    #[test]
    fn a_name_depends_on_everything_and_its_parts_do_not_run_into_each_other() {
        let name = |secret, namespace: &str, kind: &str, value: &str, key: &str| {
            let names = names(secret, namespace);
            names.record(names.principal(kind, value.as_bytes()), key)
        };
        let first = name(1, "n", "subject", "alice", "k");
        assert_eq!(name(1, "n", "subject", "alice", "k"), first);
        for other in [
            name(2, "n", "subject", "alice", "k"),
            name(1, "m", "subject", "alice", "k"),
            name(1, "n", "api_key", "alice", "k"),
            name(1, "n", "subject", "bob", "k"),
            name(1, "n", "subject", "alice", "l"),
            name(1, "n", "subject", "alic", "ek"),
            name(1, "n", "subjectalice", "", "k"),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn an_id_reads_back_as_written() {
        let id = names(1, "n").principal("authorization", b"Bearer x");
        assert_eq!(PrincipalId::parse(&id.to_string()), Some(id));
        for bad in ["", "0", &"g".repeat(32), &"0".repeat(33), &"é".repeat(16)] {
            assert_eq!(PrincipalId::parse(bad), None, "{bad}");
        }
    }

    /// The construction is HMAC-SHA256 with the secret as its key: a secret of 32 bytes is padded with zeros (RFC 2104).
    #[test]
    fn the_key_is_the_secret() {
        let mut ours = Mac(names(3, "n").keyed);
        ours.part(b"x");
        let mut theirs = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&[3; 32]).expect("any length");
        theirs.update(&1_u64.to_be_bytes());
        theirs.update(b"x");
        assert_eq!(ours.finish(), <[u8; 32]>::from(theirs.finalize().into_bytes()));
    }
}
