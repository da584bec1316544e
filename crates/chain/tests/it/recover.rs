//! Segments as crashes leave them.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;
use vestibule_chain::recover::{Broken, Survey, request_id, survey};
use vestibule_chain::{Fault, event_type, types};
use vestibule_testkit::AuditLog;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn of(segment: &[u8]) -> Survey {
    survey(segment).expect("memory")
}

/// A log with two segments; of four requests, three are still open.
fn log() -> AuditLog {
    let mut log = AuditLog::new(7, None);
    log.request(types::REQUEST_STARTED, id(1));
    log.request(types::REQUEST_STARTED, id(2));
    log.checkpoint(false);
    log.rotate(&[id(1), id(2)]);
    log.request(types::REQUEST_STARTED, id(3));
    log.request(types::REQUEST_FINISHED, id(2));
    log.request(types::REQUEST_STARTED, id(4));
    log
}

#[test]
fn what_a_writer_needs_to_go_on_is_in_the_last_segment() {
    let log = log();
    let found = of(log.tail());
    assert_eq!((found.chain(), found.first_seq), (Some(log.chain), Some(4)));
    assert_eq!(found.last, Some((log.seq - 1, log.hash)));
    assert_eq!((found.records, found.end, found.torn_bytes), (4, log.tail().len() as u64, 0));
    assert_eq!(found.last_time.as_deref(), Some("2026-11-22T10:03:11.489Z"));
    assert_eq!(found.head.as_ref().map(|head| head.number), Some(1));
    assert_eq!((found.broken, found.is_final), (None, false));
    assert_eq!(found.open.keys().copied().collect::<Vec<_>>(), [id(1), id(3), id(4)]);
    // The event of the first stands in the segment before.
    assert_eq!(found.open.values().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    let started = found.open[&id(4)].as_deref().expect("kept");
    assert_eq!((event_type(started), request_id(started)), (Some(types::REQUEST_STARTED), Some(id(4))));
}

/// AUD-20
#[test]
fn a_final_checkpoint_that_is_last_is_a_clean_stop() {
    let mut log = log();
    log.stop();
    let found = of(log.tail());
    assert!(found.is_final && found.checkpoint.is_some_and(|checkpoint| checkpoint.seq == log.seq - 2));
    let torn = [log.tail(), b"{\"v\":1"].concat();
    assert!(!of(&torn).is_final);
    log.event(types::PROCESS_STARTED, &json!({}));
    assert!(!of(log.tail()).is_final);
}

/// AUD-13: wherever a write was cut short, what is whole stays.
#[test]
fn a_tail_is_torn_at_any_byte() {
    let mut log = log();
    let whole = log.tail().len();
    let before = of(log.tail());
    log.request(types::REQUEST_STARTED, id(5));
    let segment = log.tail();
    for cut in whole + 1..segment.len() {
        let found = of(&segment[..cut]);
        assert_eq!((found.end, found.torn_bytes, found.broken), (whole as u64, (cut - whole) as u64, None), "{cut}");
        assert_eq!((found.last, &found.open), (before.last, &before.open));
        let zeros = [&segment[..cut], &vec![0; segment.len() - cut]].concat();
        assert_eq!(of(&zeros).torn_bytes, (segment.len() - whole) as u64);
    }
    let mut unparsable = segment.to_vec();
    unparsable[whole] = b'[';
    assert_eq!(of(&unparsable).torn_bytes, (segment.len() - whole) as u64);
    let zeros = [&segment[..whole], &vec![0; 3 << 20]].concat();
    assert_eq!((of(&zeros).end, of(&zeros).torn_bytes), (whole as u64, 3 << 20));
}

#[test]
fn a_bad_record_before_the_tail_is_no_torn_tail() {
    let log = log();
    let segment = log.tail();
    let feeds = segment.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let starts: Vec<usize> = std::iter::once(0).chain(feeds.map(|(at, _)| at + 1)).collect();
    let mut unparsable = segment.to_vec();
    unparsable[starts[2]] = b'[';
    // A record that reads well is not what a cut leaves, not even as the last.
    let changed = |line: usize| {
        let mut changed = segment.to_vec();
        let place = segment[starts[line]..].windows(6).position(|window| window == b"orders").expect("there");
        changed[starts[line] + place] = b'O';
        changed
    };
    for (bytes, fault, line) in
        [(unparsable, Fault::BadLine, 2), (changed(2), Fault::HashMismatch, 2), (changed(3), Fault::HashMismatch, 3)]
    {
        let found = of(&bytes);
        let offset = starts[line] as u64;
        assert_eq!(found.broken, Some(Broken { fault, line: line as u64 + 1, offset }));
        assert_eq!((found.end, found.torn_bytes, found.records), (offset, 0, line as u64));
    }
    let headless = of(&segment[starts[1]..]);
    assert_eq!(headless.broken.map(|broken| broken.fault), Some(Fault::BadLine));
}

#[test]
fn a_segment_that_was_only_just_made_holds_nothing() {
    assert_eq!(of(b""), Survey::default());
    let log = AuditLog::new(7, None);
    let torn = of(&log.tail()[..40]);
    assert_eq!((torn.head, torn.last, torn.end, torn.torn_bytes), (None, None, 0, 40));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..3_000_usize) {
        let _ = of(&bytes);
        let segment = log().tail().to_vec();
        let found = of(&[&segment[..cut.min(segment.len())], &bytes].concat());
        prop_assert!(found.records <= 4);
    }
}
