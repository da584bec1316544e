//! Which segments may go: delivered everywhere, and old, or in the way of newer ones.

use super::copies::Copies;
use super::dir::Dir;
use super::loss::own;
use super::{Position, Terms};
use crate::draft::Draft;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use vestibule_chain::{Digest, MAX_LINE, Record, event_time, layout, rfc3339};

/// Segments that will go, the oldest ones.
pub(crate) struct Plan {
    files: Vec<PathBuf>,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    last_hash: Digest,
}

impl Plan {
    /// What becomes free.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The record that says so. It is durable before the first file goes: a crash between them loses nothing, and the
    /// segments go another time.
    pub(crate) fn record(&self, now_ms: u64) -> Draft {
        let last_hash = self.last_hash.to_string();
        let metadata = json!({ "first_seq": self.first_seq, "last_seq": self.last_seq, "last_hash": last_hash });
        own("audit.pruned", now_ms, metadata)
    }
}

/// What may go. `at` is where the log is being written, `past` the oldest segment that a sink still needs.
pub(crate) fn plan(dir: &Dir, terms: &Terms, now_ms: u64, at: Position, past: Option<u64>, bytes: u64) -> Option<Plan> {
    let keep_ms = u64::try_from(terms.keep.as_millis()).unwrap_or(u64::MAX);
    // Times of one form are ordered as their texts are.
    let oldest = rfc3339(now_ms.saturating_sub(keep_ms));
    let mut plan: Option<Plan> = None;
    let mut segments = layout::segments(dir.path()).ok()?.into_iter().peekable();
    while let Some((number, path)) = segments.next() {
        if number >= at.segment || past.is_some_and(|past| number >= past) {
            break;
        }
        // Where a segment ends is where the next one begins: what a broken one holds behind that is nobody's.
        let next = segments.peek().filter(|(number, _)| *number < at.segment || at.offset > 0);
        let Some(end) = next.map_or_else(|| Some(Start::of(at)), |(_, path)| Start::read(path).ok()) else {
            tracing::warn!(target: "audit", segment = layout::segment_name(number), "what follows this segment is broken, so it stays");
            break;
        };
        let freed = plan.as_ref().map_or(0, Plan::bytes);
        let last_time = last_time(&path).ok().or(end.time);
        let is_old = last_time.is_some_and(|last| last < oldest);
        if !is_old && bytes.saturating_sub(freed) <= terms.max_bytes {
            break;
        }
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        let first_seq = Start::read(&path).map_or(end.seq.saturating_sub(1), |start| start.seq);
        let plan =
            plan.get_or_insert(Plan { files: Vec::new(), bytes: 0, first_seq, last_seq: 0, last_hash: end.prev });
        plan.files.push(path);
        plan.bytes += length;
        plan.last_seq = end.seq.saturating_sub(1);
        plan.last_hash = end.prev;
    }
    plan
}

/// Deletes what was planned, oldest first, so that what is left stays in one piece.
pub(crate) fn remove(plan: &Plan, dir: &Dir, copies: &mut Copies) {
    for path in &plan.files {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(target: "audit", cause = %error, "a segment that may go cannot be deleted");
            return;
        }
    }
    let done = dir.sync().and_then(|()| copies.forget(dir, plan.last_seq + 1));
    match done {
        Ok(()) => {
            tracing::info!(target: "audit", segments = plan.files.len(), last_seq = plan.last_seq, "segments deleted");
        }
        Err(error) => tracing::warn!(target: "audit", cause = %error, "deleted segments may come back after a crash"),
    }
}

/// Where a segment begins.
struct Start {
    seq: u64,
    prev: Digest,
    /// Not known before it is written.
    time: Option<String>,
}

impl Start {
    /// The segment that is about to be begun here.
    fn of(at: Position) -> Self {
        Self { seq: at.next_seq, prev: at.hash, time: None }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut line = Vec::new();
        BufReader::new(File::open(path)?).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        let record = Record::parse(line.trim_ascii_end()).map_err(|_| bad())?;
        Ok(Self { seq: record.seq, prev: record.prev, time: event_time(record.event).map(str::to_owned) })
    }
}

/// When the last record of a segment was written, if that can be read.
fn last_time(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LINE as u64)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.strip_suffix(b"\n").ok_or_else(bad)?;
    let from = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let last = Record::parse(&whole[from..]).map_err(|_| bad())?;
    Ok(event_time(last.event).ok_or_else(bad)?.to_owned())
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no record")
}
