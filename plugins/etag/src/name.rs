//! What the lock on a resource is called: a keyed hash, so that a store tells nobody what is written.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use vestibule_plugin::{RequestHead, Secret};
use vestibule_store::records::Name;

/// Stands in every hash.
const PURPOSE: &[u8] = b"vestibule etag lock 1";

/// Makes names under one secret.
pub(crate) struct Names(Hmac<Sha256>);

impl Names {
    pub(crate) fn new(secret: &Secret) -> Self {
        // A key of HMAC-SHA256 may have any length up to its block of 64 bytes; the secret has 32.
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret.bytes());
        Self(KeyInit::new(&block.into()))
    }

    /// Of what a request is about: host, path as routes see it, and query. Spellings that may mean the same have one name:
    /// two resources that share a lock wait for each other, one resource with two locks loses a write.
    pub(crate) fn of(&self, request: &RequestHead<'_>) -> Name {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let (host, path) = (host(request.authority), request.path.to_ascii_lowercase());
        let mut mac = self.0.clone();
        for part in [PURPOSE, host.as_bytes(), path.as_bytes(), query.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        Name(name)
    }
}

/// An authority in lower case, without a port that says nothing and without the dot that ends a full name.
fn host(authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let bare = lower.strip_suffix(":80").or(lower.strip_suffix(":443")).unwrap_or(&lower);
    match bare.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(']') => format!("{}:{port}", name.strip_suffix('.').unwrap_or(name)),
        _ => bare.strip_suffix('.').unwrap_or(bare).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_host_are_one() {
        for spelling in ["H.example", "h.example:80", "h.example.", "h.example.:443"] {
            assert_eq!(host(spelling), "h.example", "{spelling}");
        }
        assert_eq!(
            (host("h.example.:8080"), host("[::1]:80"), host("[::1]")),
            ("h.example:8080".to_owned(), "[::1]".to_owned(), "[::1]".to_owned())
        );
    }
}
