//! Which node of a cluster has a key.

use super::url::Address;
use redis::Value;

/// Slots of every cluster.
pub(super) const SLOTS: u16 = 16384;

/// The slot of `key`: of what stands in its first braces, or of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    match key[open + 1..].iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(length) => &key[open + 1..open + 1 + length],
    }
}

/// XMODEM, as the cluster specification of Redis has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

/// Slots and the master that has them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Address,
}

/// The answer to CLUSTER SLOTS; a node that does not say its host has that of the one who was asked. `None` when it is
/// not such an answer.
pub(super) fn parse(answer: &Value, asked: &str) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    ranges.iter().map(|range| parse_range(range, asked)).collect()
}

fn parse_range(range: &Value, asked: &str) -> Option<Range> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &parts[..] else { return None };
    let [host, Value::Int(port), ..] = &master[..] else { return None };
    let host = match host {
        Value::Nil => asked.to_owned(),
        Value::BulkString(host) if host.is_empty() => asked.to_owned(),
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        _ => return None,
    };
    let master = Address { host, port: u16::try_from(*port).ok().filter(|port| *port != 0)? };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    (first <= last && last < SLOTS).then_some(Range { first, last, master })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_what_redis_says() {
        // As CLUSTER KEYSLOT of 7.0.15 answers.
        for (key, expected) in [("123456789", 12739), ("foo", 12182), ("{foo}bar", 12182), ("a{foo}{b}", 12182)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"a{}b"), crc16(b"a{}b") % SLOTS, "nothing in the braces");
        assert_eq!(slot(b"a{b"), crc16(b"a{b") % SLOTS, "no end of the braces");
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), bulk("id")]);
        Value::Array(vec![Value::Array(vec![Value::Int(first), Value::Int(last), master])])
    }

    #[test]
    fn ranges_are_read() {
        let master = |host: &str| Address { host: host.to_owned(), port: 7 };
        let expected = |host| Some(vec![Range { first: 0, last: 16383, master: master(host) }]);
        assert_eq!(parse(&range(0, 16383, bulk("h"), 7), "asked"), expected("h"));
        assert_eq!(parse(&range(0, 16383, bulk(""), 7), "asked"), expected("asked"));
        assert_eq!(parse(&range(0, 16383, Value::Nil, 7), "asked"), expected("asked"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (first, last, port) in [(1, 0, 7), (0, 16384, 7), (-1, 0, 7), (0, 1, 0), (0, 1, 65536)] {
            assert_eq!(parse(&range(first, last, bulk("h"), port), "asked"), None);
        }
        assert_eq!(parse(&Value::Okay, ""), None);
        assert_eq!(parse(&Value::Array(vec![Value::Array(Vec::new())]), ""), None);
    }
}
