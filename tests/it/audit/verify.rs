//! `vestibule audit verify`: what it says and how it exits.

use crate::bin;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use vestibule_chain::{layout, types};
use vestibule_testkit::AuditLog;
use vestibule_testkit::audit_log::{KEY, KeyPair, OTHER_KEY};

const CHAIN: &str = "00000000-0000-0000-0000-000000000007";

/// Two segments of 22 and 23 records, with a clean stop.
fn log(key: Option<KeyPair>) -> AuditLog {
    let mut log = AuditLog::new(7, key);
    log.requests(10);
    log.checkpoint(false);
    log.rotate(&[]);
    log.requests(10);
    log.stop();
    log
}

/// Its directory, with the copies of its checkpoints and the cursor of a sink that has it all.
fn stored(log: &AuditLog) -> TempDir {
    let dir = tempfile::tempdir().expect("directory");
    log.write(dir.path());
    log.write_cursor(dir.path(), "stdout");
    dir
}

fn segment(dir: &TempDir, number: u64) -> PathBuf {
    dir.path().join(layout::segment_name(number))
}

fn verify(dir: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(bin());
    // From inside, so that paths are short.
    command.current_dir(dir.path()).args(["audit", "verify"]).args(args);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Exit, stdout, stderr.
fn said(dir: &TempDir, args: &[&str]) -> (Option<i32>, String, String) {
    let output = verify(dir, args);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The fault and its record.
fn fault(dir: &TempDir, args: &[&str]) -> Option<(String, u64)> {
    let args = [args, &["--json"]].concat();
    let output = verify(dir, &args);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let error = &verdict["error"];
    assert_eq!((verdict["ok"] == true, output.status.code()), (error.is_null(), Some(i32::from(!error.is_null()))));
    error["kind"].as_str().map(|kind| (kind.to_owned(), error["seq"].as_u64().expect("a number")))
}

fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    edit(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    *bytes = text(bytes).replacen(from, to, 1).into_bytes();
}

#[test]
fn a_log_that_is_intact_is_told_on_stdout() {
    let dir = stored(&log(Some(KEY)));
    fs::write(dir.path().join("key.pem"), KEY.public).expect("written");
    let whole = format!("ok: chain {CHAIN}, seq 0..44, 45 records in 2 segments, 2 checkpoints");
    let (code, out, err) = said(&dir, &[".", "--key", "key.pem", "--sealed"]);
    assert!(out.starts_with(&format!("{whole} (signatures ok, key ")), "{out}");
    assert!(out.ends_with("), 0 records after the last\n"), "{out}");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let (code, out, _) = said(&dir, &["."]);
    assert_eq!((code, out), (Some(0), format!("{whole}, 0 records after the last\nsignatures not checked\n")));
    // Segments in any order, by any name, once or twice.
    fs::rename(segment(&dir, 0), dir.path().join("older")).expect("renamed");
    let second = layout::segment_name(1);
    for paths in [[&second, "older", "./older"], ["older", &second, &second]] {
        let (code, out, _) = said(&dir, &paths);
        assert_eq!((code, out), (Some(0), format!("{whole}, 0 records after the last\nsignatures not checked\n")));
    }
}

/// AUD-16: the first bad record, where it is, and what was before it.
#[test]
fn a_log_that_is_broken_is_told_on_stderr() {
    let dir = stored(&log(None));
    let mut offset = 0;
    edit(&segment(&dir, 1), |bytes| {
        offset = lines(bytes)[..4].concat().len();
        bytes[offset + 400] ^= 1;
    });
    let (code, out, err) = said(&dir, &["."]);
    let expected = format!(
        "error: hash_mismatch at seq 26\n  --> ./audit-000000000001.jsonl:5 (byte {offset})\n   \
         = last good record: seq 25, 2026-11-22T10:03:11.507Z\n"
    );
    assert_eq!((code, out.as_str(), err), (Some(1), "", expected));
    edit(&segment(&dir, 0), |bytes| bytes[0] = b' ');
    let (_, _, err) = said(&dir, &["."]);
    let expected =
        "error: bad_line at seq 0\n  --> ./audit-000000000000.jsonl:1 (byte 0)\n   = last good record: none\n";
    assert_eq!(err, expected);
}

#[test]
fn the_verdict_is_one_object_for_programs() {
    let dir = stored(&log(None));
    let (code, out, err) = said(&dir, &[".", "--json"]);
    let intact = format!(
        "{{\"ok\":true,\"chain\":\"{CHAIN}\",\"first_seq\":0,\"last_seq\":44,\"records\":45,\"segments\":2,\"checkpoints\":2,\
         \"sealed\":true,\"error\":null,\"notes\":[\"signatures not checked\"]}}\n"
    );
    assert_eq!((code, out, err.as_str()), (Some(0), intact, ""));
    edit(&segment(&dir, 0), |bytes| replace(bytes, "\"resource\":\"order:17\"", "\"resource\":\"order:18\""));
    let (code, out, err) = said(&dir, &[".", "--json"]);
    let verdict: Value = serde_json::from_str(&out).expect("JSON");
    let offset = lines(&fs::read(segment(&dir, 0)).expect("read"))[0].len();
    let error = json!({
        "kind": "hash_mismatch", "seq": 1, "file": "./audit-000000000000.jsonl", "line": 2, "offset": offset,
    });
    assert_eq!((code, &verdict["error"], err.as_str()), (Some(1), &error, ""));
    assert_eq!((&verdict["records"], &verdict["sealed"]), (&json!(1), &json!(false)));
}

/// AUD-17: one deleted, two swapped, one copied, a segment gone or strange.
#[test]
fn records_and_segments_out_of_place_are_named() {
    let whole = log(None);
    let third = |mut log: AuditLog| {
        log.rotate(&[]);
        log.stop();
        log
    };
    let dir = stored(&third(log(None)));
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        whole.write(dir.path());
        let mut lines = lines(&whole.segments[1]);
        change(&mut lines);
        fs::write(segment(&dir, 1), lines.concat()).expect("written");
        fault(&dir, &["."])
    };
    let named = |word: &str, seq| Some((word.to_owned(), seq));
    assert_eq!(changed(&|lines| drop(lines.remove(4))), named("seq_gap", 27));
    assert_eq!(changed(&|lines| lines.swap(4, 5)), named("seq_gap", 27));
    assert_eq!(changed(&|lines| lines.insert(5, lines[4].clone())), named("seq_repeat", 26));
    assert_eq!(changed(&|lines| replace(&mut lines[4], ":1,", ":1 ,")), named("bad_line", 26));
    whole.write(dir.path());
    assert_eq!(fault(&dir, &["."]), None);
    fs::rename(segment(&dir, 1), dir.path().join("away")).expect("renamed");
    assert_eq!(fault(&dir, &["."]), named("missing_segment", 45));
    let mut other = AuditLog::new(8, None);
    other.rotate(&[]);
    fs::write(segment(&dir, 1), &other.segments[1]).expect("written");
    assert_eq!(fault(&dir, &["."]), named("chain_mismatch", 1));
    fs::rename(dir.path().join("away"), segment(&dir, 1)).expect("renamed");
    fs::remove_file(segment(&dir, 0)).expect("removed");
    assert_eq!(fault(&dir, &["."]), named("head_missing", 22));
}

/// AUD-18: the tail cut, and who notices.
#[test]
fn a_cut_tail_is_noticed_by_each_witness() {
    let log = log(None);
    let dir = stored(&log);
    let first = lines(&log.segments[1])[..6].concat();
    fs::write(segment(&dir, 1), &first).expect("written");
    let cut = Some(("truncated".to_owned(), 28));
    assert_eq!(fault(&dir, &["."]), cut, "all of them");
    fs::remove_file(dir.path().join(layout::CHECKPOINTS)).expect("removed");
    let (code, _, err) = said(&dir, &["."]);
    let expected = format!(
        "error: truncated at seq 28\n  --> ./audit-000000000001.jsonl:7 (byte {})\n   \
         = ./cursors/stdout.json names seq 44\n   = last good record: seq 27, 2026-11-22T10:03:11.509Z\n",
        first.len()
    );
    assert_eq!((code, err), (Some(1), expected));
    fs::write(dir.path().join("cursors/stdout.json"), "").expect("written");
    let (code, out, _) = said(&dir, &["."]);
    assert!(out.ends_with(", 6 records after the last\nunsealed\nsignatures not checked\n"), "{out}");
    assert_eq!(code, Some(0));
    assert_eq!(fault(&dir, &[".", "--sealed"]), cut);
    for (checkpoint, noticed) in log.checkpoints.iter().zip([None, cut.clone()]) {
        // As a receiver may store it: the same event, other spaces.
        let event: Value = serde_json::from_slice(checkpoint).expect("JSON");
        fs::write(dir.path().join("anchor.json"), format!("{event:#}\n")).expect("written");
        assert_eq!(fault(&dir, &[".", "--anchor", "anchor.json"]), noticed);
        assert_eq!(
            fault(&dir, &[&layout::segment_name(1), &layout::segment_name(0), "--anchor", "anchor.json"]),
            noticed
        );
    }
    edit(&segment(&dir, 1), |bytes| bytes.extend_from_slice(b"{\"v\":1,\"seq\":28"));
    let (code, out, _) = said(&dir, &["."]);
    assert!(out.ends_with("\nunsealed\ntorn_tail 15\nsignatures not checked\n"), "{out}");
    assert_eq!((code, fault(&dir, &[".", "--sealed"])), (Some(0), cut));
}

/// AUD-19: a log that was written anew, and an anchor that was.
#[test]
fn a_forged_log_needs_the_key() {
    let (log, forged) = (log(Some(KEY)), self::log(Some(OTHER_KEY)));
    let dir = stored(&log);
    fs::write(dir.path().join("key.pem"), KEY.public).expect("written");
    fs::write(dir.path().join("other.pem"), OTHER_KEY.public).expect("written");
    let both = [".", "--key", "other.pem", "--key", "key.pem"];
    assert_eq!(fault(&dir, &both), None);
    let anchor = |event: &[u8]| fs::write(dir.path().join("anchor.json"), event).expect("written");
    anchor(&forged.checkpoints[1]);
    assert_eq!(fault(&dir, &[".", "--key", "key.pem", "--anchor", "anchor.json"]), Some(("bad_signature".into(), 43)));
    anchor(&self::log(None).checkpoints[1]);
    assert_eq!(
        fault(&dir, &[".", "--key", "key.pem", "--anchor", "anchor.json"]),
        Some(("unsigned_checkpoint".into(), 43))
    );
    forged.write(dir.path());
    assert_eq!(fault(&dir, &[".", "--key", "key.pem"]), Some(("bad_signature".into(), 21)));
    assert_eq!(fault(&dir, &both), Some(("checkpoint_mismatch".into(), 44)), "the cursor saw another last record");
    self::log(None).write(dir.path());
    assert_eq!(fault(&dir, &[".", "--key", "key.pem"]), Some(("unsigned_checkpoint".into(), 21)));
    anchor(&log.checkpoints[1]);
    fs::remove_file(dir.path().join("cursors/stdout.json")).expect("removed");
    assert_eq!(fault(&dir, &["."]), None);
    let mut other = AuditLog::new(8, Some(KEY));
    other.checkpoint(false);
    anchor(&other.checkpoints[0]);
    assert_eq!(fault(&dir, &[".", "--anchor", "anchor.json"]), Some(("chain_mismatch".into(), 0)));
}

#[test]
fn what_cannot_be_read_is_neither_intact_nor_broken() {
    let dir = stored(&log(None));
    fs::create_dir(dir.path().join("empty")).expect("made");
    fs::write(dir.path().join("key.pem"), KEY.private).expect("written");
    for (args, why) in [
        (&["none"][..], "error: cannot read `none`: "),
        (&["empty"], "error: no segment in `empty`\n"),
        (&[".", "--key", "none"], "error: cannot read `none`: "),
        (&[".", "--key", "key.pem"], "error: `key.pem` is no key: expected a public key in PEM"),
        (&[".", "--anchor", "key.pem"], "error: `key.pem` is no anchor; expected the event of a checkpoint"),
        (&[], "error: the following required arguments were not provided"),
    ] {
        let (code, out, err) = said(&dir, args);
        assert!(code == Some(2) && out.is_empty() && err.starts_with(why), "{args:?}: {err}");
    }
    // Everything is gone, but somebody knows of it.
    for number in [0, 1] {
        fs::remove_file(segment(&dir, number)).expect("removed");
    }
    assert_eq!(fault(&dir, &["."]), Some(("truncated".into(), 0)));
}

#[test]
fn copies_and_cursors_that_cannot_be_read_are_told() {
    let dir = stored(&log(None));
    edit(&dir.path().join(layout::CHECKPOINTS), |bytes| {
        bytes.splice(..0, *b"{}\n");
        bytes.extend_from_slice(b"{\"data\":");
    });
    fs::write(dir.path().join("cursors/http.json"), "{").expect("written");
    fs::write(dir.path().join("cursors/http.new"), "{").expect("written");
    let (code, out, _) = said(&dir, &["."]);
    assert!(
        out.ends_with("\nsignatures not checked\nunread 1 line of checkpoints.jsonl\nunread cursors/http.json\n"),
        "{out}"
    );
    assert_eq!(code, Some(0));
}

/// A writer at work gives no false alarm: it appends, tears lines and takes them back, rotates and prunes, and its copies
/// follow what is in the log.
#[test]
fn a_log_may_be_verified_while_it_is_written() {
    let dir = tempfile::tempdir().expect("directory");
    let lock = File::create(dir.path().join(layout::LOCK)).expect("made");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whatever is found wrong, the writer ends.
        let _ended = Ends(&stop);
        let writer = scope.spawn(|| write_until(&stop, dir.path()));
        for _ in 0..30 {
            let (code, out, err) = said(&dir, &["."]);
            let is_new = err == "error: no segment in `.`\n";
            assert!(is_new || (code == Some(0) && !out.contains("torn_tail")), "{out}{err}");
        }
        stop.store(true, Ordering::Relaxed);
        let records = writer.join().expect("wrote");
        assert!(records > 100, "{records} records were written meanwhile");
    });
    drop(lock);
    let (code, out, err) = said(&dir, &["."]);
    assert!(code == Some(0) && out.contains("starts_at "), "{out}{err}");
}

/// Stops the writer when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// As the proxy does, only faster. How many records it were.
fn write_until(stop: &AtomicBool, dir: &Path) -> u64 {
    let mut log = AuditLog::new(7, Some(KEY));
    let mut gone = 0;
    let append = |path: &Path, bytes: &[u8]| {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opened");
        file.write_all(bytes).expect("written");
    };
    while !stop.load(Ordering::Relaxed) {
        let path = dir.join(layout::segment_name(log.segments.len() as u64 - 1));
        let written = fs::metadata(&path).map_or(0, |file| file.len());
        log.requests(3);
        // A write that fails in the middle is taken back.
        let half = (written as usize + log.tail().len()) / 2;
        append(&path, &log.tail()[written as usize..half]);
        File::options().write(true).open(&path).and_then(|file| file.set_len(written)).expect("cut");
        append(&path, &log.tail()[written as usize..half]);
        append(&path, &log.tail()[half..]);
        if log.tail().len() > 20_000 {
            let before = log.tail().len();
            log.checkpoint(false);
            append(&path, &log.tail()[before..]);
            let copy = [log.checkpoints.last().expect("one"), &b"\n"[..]].concat();
            append(&dir.join(layout::CHECKPOINTS), &copy);
            log.write_cursor(dir, "stdout");
            log.rotate(&[]);
            prune(&mut log, dir, &mut gone);
        }
    }
    let path = dir.join(layout::segment_name(log.segments.len() as u64 - 1));
    fs::write(path, log.tail()).expect("written");
    log.seq
}

/// Three segments stay: what goes is told in the log first.
fn prune(log: &mut AuditLog, dir: &Path, gone: &mut usize) {
    if log.segments.len() < *gone + 4 {
        return;
    }
    let last = lines(&log.segments[*gone]).pop().expect("a record");
    let record = vestibule_chain::Record::parse(last.trim_ascii_end()).expect("a record");
    let (seq, hash) = (record.seq, record.hash.to_string());
    log.audit(types::PRUNED, &json!({ "first_seq": 0, "last_seq": seq, "last_hash": hash }));
    let number = log.segments.len() as u64 - 1;
    fs::write(dir.join(layout::segment_name(number)), log.tail()).expect("written");
    fs::remove_file(dir.join(layout::segment_name(*gone as u64))).expect("removed");
    *gone += 1;
}
