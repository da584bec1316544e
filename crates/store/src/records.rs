//! The port `Records`: who executes a keyed request, and what came of it.
//!
//! A record is claimed before anything is executed, renewed while it is, and completed with what came of it. Every
//! operation is atomic on one name, and a claim that nobody renews turns into "nobody knows", never into nothing.

mod measured;
mod memory;
mod rules;
mod shares;

#[cfg(test)]
pub(crate) mod conformance;

pub use measured::Measured;
pub use memory::MemoryRecords;

use bytes::Bytes;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;
use vestibule_plugin::Soon;
use vestibule_plugin::meter::Gauge;

/// Keeps what is known of keyed requests.
pub trait Records: Send + Sync + 'static {
    /// Claims a name, or says what is there. It may be repeated when its answer was lost.
    fn begin<'a>(&'a self, claim: Claim) -> Soon<'a, Result<Begun, Outage>>;

    /// Lets a claim live for another lease.
    fn renew<'a>(&'a self, hold: Hold, lease: Duration, ttl: Duration) -> Soon<'a, Result<Renewed, Outage>>;

    /// Writes what came of a claim, also when the claim was lost meanwhile. It may be repeated.
    fn complete<'a>(&'a self, hold: Hold, outcome: Outcome, keep: Keeping) -> Soon<'a, Result<Completed, Outage>>;

    /// Takes a claim back: nothing was executed.
    fn release<'a>(&'a self, hold: Hold) -> Soon<'a, Result<Released, Outage>>;

    /// Forgets a record, whoever's it is.
    fn forget<'a>(&'a self, name: Name, live: Live) -> Soon<'a, Result<Forgotten, Outage>>;

    /// From now on `gauge` shows the records held in this process, and no gauge given before does. It stays 0 when they
    /// are held elsewhere.
    fn show(&self, gauge: Gauge);

    /// From now on replies are stored whose bodies have at most this many bytes. A store elsewhere is believed no longer
    /// answer than [`reply_bound`] of it.
    fn expect(&self, max_body: u64);

    /// What is known of the store, without asking it.
    fn standing(&self) -> Standing;

    /// Makes room of what has expired in this process.
    fn sweep(&self);
}

/// Longest answer of a store elsewhere, in bytes, where stored bodies have at most `max_body`: as much again for what
/// stands around a body, and 64 KiB, so that a small bound leaves room for the fields of a reply.
pub const fn reply_bound(max_body: u64) -> u64 {
    max_body.saturating_mul(2).saturating_add(64 << 10)
}

/// Longest reply, in bytes as it is stored, where bodies have at most `max_body`: what can be read back with an answer
/// of [`reply_bound`], whose own words take less than 1 KiB.
pub const fn stored_bound(max_body: u64) -> u64 {
    reply_bound(max_body) - (1 << 10)
}

/// What a record is called: a keyed hash, so that it tells nobody whose it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub [u8; 16]);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// Drawn for each claim; proves that a write comes from its holder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

impl Owner {
    /// A new one.
    pub fn draw() -> Self {
        Self(rand::random())
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(…)")
    }
}

/// A keyed hash of what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub [u8; 32]);

/// Who holds which name, for which request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The record.
    pub name: Name,
    /// The request.
    pub fingerprint: Fingerprint,
    /// The holder.
    pub owner: Owner,
    /// Trace of the exchange that executes.
    pub trace_id: u128,
    /// Whose share of a bounded store it takes.
    pub payer: Payer,
}

/// Whose share of a bounded store a record takes. A record of nobody counts against the whole alone.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Payer {
    /// The principal; none where callers share their keys.
    pub principal: Option<Account>,
    /// The address of the client.
    pub address: Option<Account>,
}

/// One who has a share: a keyed hash, so that nobody can choose to be counted with another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Account(NonZeroU64);

impl Account {
    /// The one with this hash.
    pub fn of(hash: [u8; 8]) -> Self {
        Self(NonZeroU64::new(u64::from_be_bytes(hash)).unwrap_or(NonZeroU64::MIN))
    }
}

/// Which bound leaves no room for a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// That of the whole store.
    Store,
    /// The share of one principal.
    Principal,
    /// The share of all principals of one client address.
    Address,
}

impl Bound {
    /// As written in problems and log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Principal => "principal",
            Self::Address => "address",
        }
    }
}

/// What [`Records::begin`] asks for.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Who, what, which.
    pub hold: Hold,
    /// How long the claim counts as alive without renewal.
    pub lease: Duration,
    /// How long what is written is kept; a claim is kept for its lease and this.
    pub ttl: Duration,
    /// What to do about a claim that nobody renewed.
    pub abandoned: Abandoned,
    /// Replicas that must have the claim before it counts; 0 asks none.
    pub replicas: u32,
}

/// How [`Records::complete`] keeps what it writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keeping {
    /// For how long.
    pub ttl: Duration,
    /// Replicas that should have it before it counts as written; 0 asks none.
    pub replicas: u32,
}

/// What a caller does about a request that may or may not have been executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abandoned {
    /// Leaves it be.
    Respect,
    /// Executes it again.
    TakeOver,
}

/// Whether a claim that is alive may be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Live {
    /// It stays.
    Spare,
    /// It goes, and its execution may happen twice.
    Forget,
}

/// What [`Records::begin`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// The claim is the caller's.
    Acquired,
    /// The name stands for another request.
    Mismatch,
    /// This is the reply.
    Replay {
        /// As it was completed.
        reply: Bytes,
        /// Trace of the exchange that executed.
        trace_id: u128,
    },
    /// Executed, but the reply cannot be given again.
    Gone {
        /// Status of that reply.
        status: u16,
        /// Why not.
        why: NotKept,
        /// Trace of the exchange that executed.
        trace_id: u128,
    },
    /// Somebody executes now.
    Busy {
        /// Trace of the exchange that executes.
        trace_id: u128,
    },
    /// It may or may not have been executed.
    Uncertain {
        /// Why nobody knows.
        why: Unknown,
        /// Trace of the exchange that claimed it.
        trace_id: u128,
    },
}

/// What came of an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The reply, encoded by whoever reads it back.
    Done {
        /// Status of the reply, for a store without room for the rest.
        status: u16,
        /// The bytes given back.
        reply: Bytes,
    },
    /// Executed, but the reply cannot be given again.
    Tombstone {
        /// Status of the reply.
        status: u16,
        /// Why not.
        why: NotKept,
    },
    /// It may or may not have been executed.
    Uncertain(Unknown),
}

/// Why a reply cannot be given again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotKept {
    /// Its body is over the bound.
    TooLarge,
    /// It has no end that can be waited for.
    Stream,
    /// It broke off.
    Truncated,
    /// The store had no room.
    StoreFull,
    /// The proxy's memory for bodies was used up.
    Memory,
}

/// Why nobody knows whether it was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// Its lease ran out.
    Lease,
    /// The upstream did not say.
    Upstream,
    /// The proxy stopped.
    Shutdown,
}

impl NotKept {
    /// As written in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Stream => "stream",
            Self::Truncated => "truncated",
            Self::StoreFull => "store_full",
            Self::Memory => "memory",
        }
    }
}

impl Unknown {
    /// As written in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Upstream => "upstream",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What came of [`Records::renew`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewed {
    /// The claim lives on.
    Ok,
    /// There is no record any more. Nothing was written.
    Lost,
    /// The record is somebody else's, or final.
    Stale,
}

/// What came of [`Records::complete`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completed {
    /// It is written, now or by an earlier try.
    Ok,
    /// A tombstone was written: there was no room for the reply.
    Full,
    /// It is written, but fewer replicas than asked said in time that they have it.
    Lagging {
        /// Those that did.
        replicas: u32,
    },
    /// The record is somebody else's. Nothing was written.
    Stale,
}

/// What came of [`Records::release`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// There is no claim of this holder.
    Ok,
    /// The record is somebody else's, or final. It stays.
    Stale,
}

/// What came of [`Records::forget`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgotten {
    /// It is gone.
    Deleted,
    /// There was none.
    Absent,
    /// Somebody executes now; it stays.
    Alive,
}

/// The store did not answer, or not what can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outage {
    /// It was asked and no answer came. What was asked may still happen.
    Timeout,
    /// It was asked, and the connection broke or what came was no answer. What was asked may have happened.
    Unheard(String),
    /// It cannot be reached, or refused. Nothing happened.
    Unavailable(String),
    /// There is no room for one record more.
    Full(Bound),
    /// There is a record, and it cannot be read. It must not count as none.
    Unreadable(String),
    /// Too few replicas have the claim. It was taken back.
    Replicas {
        /// Asked for.
        wanted: u32,
        /// Those that said in time that they have it.
        acknowledged: u32,
    },
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the store did not answer in time"),
            Self::Unheard(why) => write!(f, "the store gave no answer: {why}"),
            Self::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
            Self::Full(Bound::Store) => f.write_str("the store is full"),
            Self::Full(Bound::Principal) => {
                f.write_str("the store is more than half full, and the principal's share is used")
            }
            Self::Full(Bound::Address) => {
                f.write_str("the store is more than half full, and the address's share is used")
            }
            Self::Unreadable(why) => write!(f, "a record cannot be read: {why}"),
            Self::Replicas { wanted, acknowledged } => {
                write!(f, "{acknowledged} of {wanted} replicas have the claim")
            }
        }
    }
}

impl std::error::Error for Outage {}

/// What is known of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// `memory`, `redis`, `redis+cluster` or `redis+sentinel`.
    pub kind: &'static str,
    /// Whether it answered last time.
    pub up: bool,
    /// Whether claims are asked for.
    pub breaker: Breaker,
    /// Why it must not be used although it answers: a sentence for its operator, naming the setting and what was found.
    pub refused: Option<String>,
}

/// Whether claims are asked for after failures; the later, the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Breaker {
    /// All are.
    Closed,
    /// One is, to see whether the store is back.
    HalfOpen,
    /// None is.
    Open,
}

impl Breaker {
    /// As it is written in logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}
