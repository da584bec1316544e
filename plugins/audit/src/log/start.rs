//! Continuing a log: what an earlier process left is read, its torn tail cut off, and what it leaves open is said.

use super::board::Board;
use super::copies::Copies;
use super::dir::Dir;
use super::loss::own;
use super::queue::Queue;
use super::writer::{Pace, Writer};
use super::{Position, Terms};
use crate::config::OnError;
use crate::draft::{Draft, Mark};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;
use vestibule_chain::recover::{Broken, Survey, survey};
use vestibule_chain::{ChainId, layout, millis};
use vestibule_plugin::Clock;

/// A log that can be written.
pub(super) struct Begun {
    pub(super) dir: Dir,
    pub(super) chain: ChainId,
    /// Where it goes on.
    pub(super) at: Position,
    /// What is said of the time between.
    pub(super) recovered: Vec<Draft>,
    broken_at: Option<u64>,
    open: BTreeSet<Uuid>,
}

/// What the directory holds.
enum Held {
    Log(Box<Found>),
    /// No record; the segment that may be begun.
    Nothing {
        begins_in: u64,
    },
}

/// Where a log ends.
struct Found {
    /// The last segment with a record.
    number: u64,
    survey: Survey,
    /// The segment that is written next, when it is another one.
    next: Option<u64>,
    /// The segment that is broken, and where.
    broken: Option<(u64, Broken)>,
}

/// Takes the directory and finds where the log goes on.
pub(super) fn continue_log(path: &Path, on_error: OnError, clock: &Arc<dyn Clock>) -> Result<Begun, String> {
    let dir = Dir::open(path)?;
    let now_ms = millis(clock.wall());
    let Found { number, survey, next, broken } = match find(path)? {
        Held::Log(found) => *found,
        Held::Nothing { begins_in } => return Ok(Begun::new_log(dir, begins_in)),
    };
    let (Some((seq, hash)), Some(head)) = (survey.last, &survey.head) else {
        return Err(format!(
            "`{}` holds segments and no good record; keep them elsewhere to begin anew",
            path.display()
        ));
    };
    let chain = head.chain;
    let next_seq = seq + 1;
    if let Some((number, broken)) = broken {
        let (segment, line) = (layout::segment_name(number), broken.line);
        if on_error == OnError::Closed {
            return Err(format!("`{segment}` is broken at line {line}; `vestibule audit verify` says how"));
        }
        tracing::error!(
            target: "audit",
            segment,
            line,
            last_seq = seq,
            "the audit log is broken; it stays as it is, and a new segment begins behind the last good record"
        );
    }
    // A torn tail was told to nobody. It is cut off when the segment is opened to go on.
    let at = match next {
        None => Position { segment: number, offset: survey.end, next_seq, hash },
        Some(segment) => Position { segment, offset: 0, next_seq, hash },
    };
    // A request that is open behind the end of a process ended in no record, however well the process ended.
    let unclean = !survey.is_final || survey.torn_bytes > 0 || broken.is_some() || !survey.open.is_empty();
    let mut recovered = Vec::new();
    if unclean {
        let interrupted = survey.open.len();
        tracing::warn!(
            target: "audit",
            torn_bytes = survey.torn_bytes,
            last_seq = seq,
            interrupted,
            "the process before did not end cleanly"
        );
        let metadata = json!({
            "torn_bytes": survey.torn_bytes, "last_seq": seq, "unclean": true, "interrupted": interrupted,
        });
        recovered.push(own("audit.recovered", now_ms, metadata));
        recovered
            .extend(survey.open.iter().map(|(request, started)| interrupted_one(*request, started.as_deref(), now_ms)));
    }
    let broken_at = broken.map(|_| seq);
    let open = survey.open.keys().copied().collect();
    Ok(Begun { dir, chain, at, recovered, broken_at, open })
}

/// The last segment that holds a record, and what is behind it.
fn find(path: &Path) -> Result<Held, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
    let segments = layout::segments(path).map_err(unreadable)?;
    let highest = segments.last().map_or(0, |(number, _)| *number);
    let oldest = segments.first().map_or(0, |(number, _)| *number);
    let (mut next, mut broken, mut torn_bytes) = (None, None, 0);
    for (number, file) in segments.into_iter().rev() {
        let mut read = survey(File::open(file).map_err(unreadable)?).map_err(unreadable)?;
        if let Some(at) = read.broken {
            // It stays as it is.
            next = Some(highest + 1);
            broken = Some((number, at));
        }
        read.torn_bytes += torn_bytes;
        if read.last.is_some() || number == oldest && broken.is_some() {
            return Ok(Held::Log(Box::new(Found { number, survey: read, next, broken })));
        }
        // Its very first write was torn: it is begun again.
        if broken.is_none() {
            next = Some(number);
            torn_bytes = read.torn_bytes;
        }
    }
    Ok(Held::Nothing { begins_in: next.unwrap_or(0) })
}

/// What became of a request that nobody saw end.
fn interrupted_one(request: Uuid, started: Option<&[u8]>, now_ms: u64) -> Draft {
    let event: Value = started.and_then(|event| serde_json::from_slice(event).ok()).unwrap_or_default();
    let subject = event["subject"].as_str().unwrap_or("unknown");
    let mut data = match &event["data"] {
        Value::Object(_) => event["data"].clone(),
        // An earlier segment has its beginning.
        _ => json!({
            "action": "unknown",
            "actor": { "id": null, "type": "anonymous" },
            "metadata": {},
            "request_id": request.to_string(),
            "resource": "unknown",
            "route": null,
            "schema": 1,
        }),
    };
    data["outcome"] = "unknown".into();
    data["status"] = Value::Null;
    Draft::of_event("request.interrupted", now_ms, Mark::Closes(request), subject, &data)
}

impl Begun {
    fn new_log(dir: Dir, segment: u64) -> Self {
        let chain = ChainId(Uuid::now_v7());
        let at = Position { segment, ..Position::BEGINNING };
        Self { dir, chain, at, recovered: Vec::new(), broken_at: None, open: BTreeSet::new() }
    }

    /// The thread's half.
    pub(super) fn into_writer(
        self,
        queue: &Arc<Queue>,
        board: &Arc<Board>,
        terms: &Arc<ArcSwap<Terms>>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Writer {
        Writer {
            queue: Arc::clone(queue),
            board: Arc::clone(board),
            terms: Arc::clone(terms),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            dir: self.dir,
            chain: self.chain,
            at: self.at,
            file: None,
            head_end: 0,
            untold: None,
            broken_at: self.broken_at,
            began: Instant::now(),
            open: self.open,
            copies: Copies::default(),
            pending: VecDeque::new(),
            pace: Pace::new(),
        }
    }
}
