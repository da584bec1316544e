//! One byte changed anywhere.

use crate::edit::lines;
use crate::verify::{log, plain};
use proptest::prelude::*;
use std::sync::OnceLock;
use vestibule_chain::Fault;
use vestibule_testkit::AuditLog;
use vestibule_testkit::audit_log::KEY;

fn whole() -> &'static [Vec<u8>] {
    static WHOLE: OnceLock<AuditLog> = OnceLock::new();
    &WHOLE.get_or_init(|| log(Some(KEY))).segments
}

/// Which line of which segment a byte is in.
fn line_of(segment: &[u8], place: usize) -> u64 {
    segment[..place].iter().filter(|byte| **byte == b'\n').count() as u64 + 1
}

/// AUD-16
#[test]
fn two_hundred_flips_in_ten_thousand_records_are_found_at_their_records() {
    let mut log = AuditLog::new(7, Some(KEY));
    while log.seq < 9_998 {
        log.requests(499);
        log.checkpoint(false);
        if log.seq < 9_998 {
            log.rotate(&[]);
        }
    }
    log.stop();
    assert!(log.seq >= 10_000 && plain(&log.segments).finding.is_none());
    let mut segments = log.segments.clone();
    let mut random = 88_172_645_463_325_252_u64;
    for flip in 0..200 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let index = flip % segments.len();
        let place = (random % segments[index].len() as u64) as usize;
        let bit = 1 << (random >> 60 & 7);
        segments[index][place] ^= bit;
        // What is before is as it was, so it is enough to begin a segment earlier.
        let from = index.saturating_sub(1);
        let found = plain(&segments[from..]).finding.expect("found");
        segments[index][place] ^= bit;
        let line = line_of(&segments[index], place);
        assert_eq!(
            (from + found.place.segment, found.place.line),
            (index, line),
            "byte {place}, bit {bit:x}: {found:?}"
        );
        let is_named = matches!(
            found.fault,
            Fault::HashMismatch | Fault::PrevMismatch | Fault::SeqGap | Fault::SeqRepeat | Fault::BadLine
        );
        assert!(is_named, "{found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_other_byte_anywhere_is_found_at_its_record(segment in 0..3_usize, place in any::<prop::sample::Index>(), byte: u8) {
        let mut segments = whole().to_vec();
        let place = place.index(segments[segment].len());
        let line = line_of(&segments[segment], place);
        let before = std::mem::replace(&mut segments[segment][place], byte);
        prop_assume!(before != byte);
        // A zero in place of the very last line end is what a disk may leave: it says nothing else than the record did.
        prop_assume!(!(segment == 2 && place + 1 == segments[2].len() && byte == 0));
        let found = plain(&segments).finding.expect("found");
        prop_assert_eq!((found.place.segment, found.place.line), (segment, line), "{:?}", found);
    }

    #[test]
    fn no_bytes_make_it_panic(segment in 0..3_usize, line in 0..22_usize, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut segments = whole().to_vec();
        let mut torn = lines(&segments[segment])[..line].concat();
        torn.extend(bytes);
        segments[segment] = torn;
        let _ = plain(&segments);
    }
}
