//! Whether a log is what was written: every record in its place, and every witness borne out.
//!
//! One pass, one record at a time. What is kept does not grow with the log; the witnesses are bounded too.

mod claim;
mod note;
mod report;

pub use claim::{Claim, Claims, Kept, MAX_CLAIMS, Own, Witness};
pub use note::{Gap, Note};
pub use report::{Finding, LastGood, Place, Report};

use crate::checkpoint::{Checkpoint, VerifyingKey};
use crate::digest::{ChainId, link};
use crate::fault::Fault;
use crate::follow::Follower;
use crate::head::SegmentHead;
use crate::read::{Line, Lines};
use crate::record::{Record, event_time, event_type};
use crate::types;
use note::Notes;
use serde_json::Value;
use std::io::{self, Read};
use uuid::Uuid;

/// What is asked of a log.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Every checkpoint must carry a signature of one of these; with none, signatures are not looked at.
    pub keys: Vec<VerifyingKey>,
    /// The last record must be a final checkpoint.
    pub sealed: bool,
    /// A process is writing: a last line that has no end yet is on its way, not torn.
    pub is_live: bool,
}

/// Takes the segments of one log, in order.
#[derive(Debug)]
pub struct Verifier {
    terms: Terms,
    claims: Claims,
    notes: Notes,
    report: Report,
    follower: Option<Follower>,
    /// Segments given so far, empty ones too.
    given: usize,
    /// Number of the segment before, as its head says.
    number: Option<u64>,
    last_time: String,
    head: Option<Head>,
    /// Where the last good record ends.
    end: Place,
    /// A process stopped, and nothing but the log itself was written since. What a signed checkpoint says of that is
    /// in its hash; its own `final` is not.
    is_stopped: bool,
    /// What a cursor or a copy of a checkpoint says is not so. The next checkpoint of the log is asked first: it may say
    /// so itself, or be forged.
    suspect: Option<Finding>,
}

/// The first record that is there.
#[derive(Clone, Copy, Debug)]
struct Head {
    record: (u64, crate::Digest),
    place: Place,
    /// The log says that what was before it was pruned.
    is_explained: bool,
}

/// A fault, the number of the record that has it, and who says so if it is not the log.
type Bad = (Fault, u64, Option<Claim>);

impl Verifier {
    /// Before the first segment.
    pub fn new(terms: Terms, claims: Claims) -> Self {
        Self {
            terms,
            claims: claims.sort(),
            notes: Notes::default(),
            report: Report::default(),
            follower: None,
            given: 0,
            number: None,
            last_time: String::new(),
            head: None,
            end: Place { segment: 0, line: 1, offset: 0 },
            is_stopped: false,
            suspect: None,
        }
    }

    /// Reads the next segment. `false`: something is wrong with it, and no further one need be given.
    pub fn segment(&mut self, segment: impl Read, is_last: bool) -> io::Result<bool> {
        let mut lines = Lines::new(segment);
        let index = self.given;
        self.given += 1;
        self.end = Place { segment: index, line: 1, offset: 0 };
        while let Some(line) = lines.next()? {
            let place = Place { segment: index, line: line.number, offset: line.offset };
            let length = line.length;
            if let Err((fault, seq, witness)) = self.line(&line, place) {
                self.report.sealed = false;
                if fault == Fault::BadLine && is_last && line.is_torn() && lines.is_at_end()? {
                    self.notes.torn_bytes = if self.terms.is_live { 0 } else { length };
                    return Ok(true);
                }
                let found = Finding { fault, seq, place, last_good: self.last_good(), witness };
                // What was denied before is the first thing that is wrong.
                self.report.finding = self.suspect.take().or(Some(found));
                return Ok(false);
            }
            self.end = Place { segment: index, line: place.line + 1, offset: place.offset + length };
        }
        Ok(true)
    }

    /// After the last segment.
    pub fn finish(mut self) -> Report {
        if self.report.finding.is_none() {
            self.report.finding = self.suspect.take().or_else(|| self.missing());
            self.report.sealed &= self.report.finding.is_none();
        }
        let starts_at = self.head.map(|head| head.record.0).filter(|seq| *seq > 0);
        let is_checked = !self.terms.keys.is_empty() && self.report.checkpoints > 0;
        self.report.notes = self.notes.list(self.report.sealed, starts_at, is_checked);
        self.report
    }

    /// What was there once.
    fn missing(&self) -> Option<Finding> {
        if let Some(head) = self.head.filter(|head| !head.is_explained) {
            let (fault, seq) = (Fault::HeadMissing, head.record.0);
            return Some(Finding { fault, seq, place: head.place, last_good: None, witness: None });
        }
        let witness = self.claims.beyond(self.report.last_seq);
        let is_short = witness.is_some() || (self.terms.sealed && !self.report.sealed);
        let (fault, seq, place) = (Fault::Truncated, self.expected(), self.end);
        is_short.then(|| Finding { fault, seq, place, last_good: self.last_good(), witness })
    }

    fn line(&mut self, line: &Line<'_>, place: Place) -> Result<(), Bad> {
        let record = line.record().map_err(|_| (Fault::BadLine, self.expected(), None))?;
        let at = |fault| (fault, record.seq, None);
        let kind = event_type(record.event).unwrap_or_default();
        let is_first = place.line == 1;
        let head = if is_first && kind == types::SEGMENT { SegmentHead::of_event(record.event) } else { None };
        let chain = match (&self.follower, &head) {
            (Some(follower), _) => follower.chain(),
            (None, Some(head)) => head.chain,
            (None, None) => source(record.event).unwrap_or(ChainId(Uuid::nil())),
        };
        if head.as_ref().is_some_and(|head| head.chain != chain && is_of(head.chain, &record)) {
            return Err(at(Fault::ChainMismatch));
        }
        let begins_log = self.follower.is_none();
        let follower = self.follower.get_or_insert(Follower::new(chain));
        follower.follow(&record).map_err(|fault| {
            let skipped =
                head.as_ref().zip(self.number).is_some_and(|(head, before)| head.number > before.saturating_add(1));
            at(if fault == Fault::SeqGap && skipped { Fault::MissingSegment } else { fault })
        })?;
        if is_first {
            match &head {
                Some(head) if self.lacks_checkpoint(head) => return Err(at(Fault::UnsignedCheckpoint)),
                Some(head) => self.number = Some(head.number),
                // A segment without its head: a record is gone, or a file was divided.
                None if begins_log && record.seq > 0 => return Err(at(Fault::SeqGap)),
                None => return Err(at(Fault::BadLine)),
            }
        }
        if begins_log {
            self.begin(chain, &record, place)?;
        }
        self.take(kind, &record, place)
    }

    /// A segment ends with a checkpoint, unless it is broken. Who has no key could leave them all out.
    fn lacks_checkpoint(&self, next: &SegmentHead) -> bool {
        !self.terms.keys.is_empty() && self.report.after_checkpoint > 0 && next.broken_at.is_none()
    }

    fn begin(&mut self, chain: ChainId, record: &Record<'_>, place: Place) -> Result<(), Bad> {
        self.report.chain = Some(chain);
        self.report.first_seq = Some(record.seq);
        self.head = Some(Head { record: (record.seq, record.prev), place, is_explained: record.seq == 0 });
        self.claims.begin(record.seq);
        match self.claims.of_another(chain) {
            Some(claim) => Err((Fault::ChainMismatch, record.seq, Some(claim))),
            None => Ok(()),
        }
    }

    /// A record that is in its place: what it says, and what is said of it.
    fn take(&mut self, kind: &str, record: &Record<'_>, place: Place) -> Result<(), Bad> {
        let checkpoint = match (kind == types::CHECKPOINT).then(|| self.checkpoint(record)).transpose() {
            Ok(checkpoint) => checkpoint,
            Err(fault) => {
                self.suspect = None;
                return Err((fault, record.seq, None));
            }
        };
        self.claims.settle(record, checkpoint.as_ref()).map_err(|claim| (Fault::Truncated, record.seq, Some(claim)))?;
        if checkpoint.is_some()
            && let Some(suspect) = &self.suspect
        {
            return Err((suspect.fault, suspect.seq, suspect.witness));
        }
        if self.suspect.is_none()
            && let Some(claim) = self.claims.deny(record)
        {
            let (fault, seq, last_good) = (Fault::CheckpointMismatch, record.seq, self.last_good());
            self.suspect = Some(Finding { fault, seq, place, last_good, witness: Some(claim) });
        }
        match kind {
            types::PROCESS_STOPPED => self.is_stopped = true,
            types::GAP => self.notes.gap(Gap::of_metadata(&metadata(record.event))),
            types::RECOVERED => self.notes.recovered(record.seq),
            types::PRUNED => self.pruned(&metadata(record.event)),
            _ => self.is_stopped &= types::is_of_log(kind),
        }
        self.count(record, place, checkpoint.map(|kept| kept.checkpoint).as_ref());
        Ok(())
    }

    fn count(&mut self, record: &Record<'_>, place: Place, checkpoint: Option<&Checkpoint>) {
        let report = &mut self.report;
        report.records += 1;
        report.segments += u64::from(place.line == 1);
        report.last_seq = Some(record.seq);
        report.after_checkpoint += 1;
        report.sealed = checkpoint.is_some_and(|checkpoint| checkpoint.is_final) && self.is_stopped;
        if checkpoint.is_some() {
            report.checkpoints += 1;
            report.after_checkpoint = 0;
        }
        self.last_time.clear();
        self.last_time.push_str(event_time(record.event).unwrap_or_default());
    }

    /// What a checkpoint says must be so: it speaks of the record before it, and a key that is trusted says so too.
    fn checkpoint(&mut self, record: &Record<'_>) -> Result<Kept, Fault> {
        let kept = Kept::of_event(record.event).ok_or(Fault::CheckpointMismatch)?;
        let checkpoint = &kept.checkpoint;
        let is_so = self.report.chain == Some(checkpoint.chain)
            && checkpoint.seq.checked_add(1) == Some(record.seq)
            && checkpoint.records == record.seq
            && checkpoint.hash == record.prev;
        if !is_so {
            return Err(Fault::CheckpointMismatch);
        }
        if !self.terms.keys.is_empty() {
            let key = signer(checkpoint, &self.terms.keys)?;
            if !self.report.keys.iter().any(|known| known == key.id()) {
                self.report.keys.push(key.id().to_owned());
            }
        }
        Ok(kept)
    }

    /// `pruned` is written before files go, so its range ends at the first record there is or behind it.
    fn pruned(&mut self, metadata: &Value) {
        let Some(head) = &mut self.head else { return };
        let number = |name: &str| metadata.get(name).and_then(Value::as_u64);
        let (Some(first), Some(last)) = (number("first_seq"), number("last_seq")) else { return };
        let hash = metadata.get("last_hash").and_then(Value::as_str).and_then(|hash| hash.parse().ok());
        let (seq, prev) = head.record;
        head.is_explained |= match last.checked_add(1) {
            Some(next) if next == seq => hash == Some(prev),
            _ => first < seq && seq <= last,
        };
    }

    fn expected(&self) -> u64 {
        self.report.last_seq.map_or(0, |seq| seq.saturating_add(1))
    }

    fn last_good(&self) -> Option<LastGood> {
        self.report.last_seq.map(|seq| LastGood { seq, time: self.last_time.clone() })
    }
}

/// Which of the keys signed it.
pub fn signer<'a>(checkpoint: &Checkpoint, keys: &'a [VerifyingKey]) -> Result<&'a VerifyingKey, Fault> {
    match checkpoint.signature {
        None => Err(Fault::UnsignedCheckpoint),
        Some(_) => keys.iter().find(|key| checkpoint.is_signed_by(key)).ok_or(Fault::BadSignature),
    }
}

fn is_of(chain: ChainId, record: &Record<'_>) -> bool {
    link(chain, record.seq, record.prev, record.event) == record.hash
}

fn parsed(event: &[u8]) -> Value {
    serde_json::from_slice(event).unwrap_or_default()
}

fn metadata(event: &[u8]) -> Value {
    parsed(event).pointer_mut("/data/metadata").map(Value::take).unwrap_or_default()
}

/// The log that an event says it is of.
fn source(event: &[u8]) -> Option<ChainId> {
    let event = parsed(event);
    let chain = event.get("source")?.as_str()?.strip_prefix("urn:vestibule:")?;
    chain.parse().ok().map(ChainId)
}
