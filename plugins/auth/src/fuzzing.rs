//! Parsers of tokens and keys as functions of bytes, for fuzzing. No part of the API.

use crate::algorithm::Algorithm;
use crate::jwk;
use crate::token::Token;
use serde_json::{Map, Value};

/// A token in its parts, nothing verified.
pub struct ReadToken {
    pub algorithm: &'static str,
    pub key_id: Option<String>,
    /// Bytes of the text that the signature is of.
    pub signed: usize,
    pub signature: Vec<u8>,
    pub claims: Map<String, Value>,
}

pub fn token(text: &str) -> Option<ReadToken> {
    let token = Token::read(text, &Algorithm::ALL).ok()?;
    Some(ReadToken {
        algorithm: token.algorithm.name(),
        key_id: token.key_id,
        signed: token.signed.len(),
        signature: token.signature,
        claims: token.claims,
    })
}

/// A key set: how many keys are used, and the names of those that are not.
pub struct ReadKeySet {
    pub keys: usize,
    pub skipped: Vec<String>,
}

pub fn key_set(text: &[u8]) -> Option<ReadKeySet> {
    let read = jwk::read_set(text).ok()?;
    Some(ReadKeySet { keys: read.set.len(), skipped: read.skipped.into_iter().map(|skipped| skipped.key_id).collect() })
}

pub fn is_public_key(pem: &[u8]) -> bool {
    jwk::read_pem(pem).is_ok()
}
