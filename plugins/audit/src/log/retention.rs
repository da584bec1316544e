//! Which segments may go: delivered everywhere, and old, or in the way of newer ones.

use super::Terms;
use super::copies::Copies;
use super::dir::Dir;
use super::loss::own;
use crate::draft::Draft;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use vestibule_chain::{Digest, MAX_LINE, Record, layout, rfc3339};

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

/// What may go. `current` is the segment being written, `past` the oldest one that a sink still needs.
pub(crate) fn plan(dir: &Dir, terms: &Terms, now_ms: u64, current: u64, past: Option<u64>, bytes: u64) -> Option<Plan> {
    let keep_ms = u64::try_from(terms.keep.as_millis()).unwrap_or(u64::MAX);
    // Times of one form are ordered as their texts are.
    let oldest = rfc3339(now_ms.saturating_sub(keep_ms));
    let mut plan: Option<Plan> = None;
    for (number, path) in layout::segments(dir.path()).ok()? {
        if number >= current || past.is_some_and(|past| number >= past) {
            break;
        }
        let freed = plan.as_ref().map_or(0, Plan::bytes);
        let ends = Ends::of(&path).ok()?;
        if ends.last_time >= oldest && bytes.saturating_sub(freed) <= terms.max_bytes {
            break;
        }
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        let plan = plan.get_or_insert(Plan {
            files: Vec::new(),
            bytes: 0,
            first_seq: ends.first_seq,
            last_seq: ends.last_seq,
            last_hash: ends.last_hash,
        });
        plan.files.push(path);
        plan.bytes += length;
        plan.last_seq = ends.last_seq;
        plan.last_hash = ends.last_hash;
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

/// The first and the last record of a segment.
struct Ends {
    first_seq: u64,
    last_seq: u64,
    last_hash: Digest,
    last_time: String,
}

impl Ends {
    fn of(path: &Path) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "no record");
        let mut file = BufReader::new(File::open(path)?);
        let mut first = Vec::new();
        file.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut first)?;
        let first_seq = Record::parse(first.trim_ascii_end()).map_err(|_| bad())?.seq;
        let length = file.get_ref().metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_LINE as u64)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.strip_suffix(b"\n").ok_or_else(bad)?;
        let from = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = Record::parse(&whole[from..]).map_err(|_| bad())?;
        let event: serde_json::Value = serde_json::from_slice(last.event)?;
        let last_time = event["time"].as_str().ok_or_else(bad)?.to_owned();
        Ok(Self { first_seq, last_seq: last.seq, last_hash: last.hash, last_time })
    }
}
