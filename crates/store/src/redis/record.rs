//! A record as it lies in Redis: one value, a header of fixed size and the payload. `record.lua` reads the same.

use crate::records::{Begun, Fingerprint, Hold, NotKept, Outcome, Unknown};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// Of this layout; another one is not read.
const VERSION: u8 = 1;

/// Version, state, reason, status, fingerprint, owner, trace id, lease end.
pub(super) const HEADER_BYTES: usize = 3 + 2 + HOLD_BYTES + 8;

/// Statuses of replies that end an exchange; beyond 599 they are of no class, and applications send them all the same.
const FINAL_STATUSES: RangeInclusive<u16> = 200..=999;

/// Fingerprint, owner and trace id.
const HOLD_BYTES: usize = 32 + 16 + 16;

const IN_FLIGHT: u8 = 1;
const DONE: u8 = 2;
const TOMBSTONE: u8 = 3;
const UNCERTAIN: u8 = 4;

/// The part of a record that says whose it is.
pub(super) fn encode_hold(hold: &Hold) -> [u8; HOLD_BYTES] {
    let mut bytes = [0; HOLD_BYTES];
    bytes[..32].copy_from_slice(&hold.fingerprint.0);
    bytes[32..48].copy_from_slice(&hold.owner.0);
    bytes[48..].copy_from_slice(&hold.trace_id.to_be_bytes());
    bytes
}

/// The value of a record that is no claim.
pub(super) fn encode(hold: &Hold, outcome: &Outcome) -> Vec<u8> {
    let (state, reason, status, payload) = match outcome {
        Outcome::Done { status, reply } => (DONE, 0, *status, &reply[..]),
        Outcome::Tombstone { status, why } => (TOMBSTONE, not_kept_code(*why), *status, &[][..]),
        Outcome::Uncertain(why) => (UNCERTAIN, unknown_code(*why), 0, &[][..]),
    };
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.extend_from_slice(&[VERSION, state, reason]);
    value.extend_from_slice(&status.to_be_bytes());
    value.extend_from_slice(&encode_hold(hold));
    value.extend_from_slice(&[0; 8]);
    value.extend_from_slice(payload);
    value
}

/// What a record of the request `of` says to somebody who did not get it; `None` when it is not one.
pub(super) fn decode(value: Vec<u8>, of: &Fingerprint) -> Option<Begun> {
    let value = Bytes::from(value);
    let header: &[u8; HEADER_BYTES] = value.first_chunk()?;
    let [version, state, reason, status_high, status_low, ..] = *header;
    // That it is of this request was decided there; an answer that belongs to another question is caught here.
    if version != VERSION || header[5..37] != of.0 || (state != DONE && value.len() != HEADER_BYTES) {
        return None;
    }
    let status = u16::from_be_bytes([status_high, status_low]);
    // Of a claim, and where nobody knows, there is none; a final status is never an interim one (RFC 9110 section 15.2).
    let has_status = matches!(state, DONE | TOMBSTONE);
    if has_status != FINAL_STATUSES.contains(&status) {
        return None;
    }
    let trace_id = u128::from_be_bytes(*header[..HEADER_BYTES - 8].last_chunk()?);
    match (state, reason) {
        (IN_FLIGHT, 0) => Some(Begun::Busy { trace_id }),
        (DONE, 0) => Some(Begun::Replay { reply: value.slice(HEADER_BYTES..), trace_id }),
        (TOMBSTONE, code) => Some(Begun::Gone { status, why: not_kept(code)?, trace_id }),
        (UNCERTAIN, code) => Some(Begun::Uncertain { why: unknown(code)?, trace_id }),
        _ => None,
    }
}

fn not_kept_code(why: NotKept) -> u8 {
    match why {
        NotKept::TooLarge => 1,
        NotKept::Stream => 2,
        NotKept::Truncated => 3,
        NotKept::StoreFull => 4,
        NotKept::Memory => 5,
    }
}

fn not_kept(code: u8) -> Option<NotKept> {
    [NotKept::TooLarge, NotKept::Stream, NotKept::Truncated, NotKept::StoreFull, NotKept::Memory]
        .into_iter()
        .find(|why| not_kept_code(*why) == code)
}

fn unknown_code(why: Unknown) -> u8 {
    match why {
        Unknown::Lease => 1,
        Unknown::Upstream => 2,
        Unknown::Shutdown => 3,
    }
}

fn unknown(code: u8) -> Option<Unknown> {
    [Unknown::Lease, Unknown::Upstream, Unknown::Shutdown].into_iter().find(|why| unknown_code(*why) == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Name, Owner, Payer};
    use proptest::prelude::*;

    const HOLD: Hold = Hold {
        name: Name([0; 16]),
        fingerprint: Fingerprint([1; 32]),
        owner: Owner([2; 16]),
        trace_id: 3,
        payer: Payer { principal: None, address: None },
    };

    fn read(value: Vec<u8>) -> Option<Begun> {
        decode(value, &HOLD.fingerprint)
    }

    #[test]
    fn every_outcome_is_read_back() {
        let reply = Bytes::from_static(b"\0\r\nreply");
        let replay = Begun::Replay { reply: reply.clone(), trace_id: 3 };
        assert_eq!(read(encode(&HOLD, &Outcome::Done { status: 201, reply })), Some(replay));
        for code in 1..=5 {
            let why = not_kept(code).expect("a reason");
            let gone = Begun::Gone { status: 599, why, trace_id: 3 };
            assert_eq!(read(encode(&HOLD, &Outcome::Tombstone { status: 599, why })), Some(gone));
        }
        for code in 1..=3 {
            let why = unknown(code).expect("a reason");
            assert_eq!(read(encode(&HOLD, &Outcome::Uncertain(why))), Some(Begun::Uncertain { why, trace_id: 3 }));
        }
    }

    #[test]
    fn what_is_not_a_record_is_not_read() {
        let good = encode(&HOLD, &Outcome::Tombstone { status: 200, why: NotKept::Stream });
        assert!(read(good.clone()).is_some());
        for (at, bad) in [(0, 0), (0, 2), (1, 0), (1, 5), (2, 0), (2, 6), (5, 0), (36, 0)] {
            let mut value = good.clone();
            value[at] = bad;
            assert_eq!(read(value), None, "{bad} at {at}");
        }
        assert_eq!(read([&good[..], b"x"].concat()), None, "a tombstone has no payload");
        assert_eq!(read(good[..HEADER_BYTES - 1].to_vec()), None);
        for status in [0, 100, 101, 199, 1000, u16::MAX] {
            let gone = Outcome::Tombstone { status, why: NotKept::Stream };
            assert_eq!(read(encode(&HOLD, &gone)), None, "{status} ends no exchange");
            let done = Outcome::Done { status, reply: Bytes::new() };
            assert_eq!(read(encode(&HOLD, &done)), None, "{status} ends no exchange");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(value);
        }
    }
}
