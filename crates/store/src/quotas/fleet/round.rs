//! One call about the buckets of one partition: what a proxy asks, and what follows from what the buckets held.
//!
//! The store runs the same rules in `take.lua` and answers only with what each bucket held before and after. Here they
//! are played again, so that an answer that does not add up is noticed. Values in, values out.

use crate::quotas::gcra::{Decision, Gcra};
use crate::quotas::sliding_log::{self, SlidingLog};
use crate::quotas::{Algorithm, Limit, MAX_CHARGES};
use arrayvec::ArrayVec;

/// Most units that a proxy borrows of one bucket beyond what is waiting for it.
pub(super) const MAX_LEASE: u64 = 32;

/// What is said and asked of one bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketAsk {
    pub(super) limit: Limit,
    /// What goes back: of debt one, of a log one for each time.
    pub(super) refunds: Vec<Refund>,
    /// What it owed when it was last seen, where the store may have lost it.
    pub(super) owed: Option<Owed>,
    /// Store time in microseconds when it was last seen.
    pub(super) seen_us: u64,
    /// Nanoseconds of debt that this proxy adds for what was admitted without the store.
    pub(super) carry_ns: u64,
    /// Whether a request asks it. One to which something only goes back keeps its debt, whatever its limit was when that
    /// was charged.
    pub(super) is_asked: bool,
    /// Most units to lend, those that requests wait for included; 0 lends none.
    pub(super) most: u64,
    /// Proxies that what is left is divided among.
    pub(super) proxies: u64,
}

/// Units that were granted and not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refund {
    /// Nanoseconds of debt that they were charged with, or units of a log.
    pub(super) amount: u64,
    /// Store time of the grant in microseconds; of several the first.
    pub(super) stamp_us: u64,
}

impl Refund {
    /// Of `units` that weighed `weight_ns` each when they were charged. Where the limit has changed since then, they are
    /// credited with the lesser weight: what was borrowed under a loose limit must not empty a bucket of a strict one.
    pub(super) fn of(limit: &Limit, units: u64, weight_ns: u64, stamp_us: u64) -> Self {
        let amount = match limit.algorithm() {
            Algorithm::Gcra => units.saturating_mul(weight_ns.min(limit.emission_ns())),
            Algorithm::SlidingLog => units,
        };
        Self { amount, stamp_us }
    }

    /// Puts one more to those of a bucket. A log finds its units by their time. A bucket has drained only once since the
    /// first of them was charged, so that counting all as of then credits no more than it owes.
    pub(super) fn join(self, refunds: &mut Vec<Self>, algorithm: Algorithm) {
        let joins = |known: &&mut Self| algorithm == Algorithm::Gcra || known.stamp_us == self.stamp_us;
        match refunds.iter_mut().find(joins) {
            Some(known) => {
                known.amount = known.amount.saturating_add(self.amount);
                known.stamp_us = known.stamp_us.min(self.stamp_us);
            }
            None => refunds.push(self),
        }
    }
}

/// What a bucket is known to owe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owed {
    /// By now.
    pub(super) debt_ns: u64,
    /// Store time in microseconds when it was seen: a reset after that undoes it.
    pub(super) seen_us: u64,
}

/// Units of one bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Index of the bucket.
    pub(super) bucket: usize,
    pub(super) cost: u64,
}

/// Equal requests in a row, each of which gets all of its parts or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) count: usize,
    pub(super) parts: ArrayVec<Part, MAX_CHARGES>,
}

/// What a bucket holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each bucket of a call, and most are not logs")]
pub(super) enum Holding {
    /// Nanoseconds of debt by now.
    Debt(u64),
    /// The times of its units, and the time now.
    Log { words: sliding_log::Words, now_ns: u64 },
}

/// What every part of a request comes to. The request is admitted when no part refuses.
pub(super) type Decisions = ArrayVec<Decision, MAX_CHARGES>;

/// What comes of a call.
#[derive(Debug)]
pub(super) struct Played {
    /// For each entry, for each of its requests.
    pub(super) requests: Vec<Vec<Decisions>>,
    /// For each bucket, the units lent beyond those that requests waited for.
    pub(super) lent: Vec<u64>,
}

/// Whether no part refuses.
pub(super) fn admits(decisions: &Decisions) -> bool {
    decisions.iter().all(|decision| matches!(decision, Decision::Admit { .. }))
}

/// Decides on all requests in their order, then lends. `holdings`, one for each bucket, end as what is left behind.
pub(super) fn play(asks: &[BucketAsk], entries: &[Entry], holdings: &mut [Holding]) -> Played {
    let before = holdings.to_vec();
    let mut tallies = vec![Tally::default(); asks.len()];
    let mut requests = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut decided = Vec::with_capacity(entry.count);
        for _ in 0..entry.count {
            let decisions: Decisions = entry
                .parts
                .iter()
                .map(|part| weigh(&asks[part.bucket].limit, &holdings[part.bucket], part.cost))
                .collect();
            let admitted = admits(&decisions);
            for (part, decision) in entry.parts.iter().zip(&decisions) {
                let tally = &mut tallies[part.bucket];
                tally.asked = true;
                match *decision {
                    Decision::Refuse { .. } => tally.refused = true,
                    Decision::Admit { debt_ns, .. } if admitted => {
                        charge(&mut holdings[part.bucket], part.cost, debt_ns);
                        tally.units += part.cost;
                    }
                    Decision::Admit { .. } => {}
                }
            }
            decided.push(decisions);
        }
        requests.push(decided);
    }
    let lent = asks.iter().zip(&before).zip(holdings).zip(&tallies);
    let lent = lent.map(|(((ask, before), holding), tally)| lend(ask, before, holding, tally)).collect();
    Played { requests, lent }
}

/// What the requests of a call did to a bucket.
#[derive(Clone, Copy, Default)]
struct Tally {
    asked: bool,
    refused: bool,
    units: u64,
}

pub(super) fn weigh(limit: &Limit, holding: &Holding, cost: u64) -> Decision {
    match holding {
        Holding::Debt(debt_ns) => {
            // What was carried to a full bucket is waited for as well.
            let beyond_ns = debt_ns.saturating_sub(limit.tolerance_ns());
            match Gcra::of(limit).decide(*debt_ns, cost) {
                Decision::Admit { debt_ns, left } => Decision::Admit { debt_ns: debt_ns + beyond_ns, left },
                Decision::Refuse { remaining, wait_ns } => Decision::Refuse { remaining, wait_ns: wait_ns + beyond_ns },
            }
        }
        Holding::Log { words, now_ns } => SlidingLog::of(limit).decide(words, *now_ns, cost),
    }
}

fn charge(holding: &mut Holding, cost: u64, debt_after_ns: u64) {
    match holding {
        Holding::Debt(debt_ns) => *debt_ns = debt_after_ns,
        Holding::Log { words, now_ns } => sliding_log::write(words, *now_ns, cost),
    }
}

/// Who was refused needs what is left more than somebody who has not come yet.
fn lend(ask: &BucketAsk, before: &Holding, holding: &mut Holding, tally: &Tally) -> u64 {
    let (Holding::Debt(before_ns), Holding::Debt(debt_ns)) = (before, holding) else { return 0 };
    if ask.most == 0 || !tally.asked || tally.refused {
        return 0;
    }
    let (tolerance_ns, emission_ns) = (ask.limit.tolerance_ns(), ask.limit.emission_ns());
    let available = tolerance_ns.saturating_sub(*before_ns) / emission_ns;
    let wanted = ask.most.min(available / ask.proxies.max(1)).max(1);
    let units = wanted.saturating_sub(tally.units).min(tolerance_ns.saturating_sub(*debt_ns) / emission_ns);
    *debt_ns += units * emission_ns;
    units
}

#[cfg(test)]
mod tests;
