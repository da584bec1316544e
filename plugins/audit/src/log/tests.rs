//! The log on a real disk: written, continued, mended, rotated.

use super::loss::own;
use super::*;
use crate::deliver::cursor::Cursor;
use crate::deliver::reader::resume;
use crate::draft::Mark;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::time::Instant;
use uuid::Uuid;
use vestibule_chain::{MAX_LINE, Record, event_type, layout, link};
use vestibule_plugin::SystemClock;
use vestibule_plugin::meter::Registry;

struct Rig {
    dir: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    on_error: OnError,
    rotate_bytes: u64,
    keep: Duration,
    /// What the writer of each log that was opened says.
    opened: RefCell<Vec<watch::Receiver<Durable>>>,
}

impl Drop for Rig {
    /// The directory goes with this, and no writer may be in it then: it would write into one that is being removed.
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_secs(10);
        for writer in self.opened.take() {
            // An error means that the writer is gone.
            while writer.has_changed().is_ok() && !writer.borrow().over {
                assert!(Instant::now() < until || std::thread::panicking(), "a log outlives its directory");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("directory"),
            clock: Arc::new(SystemClock::default()),
            metrics: Metrics::new(&Registry::default()),
            on_error: OnError::Open,
            rotate_bytes: 64 << 10,
            keep: Duration::from_secs(3600),
            opened: RefCell::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    fn open(&self) -> Result<Log, String> {
        let terms = Terms {
            checkpoint: Duration::from_secs(60),
            rotate_bytes: self.rotate_bytes,
            keep: self.keep,
            max_bytes: 1 << 30,
            sign_key: None,
        };
        let log = Log::open(&self.path(), self.on_error, terms, &self.clock, &self.metrics)?;
        self.opened.borrow_mut().push(log.followed());
        Ok(log)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path().join(layout::segment_name(number))
    }

    /// Every record, checked: one chain without a gap.
    fn records(&self) -> Vec<(String, Value)> {
        let mut records: Vec<(String, Value)> = Vec::new();
        let mut before: Option<(u64, Digest)> = None;
        let mut chain = None;
        for (_, path) in layout::segments(&self.path()).expect("segments") {
            for line in fs::read(path).expect("segment").split_inclusive(|byte| *byte == b'\n') {
                let record = Record::parse(line.strip_suffix(b"\n").expect("a whole line")).expect("a record");
                let event: Value = serde_json::from_slice(record.event).expect("JSON");
                let source = event["source"].as_str().expect("source").trim_start_matches("urn:vestibule:").to_owned();
                let chain = *chain.get_or_insert_with(|| vestibule_chain::ChainId(source.parse().expect("an id")));
                if let Some((seq, hash)) = before {
                    assert_eq!((record.seq, record.prev), (seq + 1, hash));
                }
                assert_eq!(record.hash, link(chain, record.seq, record.prev, record.event));
                before = Some((record.seq, record.hash));
                let kind = event_type(record.event).expect("a type").trim_start_matches("io.vestibule.").to_owned();
                records.push((kind, event["data"].clone()));
            }
        }
        records
    }

    fn kinds(&self) -> Vec<String> {
        self.records().into_iter().map(|(kind, _)| kind).collect()
    }
}

fn event(text: &str) -> Draft {
    own("process.started", 1, json!({ "text": text }))
}

async fn write(log: &Log, events: usize) {
    let mut last = 0;
    for at in 0..events {
        let Pushed::Queued(ticket) = log.push(event(&format!("{at}"))) else { panic!("there is room") };
        last = ticket;
    }
    assert!(log.durable(last).await);
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|one| *one == kind).count()
}

#[tokio::test]
async fn what_is_durable_is_in_the_file_and_a_clean_end_is_sealed() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 100).await;
    assert_eq!(count(&rig.kinds(), "process.started"), 100);
    log.close().await;
    let records = rig.records();
    let (kind, last) = records.last().expect("records");
    assert_eq!((kind.as_str(), &last["metadata"]["final"]), ("audit.checkpoint", &json!(true)));
    assert_eq!(log.push(event("late")), Pushed::Lost);
    let copies = fs::read_to_string(rig.path().join(layout::CHECKPOINTS)).expect("copies");
    assert_eq!(copies.lines().count(), count(&rig.kinds(), "audit.checkpoint"));
}

/// AUD-20: the next process goes on where the last one ended, and says nothing of a clean end.
#[tokio::test]
async fn a_clean_log_is_continued() {
    let rig = Rig::new();
    for _ in 0..3 {
        let log = rig.open().expect("opened");
        write(&log, 10).await;
        log.close().await;
    }
    let kinds = rig.kinds();
    assert_eq!((count(&kinds, "process.started"), count(&kinds, "audit.recovered")), (30, 0));
    assert_eq!(count(&kinds, "audit.segment"), 1, "one segment is enough");
}

fn request(kind: &'static str, request: Uuid, mark: Mark) -> Draft {
    let data = json!({ "action": "a.b", "request_id": request.to_string(), "resource": "r" });
    Draft::of_event(kind, 1, mark, "r", &data)
}

/// AUD-13: what a crash tore is cut off, and what it interrupted is said, once.
#[tokio::test]
async fn a_torn_tail_is_cut_off_and_open_requests_are_interrupted() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    let (done, open) = (Uuid::from_u128(1), Uuid::from_u128(2));
    log.push(request("request.started", done, Mark::Opens(done)));
    log.push(request("request.started", open, Mark::Opens(open)));
    log.push(request("request.finished", done, Mark::Closes(done)));
    write(&log, 1).await;
    log.close().await;
    // As a crash leaves it: the last checkpoint is gone, and half a line is there.
    let text = fs::read(rig.file(0)).expect("segment");
    let checkpoint = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
    fs::write(rig.file(0), [&text[..checkpoint], b"{\"v\":1,\"seq\":9"].concat()).expect("torn");
    for restart in 0..2 {
        let log = rig.open().expect("opened");
        write(&log, 1).await;
        log.close().await;
        let records = rig.records();
        let recovered: Vec<&Value> =
            records.iter().filter(|(kind, _)| kind == "audit.recovered").map(|(_, data)| &data["metadata"]).collect();
        assert_eq!(recovered.len(), 1, "restart {restart}");
        assert_eq!(recovered[0]["torn_bytes"], 14);
        assert_eq!((&recovered[0]["unclean"], &recovered[0]["interrupted"]), (&json!(true), &json!(1)));
        let interrupted: Vec<&Value> =
            records.iter().filter(|(kind, _)| kind == "request.interrupted").map(|(_, data)| data).collect();
        assert_eq!(interrupted.len(), 1);
        assert_eq!(
            (&interrupted[0]["request_id"], &interrupted[0]["action"]),
            (&json!(open.to_string()), &json!("a.b"))
        );
        assert_eq!(interrupted[0]["outcome"], "unknown");
    }
}

#[tokio::test]
async fn zeros_behind_the_last_record_are_torn_as_well() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 3).await;
    log.close().await;
    let text = fs::read(rig.file(0)).expect("segment");
    fs::write(rig.file(0), [&text[..], &[0; 512]].concat()).expect("filled");
    let log = rig.open().expect("opened");
    write(&log, 1).await;
    log.close().await;
    assert_eq!(count(&rig.kinds(), "audit.recovered"), 1);
}

/// A record that was changed is never repaired: it stays, and a new segment begins behind the last good one.
#[tokio::test]
async fn a_broken_log_stays_as_it_is() {
    let mut rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 5).await;
    log.close().await;
    let text = fs::read_to_string(rig.file(0)).expect("segment");
    let broken = text.replacen("\"text\":\"2\"", "\"text\":\"x\"", 1);
    fs::write(rig.file(0), &broken).expect("broken");
    rig.on_error = OnError::Closed;
    let refused = rig.open().err().expect("refused");
    assert!(refused.contains("audit-000000000000.jsonl") && refused.contains("line 4"), "{refused}");
    rig.on_error = OnError::Open;
    let log = rig.open().expect("opened");
    write(&log, 1).await;
    log.close().await;
    assert_eq!(fs::read_to_string(rig.file(0)).expect("segment"), broken);
    let next = fs::read_to_string(rig.file(1)).expect("segment");
    let head = Record::parse(next.lines().next().expect("a head").as_bytes()).expect("a record");
    let event: Value = serde_json::from_slice(head.event).expect("JSON");
    assert_eq!((head.seq, &event["data"]["metadata"]["broken_at"]), (3, &json!(2)));
}

#[tokio::test]
async fn a_first_write_that_was_torn_is_begun_again() {
    let rig = Rig::new();
    rig.open().expect("opened").close().await;
    fs::remove_dir_all(rig.path()).expect("gone");
    dir::Dir::open(&rig.path()).expect("made");
    fs::write(rig.file(0), b"{\"v\":1,").expect("torn");
    let log = rig.open().expect("opened");
    write(&log, 2).await;
    log.close().await;
    assert_eq!(rig.kinds()[..2], ["audit.segment", "process.started"]);
}

/// AUD-21: segments follow one another, each ends with a checkpoint, and what is old and delivered goes.
#[tokio::test]
async fn segments_rotate_and_go() {
    let mut rig = Rig::new();
    rig.keep = Duration::ZERO;
    let log = rig.open().expect("opened");
    let needy = 1;
    log.board().sinks(["sink"].into_iter());
    log.board().needs("sink", needy);
    for _ in 0..6 {
        write(&log, 200).await;
    }
    let numbers = || layout::segments(&rig.path()).expect("segments").into_iter().map(|(number, _)| number);
    assert!(numbers().all(|number| number >= needy) && numbers().count() >= 3, "what a sink needs stays");
    log.board().sinks(std::iter::empty());
    write(&log, 200).await;
    write(&log, 200).await;
    log.close().await;
    assert!(numbers().min() > Some(needy), "what nobody needs goes");
    let records = rig.records();
    assert!(records.iter().any(|(kind, _)| kind == "audit.pruned"));
    for (number, path) in layout::segments(&rig.path()).expect("segments") {
        let text = fs::read_to_string(path).expect("segment");
        assert!(text.len() as u64 <= rig.rotate_bytes + MAX_LINE as u64);
        let last = Record::parse(text.lines().last().expect("lines").as_bytes()).expect("a record");
        assert_eq!(event_type(last.event), Some("io.vestibule.audit.checkpoint"), "segment {number}");
    }
    let first_kept = records[0].1["metadata"]["number"].clone();
    let copies = fs::read_to_string(rig.path().join(layout::CHECKPOINTS)).expect("copies");
    assert!(copies.lines().count() <= count(&rig.kinds(), "audit.checkpoint"), "segments from {first_kept} on");
}

/// A head that names more requests than a segment has room for takes none away from records.
#[tokio::test]
async fn many_open_requests_leave_room_for_records() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    let requests: Vec<Uuid> = (1..=3000).map(Uuid::from_u128).collect();
    for id in &requests {
        log.push(request("request.started", *id, Mark::Opens(*id)));
    }
    for id in &requests {
        log.push(request("request.finished", *id, Mark::Closes(*id)));
    }
    write(&log, 1).await;
    log.close().await;
    let kinds = rig.kinds();
    assert_eq!((count(&kinds, "request.started"), count(&kinds, "request.finished")), (3000, 3000));
    let segments = layout::segments(&rig.path()).expect("segments").len();
    assert!(segments < 60, "{segments} segments");
}

/// What no record ends is told at the next start, also behind a process that ended well.
#[tokio::test]
async fn a_request_that_a_clean_end_forgot_is_interrupted() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    let open = Uuid::from_u128(2);
    log.push(request("request.started", open, Mark::Opens(open)));
    log.close().await;
    let log = rig.open().expect("opened");
    write(&log, 1).await;
    log.close().await;
    assert_eq!(count(&rig.kinds(), "request.interrupted"), 1);
}

/// Under either answer to errors: a log is not begun anew beside one that nobody can read.
#[tokio::test]
async fn a_log_whose_oldest_segment_is_damaged_is_not_begun_anew() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 300).await;
    log.close().await;
    let highest = layout::segments(&rig.path()).expect("segments").last().expect("one").0;
    assert!(highest > 0);
    (0..highest).for_each(|number| fs::remove_file(rig.file(number)).expect("gone"));
    let text = fs::read_to_string(rig.file(highest)).expect("segment");
    fs::write(rig.file(highest), text.replacen("audit.segment", "audit.sogment", 1)).expect("damaged");
    let refused = rig.open().err().expect("refused");
    assert!(refused.contains("holds segments and no good record"), "{refused}");
}

/// A broken segment goes like any other, and what is said of it ends where the next one begins.
#[tokio::test]
async fn a_broken_segment_is_pruned_by_what_the_next_one_says() {
    let mut rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 20).await;
    log.close().await;
    let text = fs::read_to_string(rig.file(0)).expect("segment");
    let broken = text.replacen("\"text\":\"9\"", "\"text\":\"x\"", 1);
    fs::write(rig.file(0), &broken[..broken.len() - 50]).expect("broken");
    rig.keep = Duration::ZERO;
    let log = rig.open().expect("opened");
    log.board().sinks(std::iter::empty());
    write(&log, 1).await;
    log.close().await;
    let records = rig.records();
    let pruned = records.iter().find(|(kind, _)| kind == "audit.pruned").expect("it went");
    // Record 10 holds the text "9".
    assert_eq!((&pruned.1["metadata"]["first_seq"], &pruned.1["metadata"]["last_seq"]), (&json!(0), &json!(9)));
}

/// Records that nobody will find are no records.
#[tokio::test]
async fn a_segment_that_was_removed_is_an_error() {
    let mut rig = Rig::new();
    rig.on_error = OnError::Closed;
    let log = rig.open().expect("opened");
    write(&log, 3).await;
    fs::remove_file(rig.file(0)).expect("gone");
    let Pushed::Queued(ticket) = log.push(event("late")) else { panic!("there is room") };
    let durable = tokio::time::timeout(Duration::from_millis(500), log.durable(ticket)).await;
    assert!(durable.is_err() && log.fails(), "{durable:?}");
}

/// A sink whose cursor points beside a record begins again instead of standing still for ever.
#[tokio::test]
async fn a_cursor_beside_its_record_is_not_believed() {
    let rig = Rig::new();
    let log = rig.open().expect("opened");
    write(&log, 3).await;
    let until = log.board().at().at;
    let resumed = |at: Position| resume(&rig.path(), Some(Cursor(at)), until).expect("readable");
    assert_eq!(resumed(until), (Cursor(until), None));
    for wrong in [Position { offset: until.offset - 1, ..until }, Position { hash: Digest::ZERO, ..until }] {
        let (cursor, why) = resumed(wrong);
        assert_eq!((cursor.0.offset, cursor.0.next_seq), (0, 0));
        assert_eq!(why, Some("what was delivered last is not where the cursor says"));
    }
}

/// AUD-23
#[tokio::test]
async fn a_second_process_is_refused() {
    let rig = Rig::new();
    let _log = rig.open().expect("opened");
    assert!(rig.open().err().expect("refused").contains("another process"));
}
