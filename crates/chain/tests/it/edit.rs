//! What an attacker does to the bytes of a log.

use serde_json::Value;
use vestibule_chain::{ChainId, Checkpoint, Digest, Record, SigningKey, append, canonical, event_type, link, types};

/// Lines with their ends.
pub fn lines(segment: &[u8]) -> Vec<Vec<u8>> {
    segment.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Changes the lines of a segment.
pub fn edited(segment: &[u8], edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut lines = lines(segment);
    edit(&mut lines);
    lines.concat()
}

/// Replaces text in one line.
pub fn replaced(segment: &[u8], line: usize, from: &str, to: &str) -> Vec<u8> {
    edited(segment, |lines| {
        let text = String::from_utf8(lines[line].clone()).expect("text");
        assert!(text.contains(from), "{from} is not in {text}");
        lines[line] = text.replacen(from, to, 1).into_bytes();
    })
}

/// What becomes of checkpoints behind an edit.
#[derive(Clone, Copy)]
pub enum Checkpoints<'a> {
    /// They stay as they are.
    Stale,
    /// They are made to fit, their signatures left as they are.
    Fitted,
    /// They are made to fit and signed with this key, or not at all.
    Signed(Option<&'a SigningKey>),
}

/// Writes all records anew so that they follow one another, from the first of `segments`.
pub fn rehashed(chain: ChainId, segments: &[Vec<u8>], checkpoints: Checkpoints<'_>) -> Vec<Vec<u8>> {
    let (mut seq, mut prev) = (0, Digest::ZERO);
    let mut link_line = |line: &Vec<u8>| {
        let record = Record::parse(line.strip_suffix(b"\n").expect("a line")).expect("a record");
        let event = match (event_type(record.event), checkpoints) {
            (Some(types::CHECKPOINT), Checkpoints::Fitted | Checkpoints::Signed(_)) => {
                fitted(record.event, seq, prev, checkpoints)
            }
            _ => record.event.to_vec(),
        };
        let hash = link(chain, seq, prev, &event);
        let mut out = Vec::new();
        append(&mut out, &Record { seq, prev, hash, event: &event });
        (seq, prev) = (seq + 1, hash);
        out
    };
    segments.iter().map(|segment| lines(segment).iter().flat_map(&mut link_line).collect()).collect()
}

fn fitted(event: &[u8], seq: u64, prev: Digest, how: Checkpoints<'_>) -> Vec<u8> {
    let old = Checkpoint::of_event(event).expect("a checkpoint");
    let unsigned = Checkpoint { seq: seq - 1, hash: prev, records: seq, ..old };
    let new = match how {
        Checkpoints::Signed(Some(key)) => unsigned.signed(key),
        Checkpoints::Signed(None) => Checkpoint { signature: None, ..unsigned },
        _ => unsigned,
    };
    let mut event: Value = serde_json::from_slice(event).expect("JSON");
    event["data"]["metadata"] = new.to_metadata();
    let mut bytes = Vec::new();
    canonical::value(&mut bytes, &event);
    bytes
}
