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
        let (host, path) = (host(request), request.path.to_ascii_lowercase());
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

/// The host with a port that says something, without the dot that ends a full name. The default port of either scheme
/// says nothing: a load balancer in front may speak the other one.
fn host(request: &RequestHead<'_>) -> String {
    let Some(authority) = request.canonical_authority() else { return String::new() };
    let name = authority.host().strip_suffix('.').unwrap_or(authority.host());
    match authority.port() {
        None | Some(80 | 443) => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(authority: &str) -> String {
        let mut fields = vestibule_plugin::Fields::new();
        host(&RequestHead {
            method: &http::Method::PUT,
            target: "/",
            path: "/",
            authority,
            scheme: "http",
            version: http::Version::HTTP_11,
            body_length: None,
            fields: &mut fields,
        })
    }

    #[test]
    fn spellings_of_a_host_are_one() {
        for spelling in ["H.example", "h.example:80", "h.example:", "h.example.", "h.example.:443"] {
            assert_eq!(named(spelling), "h.example", "{spelling}");
        }
        for (spelling, name) in
            [("h.example.:8080", "h.example:8080"), ("[::1]:80", "[::1]"), ("[0::1]", "[::1]"), ("", "")]
        {
            assert_eq!(named(spelling), name, "{spelling}");
        }
    }
}
