//! The one thread that writes: it takes what waits, appends it at once, makes it durable, and says so.

mod segments;

use super::batch::Batch;
use super::copies::Copies;
use super::dir::Dir;
use super::loss::{Loss, Reason};
use super::queue::{Queue, Woken, Writing};
use super::retention;
use super::{Board, Position, Terms};
use crate::draft::{Draft, Mark};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use vestibule_chain::{ChainId, millis};
use vestibule_plugin::Clock;

/// Least time between the starts of two fsyncs: what comes meanwhile shares the next one.
const PACE: Duration = Duration::from_millis(5);
/// How soon after a failure the next attempt is made.
const RETRY: Duration = Duration::from_secs(1);
/// A segment older than this is followed by the next.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// There is a checkpoint at least so often, and a look for what may go.
const HOUR: Duration = Duration::from_secs(3600);

/// Writes the log.
pub(crate) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) board: Arc<Board>,
    pub(super) terms: Arc<ArcSwap<Terms>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) dir: Dir,
    pub(super) chain: ChainId,
    /// What is on disk.
    pub(super) at: Position,
    /// `None` until the segment's first record is written.
    pub(super) file: Option<File>,
    /// Where the segment's head ends: what counts against `rotate_bytes` stands behind it, or a head that names many
    /// requests would leave no room for any record.
    pub(super) head_end: u64,
    /// The next segment's head says so.
    pub(super) broken_at: Option<u64>,
    /// Segments that went before the log could say so.
    pub(super) untold: Option<Draft>,
    /// When the segment was begun.
    pub(super) began: Instant,
    /// Requests that have begun and not ended.
    pub(super) open: BTreeSet<Uuid>,
    pub(super) copies: Copies,
    pub(super) pending: VecDeque<Draft>,
    pub(super) pace: Pace,
}

/// When something was last done.
pub(super) struct Pace {
    /// The last fsync began.
    pub(super) synced: Option<Instant>,
    /// The last checkpoint was written.
    pub(super) checkpoint: Instant,
    /// Whether a record was written since.
    pub(super) unchecked: bool,
    /// The last look for segments that may go.
    pub(super) looked: Instant,
    /// The last record is a checkpoint.
    pub(super) ends_with_checkpoint: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { synced: None, checkpoint: now, unchecked: false, looked: now, ends_with_checkpoint: false }
    }
}

/// Whether the process ends behind what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    No,
    Yes,
}

impl Writer {
    /// Until the log is closed.
    pub(super) fn run(mut self) {
        loop {
            let last = self.wait();
            let worked = self.attempt(last);
            if last == Last::Yes && (!worked || self.pending.is_empty()) {
                break;
            }
            if !worked {
                self.queue.pause(Instant::now() + RETRY);
            }
        }
        let lost = self.queue.end() + self.pending.len() as u64;
        if lost > 0 {
            tracing::error!(target: "audit", lost, "stopped before every event was written");
        }
        // The directory is free before anybody is told that it is.
        let Self { board, dir, .. } = self;
        drop(dir);
        board.end();
    }

    /// Until there is something to write, or nothing more will come.
    fn wait(&self) -> Last {
        let is_last = match self.pending.is_empty() {
            true => self.queue.wait(self.wakes_by_itself()) == Woken::ToClose,
            false => self.queue.is_closing(),
        };
        if is_last {
            return Last::Yes;
        }
        if let Some(synced) = self.pace.synced {
            std::thread::sleep((synced + PACE).saturating_duration_since(Instant::now()));
        }
        Last::No
    }

    /// When there is something to do though nobody reports anything.
    fn wakes_by_itself(&self) -> Instant {
        if self.board.writing() != Writing::Works {
            // The pause after the failure is over.
            return Instant::now();
        }
        let terms = self.terms.load();
        let checkpoint = if self.pace.unchecked { terms.checkpoint } else { HOUR };
        (self.pace.checkpoint + checkpoint).min(self.pace.looked + terms.keep.min(HOUR))
    }

    /// Writes what waits, or learns that it cannot; whether it could.
    fn attempt(&mut self, last: Last) -> bool {
        let loss = self.queue.take(&mut self.pending);
        match self.write(&loss, last) {
            Ok(()) => {
                self.queue.settle(Writing::Works, Loss::default(), &mut self.pending);
                if self.board.now(Writing::Works) != Writing::Works {
                    tracing::error!(target: "audit", lost = loss.lost(), "the audit log is written again");
                }
                true
            }
            Err(error) => {
                let reason = reason_of(&error);
                let before = loss.lost();
                let lost = self.queue.settle(Writing::Fails(reason), loss, &mut self.pending);
                self.board.give_up(lost);
                if self.board.now(Writing::Fails(reason)) == Writing::Works {
                    tracing::error!(
                        target: "audit",
                        reason = reason.as_str(),
                        cause = %error,
                        lost = before + lost,
                        "the audit log cannot be written"
                    );
                }
                // What a failed attempt left behind is cut off before the next.
                self.file = None;
                false
            }
        }
    }

    /// One write and one fsync: as many events as fit into the segment, a checkpoint where one is due.
    fn write(&mut self, loss: &Loss, last: Last) -> io::Result<()> {
        let terms = self.terms.load_full();
        let now_ms = millis(self.clock.wall());
        let plan = self.make_room(&terms, now_ms)?;
        let is_head = self.begin_segment(&terms)?;
        let mut batch = Batch::behind(self.chain, self.at);
        if is_head {
            batch.add_head(now_ms, self.open.iter(), self.broken_at);
        }
        let head_end = if is_head { batch.end.offset } else { self.head_end };
        let is_full = |at: &Position| at.offset.saturating_sub(head_end) >= terms.rotate_bytes;
        if let Some(untold) = &self.untold {
            batch.add(untold);
        }
        if let Some(gap) = loss.gap(now_ms) {
            batch.add(&gap);
        }
        if let Some(plan) = &plan {
            batch.add(&plan.record(now_ms));
        }
        let mut taken = 0;
        let mut weight = 0;
        while let Some(draft) = self.pending.get(taken)
            && !is_full(&batch.end)
        {
            batch.add(draft);
            weight += draft.weight();
            taken += 1;
        }
        let ends = last == Last::Yes && taken == self.pending.len();
        let full = is_full(&batch.end);
        let written = batch.records > 0 || self.pace.unchecked;
        let since = self.pace.checkpoint.elapsed();
        if ends || full || written && since >= terms.checkpoint || since >= HOUR {
            batch.add_checkpoint(now_ms, terms.sign_key.as_ref(), ends);
        }
        if batch.records > 0
            && let Err(error) = self.append(&batch)
        {
            return Err(self.without_room(error, plan.as_ref(), now_ms));
        }
        self.head_end = head_end;
        self.untold = None;
        self.pending.drain(..taken);
        self.queue.release(taken, weight);
        self.commit(batch, taken, loss);
        if let Some(plan) = plan {
            retention::remove(&plan, &self.dir, &mut self.copies);
            self.board.spool(self.dir.bytes());
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("no segment is open")) };
        let found = file.metadata()?;
        if found.nlink() == 0 || found.len() != self.at.offset {
            return Err(io::Error::other("somebody else removed or changed the segment that is being written"));
        }
        let began = Instant::now();
        file.write_all(&batch.lines)?;
        self.pace.synced = Some(Instant::now());
        file.sync_data()?;
        self.metrics.synced(began.elapsed());
        Ok(())
    }

    /// It is on disk: everybody may know.
    fn commit(&mut self, batch: Batch, taken: usize, loss: &Loss) {
        self.at = batch.end;
        self.broken_at = self.broken_at.filter(|_| batch.records == 0);
        for mark in batch.marks {
            match mark {
                Mark::Opens(request) => drop(self.open.insert(request)),
                Mark::Closes(request) => drop(self.open.remove(&request)),
                Mark::None => {}
            }
        }
        for request in loss.closed() {
            self.open.remove(request);
        }
        self.pace.unchecked |= batch.records > 0;
        if batch.ends_with_checkpoint {
            self.pace.unchecked = false;
            self.pace.checkpoint = Instant::now();
        }
        if batch.records > 0 {
            self.pace.ends_with_checkpoint = batch.ends_with_checkpoint;
        }
        self.metrics.written(batch.records);
        let written = batch.lines.len() as u64;
        let checkpointed = batch.checkpoint.is_some().then(|| millis(self.clock.wall()));
        self.board.advance(self.at, taken as u64, written, checkpointed);
        if let Some(event) = batch.checkpoint {
            self.board.spool(self.board.spooled() + event.len() as u64);
            self.copies.add(&self.dir, event);
        }
    }
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::DiskFull,
        _ => Reason::IoError,
    }
}
