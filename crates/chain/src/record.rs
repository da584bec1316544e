//! One record: one line of a segment, in exactly one form.

use crate::canonical;
use crate::digest::Digest;

/// Most bytes of a line, its line end included.
pub const MAX_LINE: usize = 1 << 20;

const HEAD: &[u8] = b"{\"v\":1,\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const EVENT: &[u8] = b"\",\"event\":";
/// Hexadecimal digits of a hash.
const HEX: usize = 64;

/// A record as it is read; whether its hash is right is another question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Counts records of the log, from 0.
    pub seq: u64,
    /// Hash of the record before it.
    pub prev: Digest,
    /// Its own hash.
    pub hash: Digest,
    /// Canonical JSON.
    pub event: &'a [u8],
}

/// A line that is no record: another form, an event that is not canonical, or too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the line is no record")]
pub struct BadLine;

impl<'a> Record<'a> {
    /// Reads a line without its line end.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadLine> {
        Self::split(line).filter(|record| canonical::is_object(record.event)).ok_or(BadLine)
    }

    fn split(line: &'a [u8]) -> Option<Self> {
        if line.len() >= MAX_LINE {
            return None;
        }
        let rest = line.strip_prefix(HEAD)?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (seq, rest) = rest.split_at(digits);
        if seq.len() > 1 && seq[0] == b'0' {
            return None;
        }
        let seq = std::str::from_utf8(seq).ok()?.parse().ok()?;
        let (prev, rest) = rest.strip_prefix(PREV)?.split_at_checked(HEX)?;
        let (hash, rest) = rest.strip_prefix(HASH)?.split_at_checked(HEX)?;
        let event = rest.strip_prefix(EVENT)?.strip_suffix(b"}")?;
        Some(Self { seq, prev: Digest::from_hex(prev)?, hash: Digest::from_hex(hash)?, event })
    }
}

/// Writes the line of a record, line end included.
pub fn append(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(HEAD);
    out.extend_from_slice(itoa::Buffer::new().format(record.seq).as_bytes());
    out.extend_from_slice(PREV);
    out.extend_from_slice(&record.prev.hex());
    out.extend_from_slice(HASH);
    out.extend_from_slice(&record.hash.hex());
    out.extend_from_slice(EVENT);
    out.extend_from_slice(record.event);
    out.extend_from_slice(b"}\n");
}

/// The type of a canonical event: its members are sorted, so it stands last.
pub fn event_type(event: &[u8]) -> Option<&str> {
    last_member(event.strip_suffix(b"}")?, b",\"type\":").map(|(_, name)| name)
}

/// The time of a canonical event, which stands before its type.
pub fn event_time(event: &[u8]) -> Option<&str> {
    let (rest, _) = last_member(event.strip_suffix(b"}")?, b",\"type\":")?;
    last_member(rest, b",\"time\":").map(|(_, time)| time)
}

/// The text of the member that ends here, if it has this name and no escapes, and what stands before it.
fn last_member<'a>(members: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a str)> {
    let body = members.strip_suffix(b"\"")?;
    let quote = memchr::memrchr(b'"', body)?;
    let text = std::str::from_utf8(&body[quote + 1..]).ok()?;
    let rest = body[..quote].strip_suffix(name)?;
    (!text.contains('\\')).then_some((rest, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{ChainId, link};
    use uuid::Uuid;

    fn line(seq: u64, event: &[u8]) -> Vec<u8> {
        let hash = link(ChainId(Uuid::nil()), seq, Digest::ZERO, event);
        let mut line = Vec::new();
        append(&mut line, &Record { seq, prev: Digest::ZERO, hash, event });
        line
    }

    #[test]
    fn a_record_reads_back_and_ends_with_its_line() {
        let event = br#"{"data":{},"time":"2026-11-22T10:03:11.482Z","type":"io.vestibule.process.started"}"#;
        let line = line(1042, event);
        let (last, line) = line.split_last().expect("a line");
        assert_eq!(*last, b'\n');
        let record = Record::parse(line).expect("a record");
        assert_eq!((record.seq, record.event), (1042, &event[..]));
        assert_eq!(event_type(record.event), Some("io.vestibule.process.started"));
        assert_eq!(event_time(record.event), Some("2026-11-22T10:03:11.482Z"));
    }

    #[test]
    fn another_member_is_no_type() {
        for event in [
            r#"{"data":{"type":"a"}}"#,
            r#"{"data":{"type":"a"},"z":"b"}"#,
            r#"{"a":"b","type":"a\"}"#,
            r#"{"a":"b","type":"\"a"}"#,
            r#"{"a":"b","type":1}"#,
            r#"{"a":",\"type\":\"b"}"#,
            "{}",
            "",
        ] {
            assert_eq!(event_type(event.as_bytes()), None, "{event}");
        }
    }

    /// AUD-16, AUD-17: one form, and no other.
    #[test]
    fn another_form_is_no_record() {
        let good = String::from_utf8(line(7, br#"{"a":1,"b":[2]}"#)).expect("text");
        let good = good.trim_end();
        for (from, to) in [
            ("{\"v\":1,", "{\"v\":2,"),
            ("{\"v\":1,", "{ \"v\":1,"),
            ("\"seq\":7", "\"seq\":07"),
            ("\"seq\":7", "\"seq\":-7"),
            ("\"seq\":7", "\"seq\":18446744073709551616"),
            ("{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}"),
            ("{\"a\":1,\"b\":[2]}", "{\"a\":1, \"b\":[2]}"),
            ("{\"a\":1,\"b\":[2]}", "[1]"),
            ("{\"a\":1,\"b\":[2]}", "{\"a\":1,\"a\":1}"),
            ("000000\",\"hash", "00000A\",\"hash"),
            ("}}", "}}}"),
            ("}}", "}"),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(Record::parse(good.replacen(from, to, 1).as_bytes()), Err(BadLine), "{to}");
        }
        assert!(Record::parse(good.as_bytes()).is_ok());
    }

    #[test]
    fn no_line_is_longer_than_a_mebibyte() {
        let event = |text: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(text));
        let shortest = line(0, event(0).as_bytes()).len();
        let fits = line(0, event(MAX_LINE - shortest).as_bytes());
        assert!(fits.len() == MAX_LINE && Record::parse(&fits[..MAX_LINE - 1]).is_ok());
        let over = line(0, event(MAX_LINE - shortest + 1).as_bytes());
        assert_eq!(Record::parse(&over[..MAX_LINE]), Err(BadLine));
    }
}
