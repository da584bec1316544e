//! What became of a verification.

use super::claim::Claim;
use super::note::Note;
use crate::digest::ChainId;
use crate::fault::Fault;
use std::fmt;

/// What was seen up to the end or to the first bad record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Which log; `None` if it has no record.
    pub chain: Option<ChainId>,
    /// The first record that is there.
    pub first_seq: Option<u64>,
    /// The last one.
    pub last_seq: Option<u64>,
    /// Good records.
    pub records: u64,
    /// Segments with a good record.
    pub segments: u64,
    /// Good checkpoints.
    pub checkpoints: u64,
    /// Records after the last of them.
    pub after_checkpoint: u64,
    /// Whether the log ends in a final checkpoint.
    pub sealed: bool,
    /// Ids of the keys that signed, in the order they first did.
    pub keys: Vec<String>,
    /// What there is to say besides.
    pub notes: Vec<Note>,
    /// What is wrong; `None` if nothing is.
    pub finding: Option<Finding>,
}

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// Which record: the number it has itself or, where it has none, should have.
    pub seq: u64,
    /// Where it is, or should be.
    pub place: Place,
    /// The record before.
    pub last_good: Option<LastGood>,
    /// Who says so, if it is not the log itself.
    pub witness: Option<Claim>,
}

/// A place in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Which segment, in the order they were given, from 0.
    pub segment: usize,
    /// Which line, from 1.
    pub line: u64,
    /// Where the line begins, in bytes.
    pub offset: u64,
}

/// The last record that is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastGood {
    /// Its number.
    pub seq: u64,
    /// Its time, in its own words; empty if it has none.
    pub time: String,
}

/// How `ok: ` goes on, for a log that is whole.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(chain), Some(first), Some(last)) = (self.chain, self.first_seq, self.last_seq) else {
            return write!(f, "no records");
        };
        let records = Counted(self.records, "record");
        let (segments, checkpoints) = (Counted(self.segments, "segment"), Counted(self.checkpoints, "checkpoint"));
        write!(f, "chain {chain}, seq {first}..{last}, {records} in {segments}, {checkpoints}")?;
        if !self.keys.is_empty() {
            let plural = if self.keys.len() == 1 { "" } else { "s" };
            write!(f, " (signatures ok, key{plural} {})", self.keys.join(", "))?;
        }
        if self.checkpoints > 0 {
            write!(f, ", {} after the last", Counted(self.after_checkpoint, "record"))?;
        }
        Ok(())
    }
}

/// So many of a thing.
struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        write!(f, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}
