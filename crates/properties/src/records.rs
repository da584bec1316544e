//! Records: keys of requests, replies that are stored, what a store says, and the audit log.

use crate::parts;
use http::{HeaderValue, header};
use serde_json::Value;
use vestibule_chain::verify::{Claims, Report, Terms, Verifier};
use vestibule_chain::{Record, VerifyingKey, canonical};
use vestibule_idempotency::fuzzing as idempotency;
use vestibule_plugin::Fields;
use vestibule_store::fuzzing as store;
use vestibule_testkit::AuditLog;
use vestibule_testkit::audit_log::KEY;

/// What is nested deeper has a fingerprint of its bytes.
const MOST_DEPTH: usize = 64;

/// Holds of a key: its syntaxes agree, it is short and printable, and written again it is the same key; and of a
/// fingerprint: spelling that means nothing makes no difference.
pub fn idempotency_key(data: &[u8]) {
    let [line, body] = parts(data);
    if let Ok(line) = HeaderValue::from_bytes(line) {
        let [strict, lenient] = [true, false].map(|is_strict| idempotency::key(&line, is_strict));
        assert!(strict.is_none() || strict == lenient, "{strict:?} {lenient:?}");
        if let Some((text, is_quoted)) = lenient {
            assert!((1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            assert_eq!(strict.is_some(), is_quoted);
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let quoted = HeaderValue::from_str(&quoted).expect("a value");
            assert_eq!(idempotency::key(&quoted, true), Some((text, true)));
        }
    }
    fingerprint(body);
}

fn fingerprint(body: &[u8]) {
    let mut fields = Fields::new();
    fields.set(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let of = |body: &[u8]| idempotency::fingerprint("/orders?a=b", &fields, body);
    let own = of(body);
    assert_eq!(own, of(body));
    assert_ne!(own, of(&[body, b"x"].concat()), "another body");

    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    // `serde_json` merges members of one name and reads numbers; without either, its spelling means the same.
    if !has_number(&value) && count(&value) == members(body) && depth(&value) < MOST_DEPTH {
        assert_eq!(own, of(&serde_json::to_vec(&value).expect("JSON")), "spelt anew");
        assert_eq!(own, of(&serde_json::to_vec_pretty(&value).expect("JSON")), "spelt with space");
    }
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(has_number),
        Value::Object(members) => members.values().any(has_number),
        _ => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Members of all objects.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.len() + members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Members of all objects of a JSON text, also those of one name: colons outside strings.
fn members(text: &[u8]) -> usize {
    let (mut colons, mut quoted, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => colons += 1,
            _ => {}
        }
    }
    colons
}

/// Holds of a stored reply that is read: it is one that may be sent, and stored again it is the same.
pub fn stored_reply(data: &[u8]) {
    // With and without the two bytes that every stored reply begins with.
    for stored in [data.to_vec(), [&[1, 0], data].concat()] {
        let Some(reply) = idempotency::decode(&stored) else { continue };
        let size: usize = reply.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(size + reply.body.len() <= stored.len());
        let Some(again) = idempotency::encode(reply.status, &reply.fields, &reply.body) else { continue };
        let again = idempotency::decode(&again).expect("what was stored is read");
        assert_eq!((again.status, &again.body), (reply.status, &reply.body));
        for (name, _) in again.fields.iter() {
            assert!(again.fields.lines(name).eq(reply.fields.lines(name)));
        }
    }
}

/// Holds of what a store says: behind a whole reply the bound sees what is announced next, wherever the reply's lines end;
/// no script's answer and no record is taken for another's.
pub fn store_reply(data: &[u8]) {
    let passed = store::bounded(data);
    assert!(passed <= data.len());
    // The parser takes no notice of what stands behind a reply. A number that begins on another line is one to it and is
    // refused here.
    let is_whole = store::is_reply(data) && !store::is_reply(&data[..data.len() - 1]);
    if is_whole && passed == data.len() {
        let announced = [data, b"$99999999999\r\n"].concat();
        assert!(store::bounded(&announced) < announced.len(), "what is announced behind it is not seen");
    }

    // Three scripts, and a reply without their tag is none of theirs.
    assert!(store::script_answers(data) <= 3);

    let fingerprint = [2; 32];
    if store::record(data, fingerprint).is_some() {
        assert!(store::record(data, [9; 32]).is_none(), "a record of another request");
    }
    let header = [&[1, data.first().map_or(2, |byte| byte % 5), 0, 0, 200], &fingerprint[..], &[0; 40], data].concat();
    let _ = store::record(&header, fingerprint);
}

/// Holds of the audit log: what is written is verified, whatever the events say, and no byte can be another.
pub fn audit_record(data: &[u8]) {
    // Bytes that are taken for a record are one of exactly one form.
    if let Ok(record) = Record::parse(data) {
        let mut line = Vec::new();
        vestibule_chain::append(&mut line, &record);
        assert_eq!(line.strip_suffix(b"\n"), Some(data));
    }
    if canonical::is_object(data) {
        let value: Value = serde_json::from_slice(data).expect("JSON");
        let mut again = Vec::new();
        canonical::value(&mut again, &value);
        assert_eq!(again, data, "another way to write it is canonical, too");
    }

    let [text, at, event] = parts(data);
    let metadata = serde_json::from_slice(event).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(text)));
    let mut log = AuditLog::new(7, Some(KEY));
    log.requests(1);
    log.event("io.vestibule.fuzzing", &serde_json::json!({ "metadata": metadata, "schema": 1 }));
    log.stop();
    let written = log.segments.concat();
    let report = verified(&written);
    assert!(report.finding.is_none(), "{report:?} of {}", String::from_utf8_lossy(&written));

    let at = at.iter().fold(0_usize, |number, byte| number * 256 % 1_000_003 + usize::from(*byte)) % written.len();
    let mut changed = written;
    changed[at] ^= 1 << (at % 7);
    assert!(verified(&changed).finding.is_some(), "byte {at} is another: {}", String::from_utf8_lossy(&changed));
}

fn verified(log: &[u8]) -> Report {
    let keys = vec![VerifyingKey::from_pem(KEY.public.as_bytes()).expect("a key")];
    let mut verifier = Verifier::new(Terms { keys, sealed: true, is_live: false }, Claims::default());
    // Memory does not fail.
    verifier.segment(log, true).expect("memory");
    verifier.finish()
}
