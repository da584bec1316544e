//! Keys, fingerprints and stored replies as functions of bytes, for fuzzing. No part of the API.

use crate::config::{FingerprintKind, Syntax};
use crate::fingerprint::{self, Head};
use crate::key::{Form, Key};
use crate::names::Names;
use crate::stored;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use vestibule_plugin::{FullResponse, Secret};
use vestibule_store::records::{Fingerprint, Hold, Name, Owner};

const HOLD: Hold = Hold { name: Name([1; 16]), fingerprint: Fingerprint([2; 32]), owner: Owner([3; 16]), trace_id: 4 };

pub fn key(line: &HeaderValue, is_strict: bool) -> Option<(String, bool)> {
    let syntax = if is_strict { Syntax::Strict } else { Syntax::Lenient };
    let key = Key::read(std::iter::once(line), syntax).ok()??;
    Some((key.text, key.form == Form::Quoted))
}

pub fn fingerprint(target: &str, fields: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let names = Names::new(&Secret::new([7; 32]), "fuzzing");
    let head = Head::new("POST", "http", "origin.test", target, fields);
    fingerprint::of(names.fingerprint(), FingerprintKind::Json, &head, body).0
}

pub fn decode(stored: &[u8]) -> Option<FullResponse> {
    stored::decode(&Bytes::copy_from_slice(stored), None, &HOLD).ok()
}

pub fn encode(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Option<Bytes> {
    stored::encode(status, fields, body, None, &HOLD).ok()
}
