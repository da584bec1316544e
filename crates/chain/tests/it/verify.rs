//! The table of what is done to a log, row by row, and what is left to be said of one that is whole.

use crate::edit::{Checkpoints, edited, lines, rehashed, replaced};
use serde_json::json;
use vestibule_chain::verify::{Claims, Kept, Report, Terms, Verifier, Witness};
use vestibule_chain::{Digest, Fault, MAX_LINE, SigningKey, VerifyingKey, types};
use vestibule_testkit::AuditLog;
use vestibule_testkit::audit_log::{KEY, KeyPair, OTHER_KEY};

/// Three segments, each with a head, ten requests and a checkpoint; the last ends cleanly. Records 0 to 21, 22 to 43 and
/// 44 to 66.
pub fn log(key: Option<KeyPair>) -> AuditLog {
    let mut log = AuditLog::new(7, key);
    for _ in 0..2 {
        log.requests(10);
        log.checkpoint(false);
        log.rotate(&[]);
    }
    log.requests(10);
    log.stop();
    log
}

fn read(segments: &[Vec<u8>], terms: Terms, claims: Claims) -> Report {
    let mut verifier = Verifier::new(terms, claims);
    for (index, segment) in segments.iter().enumerate() {
        if !verifier.segment(&segment[..], index + 1 == segments.len()).expect("memory") {
            break;
        }
    }
    verifier.finish()
}

pub fn plain(segments: &[Vec<u8>]) -> Report {
    read(segments, Terms::default(), Claims::default())
}

fn with_key(segments: &[Vec<u8>], keys: &[KeyPair]) -> Report {
    let keys = keys.iter().map(|key| VerifyingKey::from_pem(key.public.as_bytes()).expect("a key")).collect();
    read(segments, Terms { keys, ..Terms::default() }, Claims::default())
}

fn sealed(segments: &[Vec<u8>]) -> Report {
    read(segments, Terms { sealed: true, ..Terms::default() }, Claims::default())
}

/// With the copies of its checkpoints.
fn kept(segments: &[Vec<u8>], checkpoints: &[Vec<u8>], terms: Terms) -> Report {
    let mut claims = Claims::default();
    for (line, event) in (1..).zip(checkpoints) {
        claims.keep(&Kept::of_event(event).expect("a checkpoint"), Witness { file: 0, line });
    }
    read(segments, terms, claims)
}

/// With the word of a sink.
fn cursor(segments: &[Vec<u8>], seq: u64, hash: Digest) -> Report {
    let mut claims = Claims::default();
    claims.cursor(seq, hash, Witness { file: 1, line: 0 });
    read(segments, Terms::default(), claims)
}

/// Fault, record, segment and line.
fn found(report: &Report) -> Option<(Fault, u64, usize, u64)> {
    report.finding.as_ref().map(|found| (found.fault, found.seq, found.place.segment, found.place.line))
}

fn notes(report: &Report) -> Vec<String> {
    assert_eq!(found(report), None);
    report.notes.iter().map(ToString::to_string).collect()
}

fn with(log: &AuditLog, segment: usize, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let mut segments = log.segments.clone();
    segments[segment] = bytes;
    segments
}

#[test]
fn a_log_that_is_whole_is_told_in_one_line() {
    let log = log(Some(KEY));
    let id = SigningKey::from_pem(KEY.private.as_bytes()).expect("a key").id().to_owned();
    let report = with_key(&log.segments, &[OTHER_KEY, KEY]);
    let chain = "chain 00000000-0000-0000-0000-000000000007";
    assert_eq!(
        report.to_string(),
        format!(
            "{chain}, seq 0..66, 67 records in 3 segments, 3 checkpoints (signatures ok, key {id}), 0 records after the last"
        )
    );
    assert!(report.sealed && notes(&report).is_empty());
    let report = plain(&log.segments[..1]);
    assert_eq!(
        report.to_string(),
        format!("{chain}, seq 0..21, 22 records in 1 segment, 1 checkpoint, 0 records after the last")
    );
    assert_eq!(notes(&report), ["unsealed", "signatures not checked"]);
    let head = plain(&[lines(&log.segments[0])[0].clone()]);
    assert_eq!(head.to_string(), format!("{chain}, seq 0..0, 1 record in 1 segment, 0 checkpoints"));
    assert_eq!(plain(&[]).to_string(), "no records");
}

/// AUD-16: a byte of an event or of `hash` changed; of `prev`.
#[test]
fn a_changed_byte_is_found_where_it_is() {
    let log = log(None);
    let hash = &lines(&log.segments[1])[4][b"{\"v\":1,\"seq\":26,\"prev\":\"".len()..][..64];
    let prev = String::from_utf8(hash.to_vec()).expect("digits");
    let own = String::from_utf8(lines(&log.segments[1])[5][b"{\"v\":1,\"seq\":27,\"prev\":\"".len()..][..64].to_vec());
    let own = own.expect("digits");
    let other = |hash: &str| hash.replacen(&hash[..1], if &hash[..1] == "0" { "1" } else { "0" }, 1);
    for (from, to, fault) in [
        ("order:17", "order:18", Fault::HashMismatch),
        (&own, &other(&own), Fault::HashMismatch),
        (&prev, &other(&prev), Fault::PrevMismatch),
    ] {
        let report = plain(&with(&log, 1, replaced(&log.segments[1], 4, from, to)));
        assert_eq!(found(&report), Some((fault, 26, 1, 5)), "{to}");
        let finding = report.finding.expect("found");
        assert_eq!(finding.place.offset, lines(&log.segments[1])[..4].concat().len() as u64);
        let last = finding.last_good.expect("there was one");
        assert_eq!((last.seq, last.time.as_str()), (25, "2026-11-22T10:03:11.507Z"));
    }
}

/// Spaces added, members reordered, `v` changed, a line over 1 MiB, broken UTF-8.
#[test]
fn another_form_is_a_bad_line() {
    let log = log(None);
    let bytes = |edit: &dyn Fn(&mut Vec<u8>)| edited(&log.segments[1], |lines| edit(&mut lines[4]));
    let space = b"{\"v\":1, \"seq\"";
    for bytes in [
        bytes(&|line| drop(line.splice(..space.len() - 1, space.iter().copied()))),
        bytes(&|line| line.insert(line.len() - 1, b' ')),
        bytes(&|line| line.insert(line.len() - 1, b'\r')),
        replaced(&log.segments[1], 4, "\"v\":1", "\"v\":2"),
        replaced(&log.segments[1], 4, "{\"v\":1,\"seq\":26,", "{\"seq\":26,\"v\":1,"),
        replaced(&log.segments[1], 4, "{\"id\":\"7f3a\",\"type\":\"user\"}", "{\"type\":\"user\",\"id\":\"7f3a\"}"),
        replaced(&log.segments[1], 4, "order:17", &"x".repeat(MAX_LINE)),
        bytes(&|line| {
            let place = line.windows(8).position(|window| window == b"order:17").expect("there");
            line[place] = 0xff;
        }),
        bytes(&|line| line.insert(0, b'\n')),
        bytes(&|line| line.truncate(100)),
        bytes(&|line| line.fill(0)),
    ] {
        assert_eq!(found(&plain(&with(&log, 1, bytes))), Some((Fault::BadLine, 26, 1, 5)));
    }
    let report = plain(&with(&log, 1, log.segments[1][..log.segments[1].len() - 1].to_vec()));
    assert_eq!(found(&report), Some((Fault::BadLine, 43, 1, 22)), "a line end is gone in the middle of the log");
    let report = plain(&with(&log, 2, [log.segments[2].strip_suffix(b"\n").expect("a line"), b"x"].concat()));
    assert_eq!(found(&report), Some((Fault::BadLine, 66, 2, 23)), "or changed at its end");
}

/// AUD-17: one record deleted; two swapped; one copied again.
#[test]
fn a_record_out_of_its_place_is_a_gap_or_a_repeat() {
    let log = log(None);
    let middle = &log.segments[1];
    for (line, seq) in [(4, 27), (0, 23), (1, 24)] {
        let report = plain(&with(&log, 1, edited(middle, |lines| drop(lines.remove(line)))));
        assert_eq!(found(&report), Some((Fault::SeqGap, seq, 1, line as u64 + 1)));
    }
    let report = plain(&with(&log, 1, edited(middle, |lines| drop(lines.pop()))));
    assert_eq!(found(&report), Some((Fault::SeqGap, 44, 2, 1)), "the last of a segment");
    let report = plain(&with(&log, 0, edited(&log.segments[0], |lines| drop(lines.remove(0)))));
    assert_eq!(found(&report), Some((Fault::SeqGap, 1, 0, 1)), "the first of the log");
    assert_eq!(report.finding.and_then(|finding| finding.last_good), None);
    let report = plain(&with(&log, 1, edited(middle, |lines| lines.swap(4, 7))));
    assert_eq!(found(&report), Some((Fault::SeqGap, 29, 1, 5)));
    for at in [5, 9] {
        let report = plain(&with(&log, 1, edited(middle, |lines| lines.insert(at, lines[4].clone()))));
        assert_eq!(found(&report), Some((Fault::SeqRepeat, 26, 1, at as u64 + 1)));
    }
}

#[test]
fn a_record_of_another_log_does_not_follow() {
    let (log, mut other) = (log(None), AuditLog::new(8, None));
    other.requests(30);
    let foreign = lines(&other.segments[0])[26].clone();
    let report = plain(&with(&log, 1, edited(&log.segments[1], |lines| lines[4] = foreign)));
    assert_eq!(found(&report), Some((Fault::PrevMismatch, 26, 1, 5)));
}

/// AUD-19: records renumbered and rehashed from some point on.
#[test]
fn a_new_chain_does_not_fit_the_next_checkpoint() {
    let log = log(Some(KEY));
    let changed = with(&log, 1, replaced(&log.segments[1], 4, "order:17", "order:18"));
    let removed = with(&log, 1, edited(&log.segments[1], |lines| drop(lines.remove(4))));
    for (edited, seq) in [(changed, 43), (removed, 42)] {
        let forged = rehashed(log.chain, &edited, Checkpoints::Stale);
        let line = seq - 21;
        let copies = kept(&forged, &log.checkpoints, Terms::default());
        for report in [plain(&forged), with_key(&forged, &[KEY]), copies] {
            assert_eq!(found(&report), Some((Fault::CheckpointMismatch, seq, 1, line)));
        }
        let other = SigningKey::from_pem(OTHER_KEY.private.as_bytes()).expect("a key");
        for (how, fault) in [
            (Checkpoints::Fitted, Fault::BadSignature),
            (Checkpoints::Signed(Some(&other)), Fault::BadSignature),
            (Checkpoints::Signed(None), Fault::UnsignedCheckpoint),
        ] {
            let forged = rehashed(log.chain, &edited, how);
            let at = match how {
                // The first checkpoint, before the edit, still has its signature.
                Checkpoints::Fitted => (seq, 1, line),
                _ => (21, 0, 22),
            };
            assert_eq!(found(&with_key(&forged, &[KEY])), Some((fault, at.0, at.1, at.2)));
            // Without the key nothing but a copy shows it, by the record that it speaks of.
            assert_eq!(found(&plain(&forged)), None);
            let report = kept(&forged, &log.checkpoints, Terms::default());
            assert_eq!(found(&report), Some((Fault::CheckpointMismatch, 42, 1, 21)));
            let witness = report.finding.and_then(|finding| finding.witness).expect("a copy");
            assert_eq!((witness.seq, witness.witness), (42, Witness { file: 0, line: 2 }));
            // With both, the signature says more.
            let keys = vec![VerifyingKey::from_pem(KEY.public.as_bytes()).expect("a key")];
            let report = kept(&forged, &log.checkpoints, Terms { keys, ..Terms::default() });
            assert_eq!(found(&report), Some((fault, at.0, at.1, at.2)));
        }
    }
}

/// AUD-19: a whole log rewritten with another key, or unsigned.
#[test]
fn a_key_is_needed_to_write_a_log() {
    assert_eq!(found(&with_key(&log(Some(KEY)).segments, &[KEY])), None);
    assert_eq!(found(&with_key(&log(Some(OTHER_KEY)).segments, &[KEY])), Some((Fault::BadSignature, 21, 0, 22)));
    assert_eq!(found(&with_key(&log(None).segments, &[KEY])), Some((Fault::UnsignedCheckpoint, 21, 0, 22)));
}

/// Who has no key cannot leave the checkpoints out: a segment ends with one.
#[test]
fn a_segment_without_a_checkpoint_at_its_end_is_unsigned() {
    let log = log(Some(KEY));
    let left_out = |from: usize| {
        let drop_checkpoints = |(index, segment): (usize, &Vec<u8>)| {
            edited(segment, |lines| {
                lines.retain(|line| index < from || !String::from_utf8_lossy(line).contains(types::CHECKPOINT));
            })
        };
        let segments: Vec<Vec<u8>> = log.segments.iter().enumerate().map(drop_checkpoints).collect();
        rehashed(log.chain, &segments, Checkpoints::Stale)
    };
    let forged = left_out(0);
    assert_eq!(found(&with_key(&forged, &[KEY])), Some((Fault::UnsignedCheckpoint, 21, 1, 1)));
    assert_eq!(found(&plain(&forged)), None, "without a key nothing tells");
    let last_only = left_out(2);
    assert_eq!(found(&with_key(&last_only, &[KEY])), None, "what nobody else holds cannot be proven");
    let young = with_key(&forged[..1], &[KEY]);
    assert_eq!((found(&young), notes(&young).contains(&"signatures not checked".to_owned())), (None, true));
}

/// AUD-17: a segment of another log; a middle segment gone.
#[test]
fn a_segment_is_missed_and_a_strange_one_is_seen() {
    let log = log(None);
    let mut other = AuditLog::new(8, None);
    other.requests(3);
    assert_eq!(found(&plain(&with(&log, 1, other.segments[0].clone()))), Some((Fault::ChainMismatch, 0, 1, 1)));
    let gone = [log.segments[0].clone(), log.segments[2].clone()];
    assert_eq!(found(&plain(&gone)), Some((Fault::MissingSegment, 44, 1, 1)));
    let swapped = [log.segments[0].clone(), log.segments[2].clone(), log.segments[1].clone()];
    assert_eq!(found(&plain(&swapped)), Some((Fault::MissingSegment, 44, 1, 1)));
    // Only a segment that is whole speaks for another log: else it is a changed byte.
    let chain = replaced(&log.segments[1], 0, "000000000007", "000000000008");
    assert_eq!(found(&plain(&with(&log, 1, chain))), Some((Fault::HashMismatch, 22, 1, 1)));
    let copies = log.checkpoints.clone();
    let report = kept(&[other.segments[0].clone()], &copies, Terms::default());
    assert_eq!(found(&report), Some((Fault::ChainMismatch, 0, 0, 1)), "a log in place of the one that has copies");
}

/// AUD-21: oldest segments gone, without `audit.pruned` and with it.
#[test]
fn a_log_may_begin_late_if_it_says_so() {
    let log = log(Some(KEY));
    assert_eq!(found(&plain(&log.segments[1..])), Some((Fault::HeadMissing, 22, 0, 1)));
    let hash =
        |line: &[u8]| line[line.windows(8).position(|w| w == b"\"hash\":\"").expect("hash") + 8..][..64].to_vec();
    let hash_of = |segment: usize| {
        let last = lines(&log.segments[segment]).pop().expect("a record");
        String::from_utf8(hash(&last)).expect("digits")
    };
    let pruned = |first: u64, last: u64, hash: String| {
        let mut log = self::log(Some(KEY));
        log.rotate(&[]);
        log.audit(types::PRUNED, &json!({ "first_seq": first, "last_seq": last, "last_hash": hash }));
        log
    };
    for (first, last, hash, gone) in [
        (0, 21, hash_of(0), 1),
        (0, 43, hash_of(1), 2),
        // Written before the files are deleted: one of two is still there.
        (0, 43, hash_of(1), 1),
    ] {
        let log = pruned(first, last, hash);
        let report = kept(&log.segments[gone..], &log.checkpoints, Terms::default());
        let starts_at = format!("starts_at {} (pruned)", gone * 22);
        assert_eq!(notes(&report), ["unsealed", &starts_at, "signatures not checked"]);
        assert_eq!(notes(&plain(&log.segments)), ["unsealed", "signatures not checked"], "or all of them are");
    }
    for (first, last, hash, gone) in
        [(0, 21, hash_of(1), 1), (0, 20, hash_of(0), 1), (0, 21, hash_of(0), 2), (22, 43, hash_of(1), 1)]
    {
        let report = plain(&pruned(first, last, hash).segments[gone..]);
        assert_eq!(found(&report), Some((Fault::HeadMissing, gone as u64 * 22, 0, 1)), "{first}..{last}, {gone}");
    }
    let mut twice = pruned(0, 21, hash_of(0));
    twice.audit(types::PRUNED, &json!({ "first_seq": 22, "last_seq": 43, "last_hash": hash_of(1) }));
    assert_eq!(found(&plain(&twice.segments[2..])), None);
    assert_eq!(found(&plain(&twice.segments[1..])), None);
}

/// AUD-18, AUD-20: the tail cut, at a record's end or within.
#[test]
fn a_cut_tail_is_missed_by_those_who_saw_it() {
    let log = log(Some(KEY));
    let tail = lines(&log.segments[2]);
    for lines in [22, 21, 5, 1, 0] {
        for within in [0, 1, 50, 400] {
            let torn = tail.get(lines).map_or(&[][..], |line| &line[..within]);
            let cut = with(&log, 2, [tail[..lines].concat(), torn.to_vec()].concat());
            let seq = 44 + lines as u64;
            let line = lines as u64 + 1;
            let witnesses = [
                kept(&cut, &log.checkpoints, Terms::default()),
                kept(&cut, &log.checkpoints[2..], Terms::default()),
                cursor(&cut, 66, log.hash),
                sealed(&cut),
            ];
            for report in witnesses {
                assert_eq!(found(&report), Some((Fault::Truncated, seq, 2, line)), "{lines} lines and {within} bytes");
            }
            let torn = format!("torn_tail {within}");
            let told: &[&str] = match within {
                0 => &["unsealed", "signatures not checked"],
                _ => &["unsealed", &torn, "signatures not checked"],
            };
            assert_eq!(notes(&plain(&cut)), told);
            // What the copies that are left speak of is all there.
            assert_eq!(notes(&kept(&cut, &log.checkpoints[..2], Terms::default())), told);
        }
    }
    assert_eq!(found(&sealed(&log.segments)), None);
    // The record that the last checkpoint speaks of is there; its own is not.
    let cut = with(&log, 2, tail[..22].concat());
    assert_eq!(found(&kept(&cut, &log.checkpoints, Terms::default())), Some((Fault::Truncated, 66, 2, 23)));
    // Nothing is left at all.
    assert_eq!(found(&kept(&[], &log.checkpoints, Terms::default())), Some((Fault::Truncated, 0, 0, 1)));
    assert_eq!(found(&sealed(&[])), Some((Fault::Truncated, 0, 0, 1)));
}

/// AUD-18: a tail cut behind the last record that a checkpoint speaks of, and written on.
#[test]
fn another_record_in_the_place_of_a_kept_checkpoint_is_missed_too() {
    let mut log = AuditLog::new(7, None);
    log.requests(5);
    let (seq, hash, bytes) = (log.seq, log.hash, log.segments[0].clone());
    log.checkpoint(false);
    let kept_before = log.checkpoints.clone();
    (log.seq, log.hash, log.segments[0]) = (seq, hash, bytes);
    log.requests(5);
    assert_eq!(found(&plain(&log.segments)), None);
    assert_eq!(found(&kept(&log.segments, &kept_before, Terms::default())), Some((Fault::Truncated, 11, 0, 12)));
}

#[test]
fn a_cursor_that_saw_another_record_says_so() {
    let log = log(None);
    assert_eq!(found(&cursor(&log.segments, 66, log.hash)), None);
    for seq in [3, 30, 66] {
        let (segment, line) = ((seq / 22).min(2), seq % 22 + 1 + if seq == 66 { 22 } else { 0 });
        let report = cursor(&log.segments, seq, Digest([9; 32]));
        assert_eq!(found(&report), Some((Fault::CheckpointMismatch, seq, segment as usize, line)));
        assert_eq!(report.finding.and_then(|found| found.last_good).map(|last| last.seq), Some(seq - 1));
    }
    // What is wrong behind it is wrong later.
    let changed = with(&log, 0, replaced(&log.segments[0], 9, "order:17", "order:18"));
    assert_eq!(found(&cursor(&changed, 3, Digest::ZERO)), Some((Fault::CheckpointMismatch, 3, 0, 4)));
    assert_eq!(found(&cursor(&changed, 20, Digest::ZERO)), Some((Fault::HashMismatch, 9, 0, 10)));
}

/// AUD-20: the signature does not cover the word `final`, so it counts only behind the record that says the process stopped.
#[test]
fn a_checkpoint_is_not_final_because_it_says_so() {
    let mut log = AuditLog::new(7, Some(KEY));
    log.requests(5);
    log.checkpoint(false);
    let segment = replaced(log.tail(), 11, "\"final\":false", "\"final\":true");
    let forged = rehashed(log.chain, &[segment], Checkpoints::Stale);
    assert_eq!(found(&with_key(&forged, &[KEY])), None);
    assert_eq!(found(&sealed(&forged)), Some((Fault::Truncated, 12, 0, 13)));
    let mut stopped = self::log(None);
    assert_eq!(found(&sealed(&stopped.segments)), None);
    stopped.event(types::PROCESS_STARTED, &json!({}));
    assert_eq!(found(&sealed(&stopped.segments)), Some((Fault::Truncated, 68, 2, 25)));
    // The log may go over into another segment in between.
    stopped.event(types::PROCESS_STOPPED, &json!({}));
    stopped.checkpoint(false);
    stopped.rotate(&[]);
    stopped.checkpoint(true);
    assert_eq!(found(&sealed(&stopped.segments)), None);
}

/// AUD-14: what was lost is told of a log that is whole.
#[test]
fn gaps_and_recoveries_are_told() {
    let mut log = AuditLog::new(7, None);
    log.audit(types::GAP, &json!({ "lost": 12, "from": "2026-11-22T10:00:00.000Z", "to": "2026-11-22T10:00:09.000Z" }));
    log.audit(types::RECOVERED, &json!({ "torn_bytes": 3, "last_seq": 1, "unclean": true, "interrupted": 0 }));
    let gap = "gap 12 events lost 2026-11-22T10:00:00.000Z..2026-11-22T10:00:09.000Z";
    assert_eq!(notes(&plain(&log.segments)), ["unsealed", gap, "recovered 2", "signatures not checked"]);
}

/// A bad record that was never repaired stays the first bad record, however the log went on.
#[test]
fn a_break_that_the_writer_saw_is_a_break() {
    let log = log(None);
    let broken = with(&log, 0, replaced(&log.segments[0], 20, "order:17", "order:18"));
    assert_eq!(found(&plain(&broken)), Some((Fault::HashMismatch, 20, 0, 21)));
}

#[test]
fn a_line_that_is_being_written_is_not_torn() {
    let log = log(None);
    let live = with(&log, 2, log.segments[2][..log.segments[2].len() - 9].to_vec());
    let terms = || Terms { is_live: true, ..Terms::default() };
    assert_eq!(notes(&read(&live, terms(), Claims::default())), ["unsealed", "signatures not checked"]);
    for shown in [0, 30] {
        let new = [&log.segments[..2], &[log.segments[2][..shown].to_vec()]].concat();
        let report = read(&new, terms(), Claims::default());
        assert_eq!(notes(&report), ["unsealed", "signatures not checked"], "a segment that was only just made");
    }
}

#[test]
fn what_looks_like_a_segment_must_begin_like_one() {
    let log = log(None);
    let mut divided = log.segments.clone();
    let (first, second) = (lines(&divided[0])[..9].concat(), lines(&divided[0])[9..].concat());
    divided.splice(..1, [first, second]);
    assert_eq!(found(&plain(&divided)), Some((Fault::BadLine, 9, 1, 1)));
    let mut headless = AuditLog::new(7, None);
    (headless.segments, headless.seq, headless.hash) = (vec![Vec::new()], 0, Digest::ZERO);
    headless.requests(1);
    assert_eq!(found(&plain(&headless.segments)), Some((Fault::BadLine, 0, 0, 1)));
}
