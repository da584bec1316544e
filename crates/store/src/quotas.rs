//! The port `Quotas`: who has used how much of which policy.
//!
//! All charges of one request go into one call, which charges every one of them or none. A bucket is named by its
//! policy and its key text; nothing configured is stored, so a changed limit applies to the next call.

pub mod gcra;
mod limit;
mod memory;
mod overflow;
mod refusals;
pub mod sliding_log;
mod slots;
mod step;
mod table;

pub use gcra::Decision;
pub use limit::{Algorithm, BadLimit, Limit, OnStoreError, Sharing, Terms};
pub use memory::MemoryQuotas;
pub use refusals::{Refusals, Refused, TopRefused};

use arrayvec::ArrayVec;
use std::fmt;
use std::sync::Arc;
use vestibule_plugin::{ClientAddress, Soon};

/// Most policies that may meet in one request.
pub const MAX_CHARGES: usize = 8;

/// Bytes that a bucket takes in the table of this process; a sliding log takes more.
pub const BYTES_PER_KEY: u64 = 64;

/// Counts what callers use.
pub trait Quotas: Send + Sync + 'static {
    /// Makes room for `keys` buckets in this process, or says that there is no memory for them. Debts are kept when the
    /// number changes.
    fn reserve(&self, keys: usize) -> Result<(), Outage>;

    /// Decides on all charges of one request: every enforced one is charged, or none is.
    fn take<'a>(&'a self, demand: Demand<'a>) -> Soon<'a, Taken>;

    /// What a bucket holds, without changing it. An unused bucket is a full one.
    fn look<'a>(&'a self, limit: &'a Limit, key: &'a str) -> Soon<'a, Result<Balance, Outage>>;

    /// Empties a bucket of debt.
    fn reset<'a>(&'a self, limit: &'a Limit, key: &'a str) -> Soon<'a, Result<(), Outage>>;

    /// Buckets held in this process.
    fn keys(&self) -> u64;

    /// The buckets of a policy that this process refused most often, to count and to read. They outlive a reload.
    fn refusals(&self, policy: &str) -> Arc<TopRefused>;
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
#[derive(Debug)]
pub struct Taken {
    /// One for each charge, in their order.
    pub verdicts: ArrayVec<Verdict, MAX_CHARGES>,
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

/// The store did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage(pub String);

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
