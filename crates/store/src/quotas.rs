//! The port `Quotas`: who has used how much of which policy.
//!
//! All charges of one request go into one call, which charges every one of them or none. A bucket is named by its
//! policy and its key text; nothing configured is stored, so a changed limit applies to the next call.

mod address_debts;
mod fleet;
pub mod gcra;
mod limit;
mod memory;
mod name;
mod overflow;
mod refusals;
pub mod sliding_log;
mod slots;
mod step;
mod table;

pub use address_debts::AddressDebts;
pub use fleet::FleetQuotas;
pub use gcra::Decision;
pub use limit::{Algorithm, BadLimit, Limit, OnStoreError, Sharing, Terms};
pub use memory::MemoryQuotas;
pub use name::hidden;
pub use refusals::{Refusals, Refused, TopRefused};

use crate::records::Breaker;
use arrayvec::ArrayVec;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::meter::{Counter, Gauge};
use vestibule_plugin::{ClientAddress, Soon};

/// Most policies that may meet in one request.
pub const MAX_CHARGES: usize = 8;

/// Bytes that a bucket takes in the table of this process; a sliding log takes more.
pub const BYTES_PER_KEY: u64 = 64;

/// Counts what callers use.
pub trait Quotas: Send + Sync + 'static {
    /// Does as `tuning` says from now on, or says that there is no memory for so many keys. Debts are kept when their
    /// number changes.
    fn tune(&self, tuning: &Tuning) -> Result<(), Outage>;

    /// Decides on all charges of one request: every enforced one is charged, or none is.
    fn take<'a>(&'a self, demand: Demand<'a>) -> Soon<'a, Taken>;

    /// What a bucket holds, without changing it. An unused bucket is a full one.
    fn look<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<Balance, Outage>>;

    /// Empties a bucket of debt.
    fn reset<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<(), Outage>>;

    /// Where the buckets of a limit are.
    fn scope(&self, limit: &Limit) -> Scope;

    /// Buckets held in this process.
    fn keys(&self) -> u64;

    /// What is known of the store, without asking it.
    fn standing(&self) -> Standing;

    /// Says that this process lives, and learns who else does. To be called once a second.
    fn beat(&self) -> Soon<'_, ()>;

    /// The buckets of a policy that this process refused most often, to count and to read. They outlive a reload.
    fn refusals(&self, policy: &str) -> Arc<TopRefused>;
}

/// How a store is used.
#[derive(Clone)]
pub struct Tuning {
    /// Buckets there is room for in this process.
    pub keys: usize,
    /// How long borrowed units may be used.
    pub lease: Duration,
    /// Longest wait for the store, for all of one request.
    pub timeout: Duration,
    /// Where is shown what becomes of what is borrowed.
    pub meters: Meters,
}

/// What a store shows of itself.
#[derive(Clone)]
pub struct Meters {
    /// Borrowed units that were used.
    pub used: Counter,
    /// Borrowed units that went back.
    pub refunded: Counter,
    /// Borrowed units that nobody used before their bucket had refilled.
    pub expired: Counter,
    /// Processes that share the store.
    pub peers: Gauge,
}

/// Whose bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named<'a> {
    /// By key text.
    Text(&'a str),
    /// By the name that [`hidden`] gives it; a store of this process knows none by that.
    Hidden(&'a str),
}

/// Where a bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In this process.
    Process,
    /// In the store, for all proxies.
    Fleet,
}

/// What is known of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether it answered last time.
    pub up: bool,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// Processes that share it, this one included, as last counted.
    pub proxies: u64,
    /// Proxies that use the store under the same namespace with another secret, and so share nothing with this one.
    pub strangers: u64,
}

/// What one request asks for.
pub struct Demand<'a> {
    /// A charge for each policy, in their order; no policy twice.
    pub charges: ArrayVec<Charge<'a>, MAX_CHARGES>,
    /// Who shares a bucket when there is no room for one more.
    pub address: ClientAddress,
}

/// One policy's part of a demand.
#[derive(Clone, Copy)]
pub struct Charge<'a> {
    /// The policy's limit.
    pub limit: &'a Limit,
    /// Key text of the bucket.
    pub key: &'a str,
    /// Units asked for; 0 is never refused and charges nothing.
    pub cost: u64,
    /// Whether a refusal counts.
    pub force: Force,
}

/// Whether a refusal counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Force {
    /// It refuses the request.
    Enforced,
    /// It is only reported. Charged when all enforced policies admit and it would admit itself.
    Shadow,
}

/// What came of a demand.
pub struct Taken {
    /// One for each charge, in their order.
    pub verdicts: ArrayVec<Verdict, MAX_CHARGES>,
    /// Says of shadow charges what the store says of them; until then they are [`Outcome::Spared`].
    pub pending: Option<Pending>,
}

/// Shadow charges that the store was asked about, each with its place. The request need not wait for it.
pub type Pending = Pin<Box<dyn Future<Output = ArrayVec<(usize, Verdict), MAX_CHARGES>> + Send + Sync>>;

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.verdicts, if self.pending.is_some() { " and more to come" } else { "" })
    }
}

/// What one policy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Yes or no.
    pub outcome: Outcome,
    /// Who said so.
    pub source: Source,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Admitted and charged.
    Charged(Left),
    /// It would admit; not charged, as an enforced policy of the same request refused.
    Spared,
    /// Refused; charged by no policy.
    Refused {
        /// Units left; above 0 only when more were asked for.
        remaining: u64,
        /// Nanoseconds until the same demand would be admitted, if nobody else takes any.
        wait_ns: u64,
    },
    /// The store failed and the operator said to admit: nothing was counted.
    Waived,
    /// The store failed and the operator said to refuse.
    Closed,
}

/// What an admission leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Whole units.
    pub remaining: u64,
    /// Nanoseconds until there is one more.
    pub next_ns: u64,
}

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// This process, by the caller's own bucket.
    Local,
    /// This process, by a bucket shared with the caller's network, as there was no room for another.
    Overflow,
    /// This process, by units that it had borrowed.
    Lease,
    /// The store.
    Store,
    /// This process, by what the store said a moment ago.
    Hold,
    /// Whatever the operator chose for when the store fails.
    Fallback,
}

/// What a bucket holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balance {
    /// Whole units left.
    pub remaining: u64,
    /// Nanoseconds until the bucket is full.
    pub debt_ns: u64,
    /// Nanoseconds until one unit is admitted; 0 when one is now.
    pub wait_ns: u64,
}

impl Balance {
    /// What `weigh` says of a bucket.
    fn of(weigh: impl Fn(u64) -> Decision) -> Self {
        let wait_ns = match weigh(1) {
            Decision::Admit { .. } => 0,
            Decision::Refuse { wait_ns, .. } => wait_ns,
        };
        match weigh(0) {
            Decision::Admit { debt_ns, left: Left { remaining, .. } } => Self { remaining, debt_ns, wait_ns },
            // Nothing asked is never refused.
            Decision::Refuse { remaining, wait_ns } => Self { remaining, debt_ns: wait_ns, wait_ns },
        }
    }
}

/// The store did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage(pub String);

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
