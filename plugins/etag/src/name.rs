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

    /// Of what a request is about: authority, path as routes see it, and query.
    pub(crate) fn of(&self, request: &RequestHead<'_>) -> Name {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let authority = request.authority.to_ascii_lowercase();
        let mut mac = self.0.clone();
        for part in [PURPOSE, authority.as_bytes(), request.path.as_bytes(), query.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        Name(name)
    }
}
