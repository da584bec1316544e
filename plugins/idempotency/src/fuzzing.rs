//! Keys, fingerprints and stored replies as functions of bytes, for fuzzing. No part of the API.

use crate::config::{FingerprintKind, Syntax};
use crate::fingerprint::{self, Head};
use crate::key::{Form, Key};
use crate::names::Names;
use crate::stored;
use crate::stored::ClearRecords;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use vestibule_plugin::{Fields, FullResponse, Secret};
use vestibule_store::records::{Fingerprint, Hold, Name, Owner, Payer};

const HOLD: Hold = Hold {
    name: Name([1; 16]),
    fingerprint: Fingerprint([2; 32]),
    owner: Owner([3; 16]),
    trace_id: 4,
    payer: Payer { principal: None, address: None },
};

pub fn key(line: &HeaderValue, is_strict: bool) -> Option<(String, bool)> {
    let syntax = if is_strict { Syntax::Strict } else { Syntax::Lenient };
    let key = Key::read(Ok(Some(line.as_bytes())), syntax).ok()??;
    Some((key.text, key.form == Form::Quoted))
}

pub fn fingerprint(target: &str, fields: &Fields, body: &[u8]) -> [u8; 32] {
    let names = Names::new(&Secret::new([7; 32]), "fuzzing");
    let head = Head::new("POST", "http", "origin.test", target, fields);
    fingerprint::of(names.fingerprint(), FingerprintKind::Json, &head, body).0
}

pub fn decode(stored: &[u8]) -> Option<FullResponse> {
    stored::decode_with(&Bytes::copy_from_slice(stored), None, ClearRecords::Accepted, &HOLD).ok()
}

pub fn encode(status: StatusCode, fields: &Fields, body: &[u8]) -> Option<Bytes> {
    stored::encode_within(status, fields, body, None, &HOLD).ok()
}
