//! A policy as the store sees it.

use crate::quotas::sliding_log::MAX_LOG;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

/// How units are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// Debt that drains at a steady pace, with a burst.
    Gcra,
    /// The times of the last units; never more than the quota in any window.
    SlidingLog,
}

impl Algorithm {
    /// As written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::SlidingLog => "sliding_log",
        }
    }
}

/// How a policy is shared through the store. A memory store has nobody to share with: every policy is local to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Each process alone.
    Local,
    /// Every request asks the store.
    Strict,
    /// Units are borrowed in advance.
    Leased,
}

/// What decides while the store does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnStoreError {
    /// This process, with its share of the limit.
    LocalShare,
    /// Nobody: the request is admitted.
    Open,
    /// Nobody: the request is refused.
    Closed,
}

/// What a [`Limit`] is made of.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Its policy's name.
    pub name: &'a str,
    /// How its policy's key is written; a bucket of one key is never one of another.
    pub key: &'a str,
    /// How units are counted.
    pub algorithm: Algorithm,
    /// Units a window.
    pub quota: u64,
    /// The window; whole seconds.
    pub window: Duration,
    /// Units at once; a sliding log has the quota.
    pub burst: u64,
    /// How it is shared.
    pub sharing: Sharing,
    /// What decides while the store does not answer.
    pub on_store_error: OnStoreError,
}

/// Why a [`Limit`] cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadLimit {
    /// A quota of 0.
    NoQuota,
    /// A quota, a window or a burst of more than 15 digits: RFC 9651 section 3.3.1 cannot write it.
    TooLong,
    /// A window under one second, or not in whole seconds.
    Window,
    /// More than one unit a microsecond.
    TooFast,
    /// A burst of 0.
    NoBurst,
    /// A full bucket would take longer than 45 days to fill again, or a log is kept for longer.
    TooSlow,
    /// A sliding log of more than [`MAX_LOG`] units.
    LogTooLong,
}

/// Nanoseconds of debt that a full burst may weigh: 45 days.
const MAX_TOLERANCE_NS: u128 = 45 * 86_400 * 1_000_000_000;
/// Least nanoseconds a unit weighs.
const MIN_EMISSION_NS: u128 = 1_000;
/// Largest Integer of RFC 9651.
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// The limit of one policy: `quota` units a window, at most `burst` at once.
///
/// Every product that a decision takes fits 64 bits, because a burst weighs 45 days at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    name: Arc<str>,
    algorithm: Algorithm,
    quota: u64,
    window_s: u64,
    burst: u64,
    emission_ns: u64,
    sharing: Sharing,
    on_store_error: OnStoreError,
    family: u128,
}

impl Limit {
    /// From its terms, or everything that is wrong with them.
    pub fn new(terms: &Terms<'_>) -> Result<Self, Vec<BadLimit>> {
        let window_s = terms.window.as_secs();
        let window_ns = terms.window.as_nanos();
        let quota = u128::from(terms.quota.max(1));
        let mut wrong = Vec::new();
        let mut refuse = |when: bool, why| {
            if when {
                wrong.push(why);
            }
        };
        refuse(terms.quota == 0, BadLimit::NoQuota);
        refuse(terms.burst == 0 && terms.quota > 0, BadLimit::NoBurst);
        refuse(terms.quota.max(window_s).max(terms.burst) > MAX_INTEGER, BadLimit::TooLong);
        let whole = window_s > 0 && terms.window.subsec_nanos() == 0;
        refuse(!whole, BadLimit::Window);
        refuse(whole && terms.quota > 0 && window_ns < quota * MIN_EMISSION_NS, BadLimit::TooFast);
        // Divided last: `burst × w/q` is a fraction, and rounding must not decide.
        let slow = terms.quota > 0 && u128::from(terms.burst) * window_ns > MAX_TOLERANCE_NS * quota;
        refuse(slow, BadLimit::TooSlow);
        refuse(terms.algorithm == Algorithm::SlidingLog && terms.quota > MAX_LOG as u64, BadLimit::LogTooLong);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            name: terms.name.into(),
            algorithm: terms.algorithm,
            quota: terms.quota,
            window_s,
            burst: terms.burst,
            emission_ns: u64::try_from(window_ns.div_ceil(quota)).unwrap_or(u64::MAX),
            sharing: terms.sharing,
            on_store_error: terms.on_store_error,
            family: family(terms),
        })
    }

    /// Its policy's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
    /// How units are counted.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// Units a window.
    pub fn quota(&self) -> u64 {
        self.quota
    }
    /// The window in seconds.
    pub fn window_s(&self) -> u64 {
        self.window_s
    }
    /// The window in nanoseconds; saturates at 584 years.
    pub fn window_ns(&self) -> u64 {
        self.window_s.saturating_mul(1_000_000_000)
    }
    /// Units at once.
    pub fn burst(&self) -> u64 {
        self.burst
    }
    /// Nanoseconds of debt that one unit weighs, rounded up.
    pub fn emission_ns(&self) -> u64 {
        self.emission_ns
    }
    /// Nanoseconds of debt that a bucket carries at most.
    pub fn tolerance_ns(&self) -> u64 {
        self.burst.saturating_mul(self.emission_ns)
    }
    /// How it is shared.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }
    /// What decides while the store does not answer.
    pub fn on_store_error(&self) -> OnStoreError {
        self.on_store_error
    }
    /// What one of `proxies` admits while they cannot ask each other: the same tolerance in time, and a share of the units
    /// in it. Its buckets are not those of the whole limit.
    #[must_use]
    pub(crate) fn share(&self, proxies: u64) -> Self {
        let proxies = proxies.max(1);
        Self {
            quota: self.quota.div_ceil(proxies),
            burst: self.burst.div_ceil(proxies),
            emission_ns: self.emission_ns.saturating_mul(proxies),
            sharing: Sharing::Local,
            family: !self.family,
            ..self.clone()
        }
    }
    /// 128 bits that tell its buckets from those of other policies, and of this one with another key or algorithm.
    pub(crate) fn family(&self) -> u128 {
        self.family
    }
}

/// Not secret: policies are the operator's.
fn family(terms: &Terms<'_>) -> u128 {
    let mut hasher = SipHasher13::new();
    for part in [terms.name, terms.algorithm.as_str(), terms.key] {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    hasher.finish128().as_u128()
}
