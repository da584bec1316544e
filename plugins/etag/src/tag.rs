//! Entity tags: how one is minted, how one is read (RFC 9110 section 8.8.3).
//!
//! The recipe is a promise: the same content has the same tag on every proxy and after every restart. A change of it
//! changes the 1 in `vst1`.

use crate::config::Strength;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use vestibule_coding::{self as coding, Coding};
use vestibule_plugin::Fields;
use xxhash_rust::xxh3::Xxh3;

/// What marks a tag as minted here.
const MARK: &[u8; 5] = b"vst1-";
/// 128 bits in base64url without padding.
const DIGITS: usize = 22;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Between the parts of what is hashed. No field value can hold it (RFC 9110 section 5.5), so parts cannot run together.
const SEPARATOR: [u8; 1] = [0];
/// Decoded content may be this many times as long as the longest body that is held.
const MOST_DECODED: u64 = 4;

/// Whether what looks like a tag of ours stands anywhere in these bytes, however it is quoted.
pub(crate) fn is_within(bytes: &[u8]) -> bool {
    let mut tags = bytes.windows(MARK.len() + DIGITS).filter(|window| window.starts_with(MARK));
    tags.any(|tag| tag[MARK.len()..].iter().all(|byte| ALPHABET.contains(byte)))
}

/// Mints the tag of a 200 with these fields and this body.
///
/// - Weak: XXH3-128, seed 0, over `Content-Type 00 name 00 content`. `name` is empty and `content` decoded when the body
///   is in identity, gzip, br or zstd; else `name` is the coding's name in lower case and `content` the coded bytes.
/// - Strong: the first 128 bits of SHA-256 over `Content-Type 00 Content-Encoding 00 body`.
///
/// Several lines of one field are joined with a comma; an absent field is empty. `max_body` is the bound in bytes that
/// the coded body was held to.
pub(crate) fn mint(strength: Strength, fields: &Fields, body: &[u8], max_body: usize) -> HeaderValue {
    let mut text = *b"W/\"vst1-0000000000000000000000\"";
    let start = "W/\"".len() + MARK.len();
    let (digest, from) = match strength {
        Strength::Weak => (weak_digest(fields, body, max_body), 0),
        Strength::Strong => (strong_digest(fields, body), "W/".len()),
    };
    text[start..start + DIGITS].copy_from_slice(&base64url(digest));
    HeaderValue::from_bytes(&text[from..]).expect("a tag is visible ASCII")
}

fn weak_digest(fields: &Fields, body: &[u8], max_body: usize) -> u128 {
    let mut hash = Xxh3::new();
    each_part(fields, &CONTENT_TYPE, |part| hash.update(part));
    hash.update(&SEPARATOR);
    let name = match coding::coding_of(fields.lines(&CONTENT_ENCODING)) {
        Coding::Identity => {
            hash.update(&SEPARATOR);
            hash.update(body);
            return hash.digest128();
        }
        Coding::Known(codec) => {
            let mut decoded = hash.clone();
            decoded.update(&SEPARATOR);
            let most = MOST_DECODED.saturating_mul(max_body as u64);
            if codec.decode(body, most, &mut |piece| decoded.update(piece)).is_ok() {
                return decoded.digest128();
            }
            codec.name().as_bytes().to_vec()
        }
        Coding::Unknown(name) => name,
    };
    hash.update(&name);
    hash.update(&SEPARATOR);
    hash.update(body);
    hash.digest128()
}

fn strong_digest(fields: &Fields, body: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    each_part(fields, &CONTENT_TYPE, |part| hash.update(part));
    hash.update(SEPARATOR);
    each_part(fields, &CONTENT_ENCODING, |part| hash.update(part));
    hash.update(SEPARATOR);
    hash.update(body);
    let digest = hash.finalize();
    digest[..16].iter().fold(0, |bits, &byte| bits << 8 | u128::from(byte))
}

/// The lines of `name` with commas between them.
fn each_part(fields: &Fields, name: &HeaderName, mut sink: impl FnMut(&[u8])) {
    for (i, line) in fields.lines(name).enumerate() {
        if i > 0 {
            sink(b",");
        }
        sink(line);
    }
}

/// RFC 4648 section 5, of the 16 bytes in network order.
fn base64url(bits: u128) -> [u8; DIGITS] {
    // 128 bits are 21 digits of 6 bits and one of 2, which is filled up with zeros on the right.
    std::array::from_fn(|i| {
        let digit = if i < DIGITS - 1 { bits >> (122 - 6 * i) } else { bits << 4 };
        ALPHABET[usize::try_from(digit & 63).unwrap_or(0)]
    })
}

/// One entity tag as it stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    /// All of it: `W/` if it is weak, and the quotes.
    pub(crate) text: &'a [u8],
    /// What stands between the quotes.
    pub(crate) opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag that `text` is, in full.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        match Self::split_first(text)? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// The tag that `text` begins with, and what follows it.
    pub(crate) fn split_first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        // Case matters in `W/`: RFC 9110 section 8.8.3.
        let quoted = text.strip_prefix(b"W/").unwrap_or(text).strip_prefix(b"\"")?;
        let end = quoted.iter().position(|&byte| !is_etagc(byte))?;
        let (opaque, after) = quoted.split_at(end);
        let after = after.strip_prefix(b"\"")?;
        Some((Self { text: &text[..text.len() - after.len()], opaque }, after))
    }

    /// Whether it was minted here, by its form alone.
    pub(crate) fn is_ours(&self) -> bool {
        self.opaque.strip_prefix(MARK).is_some_and(|digits| {
            digits.len() == DIGITS && digits.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
    }

    /// Strong comparison: neither is weak, and they are the same (RFC 9110 section 8.8.3.2).
    pub(crate) fn strongly_equals(&self, other: &EntityTag<'_>) -> bool {
        self.text == other.text && !self.text.starts_with(b"W/")
    }

    /// Weak comparison: opaque parts, byte for byte (RFC 9110 section 8.8.3.2).
    pub(crate) fn weakly_equals(&self, other: &EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF)
}

#[cfg(test)]
#[path = "tag/tests.rs"]
mod tests;
