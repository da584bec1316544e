//! What the last segment holds, for the process that continues the log.
//!
//! What is said to be torn may be cut off: nobody was ever told that it is on disk. What is broken stays as it is.

use crate::checkpoint::Checkpoint;
use crate::digest::{ChainId, Digest};
use crate::fault::Fault;
use crate::follow::Follower;
use crate::head::SegmentHead;
use crate::read::{Ending, Lines};
use crate::record::{Record, event_time, event_type};
use crate::types;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use uuid::Uuid;

/// A segment, read to its end or to the first bad record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// What it says of itself; `None` if not even its first record is there.
    pub head: Option<SegmentHead>,
    /// Number of the first record.
    pub first_seq: Option<u64>,
    /// The last good record and its hash.
    pub last: Option<(u64, Digest)>,
    /// `time` of the last good record, in its own words.
    pub last_time: Option<String>,
    /// Good records.
    pub records: u64,
    /// Where the last good record ends, in bytes: what is torn is cut off here.
    pub end: u64,
    /// Bytes of the torn tail, 0 for none.
    pub torn_bytes: u64,
    /// The first bad record, when it is no torn tail.
    pub broken: Option<Broken>,
    /// Requests that were started and not finished. Those that an earlier segment has are without their event.
    pub open: BTreeMap<Uuid, Option<Vec<u8>>>,
    /// The last checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Whether a final checkpoint is the last record and nothing is torn: the process before stopped cleanly.
    pub is_final: bool,
}

/// Where a segment is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// How.
    pub fault: Fault,
    /// Counts from 1.
    pub line: u64,
    /// Where that line begins, in bytes.
    pub offset: u64,
}

/// Reads the last segment of a log, which may be any bytes.
pub fn survey(segment: impl Read) -> io::Result<Survey> {
    let mut lines = Lines::new(segment);
    let mut survey = Survey::default();
    let mut follower = None;
    while let Some(line) = lines.next()? {
        let (ending, length) = (line.ending, line.length);
        let broken = |fault| Some(Broken { fault, line: line.number, offset: line.offset });
        let Ok(record) = line.record() else {
            let broken = broken(Fault::BadLine);
            match ending == Ending::EndOfFile || lines.is_at_end()? {
                true => survey.torn_bytes = length,
                false => survey.broken = broken,
            }
            break;
        };
        if let Err(fault) = survey.take(&mut follower, &record) {
            survey.broken = broken(fault);
            break;
        }
        survey.end = line.offset + length;
    }
    survey.is_final &= survey.torn_bytes == 0 && survey.broken.is_none();
    Ok(survey)
}

impl Survey {
    /// The log's id, if the segment says it.
    pub fn chain(&self) -> Option<ChainId> {
        self.head.as_ref().map(|head| head.chain)
    }

    fn take(&mut self, follower: &mut Option<Follower>, record: &Record<'_>) -> Result<(), Fault> {
        let kind = event_type(record.event).unwrap_or_default();
        let head = if kind == types::SEGMENT { SegmentHead::of_event(record.event) } else { None };
        let follower = match (follower, &head) {
            (Some(follower), _) => follower,
            (none, Some(head)) => none.insert(Follower::new(head.chain)),
            // A segment begins with its head.
            (None, None) => return Err(Fault::BadLine),
        };
        follower.follow(record)?;
        self.first_seq = self.first_seq.or(Some(record.seq));
        self.last = follower.last();
        self.last_time = event_time(record.event).map(str::to_owned);
        self.records += 1;
        self.is_final = false;
        match kind {
            types::SEGMENT => self.begin(head),
            types::REQUEST_STARTED => {
                if let Some(id) = request_id(record.event) {
                    self.open.insert(id, Some(record.event.to_vec()));
                }
            }
            types::REQUEST_FINISHED | types::REQUEST_INTERRUPTED => {
                if let Some(id) = request_id(record.event) {
                    self.open.remove(&id);
                }
            }
            types::CHECKPOINT => {
                self.checkpoint = Checkpoint::of_event(record.event).or(self.checkpoint.take());
                self.is_final = self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.is_final);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, head: Option<SegmentHead>) {
        let Some(head) = head else { return };
        self.open.extend(head.open.iter().map(|id| (*id, None)));
        // The first one speaks for the segment.
        self.head.get_or_insert(head);
    }
}

/// `data.request_id` of an event.
pub fn request_id(event: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        request_id: &'a str,
    }
    serde_json::from_slice::<Event<'_>>(event).ok()?.data.request_id.parse().ok()
}
