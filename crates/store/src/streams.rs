//! The port `Streams`: append-only lists that somebody else reads, bounded by the number of their entries.

mod redis;

pub use self::redis::RedisStreams;

use crate::records::Outage;
use vestibule_plugin::Soon;

/// Appends to streams. There is none in memory: nobody could read it.
pub trait Streams: Send + Sync + 'static {
    /// Appends all entries, in this order and with none of another's between them. `Ok`: all of them are there.
    /// [`Outage::Timeout`] and [`Outage::Unheard`]: all of them, or none. Any other outage: none. Nothing is tried twice.
    fn append<'a>(&'a self, to: Stream<'a>, entries: &'a [Entry]) -> Soon<'a, Result<(), Outage>>;

    /// Whether the last answer came in time; `None`: nothing was asked yet.
    fn is_up(&self) -> Option<bool>;
}

/// A stream and how long it may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream<'a> {
    /// Its key behind the namespace: `csp` is `<namespace>:csp`.
    pub suffix: &'a str,
    /// About how many entries are kept; the oldest go.
    pub keeps: u64,
}

/// One entry: its fields and their values.
pub type Entry = Vec<(&'static str, Vec<u8>)>;
