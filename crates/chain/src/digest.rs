//! What ties one record to the one before it.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Keeps these hashes apart from any other use of SHA-256, and names the recipe.
const DOMAIN: &[u8] = b"vestibule-audit/1\0";

/// Which log a record belongs to: drawn when the log begins, in every hash and every event's `source`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChainId(pub Uuid);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 hash, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first record has before it.
    pub const ZERO: Self = Self([0; 32]);

    /// The digits.
    pub fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        text
    }

    /// Of exactly 64 lower-case digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::from_hex(text.as_bytes()).ok_or(())
    }
}

/// The hash of the record `seq` of `chain` that follows `prev` and holds this event.
pub fn link(chain: ChainId, seq: u64, prev: Digest, event: &[u8]) -> Digest {
    let hash = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(chain.0.as_bytes())
        .chain_update(seq.to_be_bytes())
        .chain_update(prev.0)
        .chain_update((event.len() as u64).to_be_bytes())
        .chain_update(event);
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_places_a_record_is_in_its_hash() {
        let chain = ChainId(Uuid::from_u128(7));
        let of = link(chain, 1, Digest::ZERO, b"{}");
        let others = [
            link(ChainId(Uuid::from_u128(8)), 1, Digest::ZERO, b"{}"),
            link(chain, 2, Digest::ZERO, b"{}"),
            link(chain, 1, of, b"{}"),
            link(chain, 1, Digest::ZERO, b"{ }"),
        ];
        assert!(others.iter().all(|other| *other != of));
        assert_eq!(link(chain, 1, Digest::ZERO, b"{}"), of);
    }

    /// Computed apart, with Python's hashlib: a change of the recipe would break every log there is.
    #[test]
    fn the_recipe_does_not_change() {
        let chain = ChainId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));
        let first = link(chain, 0, Digest::ZERO, b"{\"a\":1}");
        assert_eq!(first.to_string(), "c4280466cfd8ed028b887d98379d0084c6774d14a66214c880c75580546308a1");
    }

    #[test]
    fn digits_read_back_and_nothing_else_does() {
        let digest = link(ChainId(Uuid::nil()), 0, Digest::ZERO, b"");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "00", &"A".repeat(64), &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(wrong.parse::<Digest>(), Err(()), "{wrong}");
        }
    }
}
