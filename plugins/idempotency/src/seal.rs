//! Stored replies, encrypted: AES-256-GCM with a random nonce, under keys that can be rotated.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use vestibule_plugin::files;
use vestibule_plugin::units::Size;
use vestibule_store::records::{Fingerprint, Name};

/// Largest file of keys.
const MOST: Size = Size(64 << 10);
/// Most characters of a key's id, which stands in front of every reply.
const MAX_KID: usize = 64;
/// Bytes of a nonce (NIST SP 800-38D section 8.2.2).
const NONCE: usize = 12;

/// Keys, the one that encrypts first.
pub(crate) struct Keyring(Vec<(String, Aes256Gcm)>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(kid, _)| kid)).finish()
    }
}

/// What a sealed reply belongs to: under another name or request it does not open.
#[derive(Clone, Copy)]
pub(crate) struct Belongs {
    pub(crate) name: Name,
    pub(crate) fingerprint: Fingerprint,
    /// Of the stored format.
    pub(crate) version: u8,
}

impl Belongs {
    fn bytes(&self) -> Vec<u8> {
        [&self.name.0[..], &[self.version], &self.fingerprint.0].concat()
    }
}

impl Keyring {
    /// Reads a file of lines `KID BASE64-of-32-bytes`; says what is wrong with it, without quoting a key.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        Self::parse(&files::text(files::read(path, MOST)?)?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<(String, Aes256Gcm)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let mut words = line.split_ascii_whitespace();
            let (Some(kid), Some(key), None) = (words.next(), words.next(), words.next()) else {
                return Err(format!("line {number}: expected `KID BASE64-of-32-bytes`"));
            };
            if kid.len() > MAX_KID {
                return Err(format!("line {number}: an id has at most {MAX_KID} characters"));
            }
            if keys.iter().any(|(other, _)| other == kid) {
                return Err(format!("line {number}: `{kid}` is there twice; each id names one key"));
            }
            let bytes = STANDARD.decode(key).map_err(|_| format!("line {number}: the key of `{kid}` is no base64"))?;
            let key = Aes256Gcm::new_from_slice(&bytes)
                .map_err(|_| format!("line {number}: the key of `{kid}` has {} bytes; expected 32", bytes.len()))?;
            keys.push((kid.to_owned(), key));
        }
        if keys.is_empty() {
            return Err("there is no key in it; expected lines `KID BASE64-of-32-bytes`".to_owned());
        }
        Ok(Self(keys))
    }

    /// `KID` behind its length, the nonce, and the sealed bytes.
    pub(crate) fn seal(&self, plain: &[u8], belongs: &Belongs) -> Result<Vec<u8>, Unsealable> {
        let (kid, key) = self.0.first().ok_or(Unsealable("there is no key"))?;
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: &belongs.bytes() };
        let sealed = key.encrypt(Nonce::from_slice(&nonce), payload).map_err(|_| Unsealable("it is too large"))?;
        let length = u8::try_from(kid.len()).map_err(|_| Unsealable("the id of its key is too long"))?;
        Ok([&[length], kid.as_bytes(), &nonce, &sealed].concat())
    }

    /// What [`Self::seal`] sealed, under whichever of the keys.
    pub(crate) fn open(&self, sealed: &[u8], belongs: &Belongs) -> Result<Vec<u8>, Unsealable> {
        const CUT: Unsealable = Unsealable("it is cut off");
        let (&length, rest) = sealed.split_first().ok_or(CUT)?;
        let (kid, rest) = rest.split_at_checked(usize::from(length)).ok_or(CUT)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(CUT)?;
        let key = self.0.iter().find(|(known, _)| known.as_bytes() == kid).map(|(_, key)| key);
        let key = key.ok_or(Unsealable("the key it was encrypted with is not in encryption_keys_file"))?;
        let payload = Payload { msg: sealed, aad: &belongs.bytes() };
        key.decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| Unsealable("it does not decrypt: another key of that id, or it was tampered with"))
    }
}

/// Why a reply cannot be sealed or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unsealable(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn ring(lines: &[(&str, u8)]) -> Keyring {
        let lines: Vec<String> = lines.iter().map(|(kid, byte)| format!("{kid} {}", key(*byte))).collect();
        Keyring::parse(&lines.join("\n")).expect("keys")
    }

    const BELONGS: Belongs = Belongs { name: Name([1; 16]), fingerprint: Fingerprint([2; 32]), version: 1 };

    #[test]
    fn keys_rotate_by_a_line_on_top() {
        let old = ring(&[("a", 1)]);
        let both = ring(&[("b", 2), ("a", 1)]);
        let new = ring(&[("b", 2)]);
        let sealed = old.seal(b"reply", &BELONGS).expect("sealed");
        assert_eq!(both.open(&sealed, &BELONGS).expect("opened"), b"reply");
        assert!(new.open(&sealed, &BELONGS).is_err());
        let sealed = both.seal(b"reply", &BELONGS).expect("sealed");
        assert_eq!(new.open(&sealed, &BELONGS).expect("opened"), b"reply");
        assert!(old.open(&sealed, &BELONGS).is_err());
    }

    #[test]
    fn a_reply_opens_under_its_own_name_and_request_alone() {
        let ring = ring(&[("a", 1)]);
        let sealed = ring.seal(b"reply", &BELONGS).expect("sealed");
        for other in [
            Belongs { name: Name([9; 16]), ..BELONGS },
            Belongs { fingerprint: Fingerprint([9; 32]), ..BELONGS },
            Belongs { version: 9, ..BELONGS },
        ] {
            assert!(ring.open(&sealed, &other).is_err());
        }
        for cut in 0..sealed.len() {
            assert!(ring.open(&sealed[..cut], &BELONGS).is_err(), "{cut}");
        }
        for at in 0..sealed.len() {
            let mut tampered = sealed.clone();
            tampered[at] ^= 1;
            assert!(ring.open(&tampered, &BELONGS).is_err(), "{at}");
        }
        assert_ne!(ring.seal(b"reply", &BELONGS).expect("sealed"), sealed, "a nonce is used once");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_keys() {
        let (good, short) = (key(1), STANDARD.encode([1; 31]));
        let why = |text: &str| Keyring::parse(text).expect_err("it is wrong");
        assert!(why(&format!("a {good}\nb {short}")).contains("line 2: the key of `b` has 31 bytes"));
        assert!(why(&format!("a {good}\n\na {good}")).contains("line 3: `a` is there twice"));
        assert!(why("a !!!").contains("no base64"));
        assert!(why("a").contains("line 1: expected"));
        assert!(why(" \n").contains("no key"));
        assert!(!why(&format!("a {good} x")).contains(&good));
    }
}
