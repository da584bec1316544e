//! The sliding log: the times of the last units, so that no window ever holds more than the quota.

/// Most units a log holds.
pub const MAX_LOG: usize = 64;
