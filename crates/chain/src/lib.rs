//! The audit log as it lies on disk: one record a line, each holding the hash of the one before it, and checkpoints that
//! a key has signed.
//!
//! The proxy writes it and continues it after a crash; whoever doubts it verifies it, with nothing but the files. Both
//! read it through this crate, so that they cannot disagree. Nothing here writes to a disk.

pub mod canonical;
mod checkpoint;
mod digest;
mod fault;
mod follow;
mod head;
pub mod layout;
pub mod printable;
mod read;
mod record;
pub mod recover;
mod stamp;
pub mod tail;
pub mod types;
pub mod verify;

pub use checkpoint::{BadKey, Checkpoint, SigningKey, VerifyingKey};
pub use digest::{ChainId, Digest, link};
pub use fault::Fault;
pub use follow::Follower;
pub use head::{OPEN_IDS, SegmentHead};
pub use read::{Ending, Line, Lines};
pub use record::{BadLine, MAX_LINE, Record, append, event_time, event_type};
pub use stamp::{millis, parse as parse_time, rfc3339, write_rfc3339};

/// What every type of event begins with.
pub const TYPE_PREFIX: &str = "io.vestibule.";
