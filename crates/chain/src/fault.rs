//! What can be wrong with a log.

use std::fmt;

/// The first thing that is wrong. It shows as the word that `vestibule audit verify` prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A line has another form than a record.
    BadLine,
    /// A segment of another log.
    ChainMismatch,
    /// A record counts too far.
    SeqGap,
    /// A record counts from before.
    SeqRepeat,
    /// A record does not follow the one before it.
    PrevMismatch,
    /// A record is not what its hash was made of.
    HashMismatch,
    /// A checkpoint or a cursor speaks of another log than this one.
    CheckpointMismatch,
    /// A checkpoint is not signed by a key that was given.
    BadSignature,
    /// A checkpoint is not signed.
    UnsignedCheckpoint,
    /// A segment between two others is gone.
    MissingSegment,
    /// The oldest segments are gone, and the log does not say that they were pruned.
    HeadMissing,
    /// The log went on further than it does now.
    Truncated,
}

impl Fault {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BadLine => "bad_line",
            Self::ChainMismatch => "chain_mismatch",
            Self::SeqGap => "seq_gap",
            Self::SeqRepeat => "seq_repeat",
            Self::PrevMismatch => "prev_mismatch",
            Self::HashMismatch => "hash_mismatch",
            Self::CheckpointMismatch => "checkpoint_mismatch",
            Self::BadSignature => "bad_signature",
            Self::UnsignedCheckpoint => "unsigned_checkpoint",
            Self::MissingSegment => "missing_segment",
            Self::HeadMissing => "head_missing",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
