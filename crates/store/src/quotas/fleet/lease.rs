//! What one proxy knows of one shared bucket: units it may use without asking, and what it was told last.
//!
//! Every unit in it was charged in the store before. Values in, values out; times are nanoseconds on the proxy's own
//! clock unless they say that they are the store's.

use super::round::{BucketAsk, MAX_LEASE, Owed, Refund};
use crate::quotas::gcra::{Decision, Gcra};
use crate::quotas::{Algorithm, Left, Limit, Sharing};

/// Time constant of the rate of units asked for.
const RATE_NS: f32 = 100e6;
/// A refusal is believed for at least this long, so that an exhausted bucket costs at most 200 refused calls a second.
const MIN_HOLD_NS: u64 = 5_000_000;
/// And for at most this long, so that a reset elsewhere shows.
const MAX_HOLD_NS: u64 = 1_000_000_000;
/// With this many units or fewer more are fetched, if they will be used up. At 10,000 requests a second and a round trip
/// of half a millisecond nobody has to wait then.
const LOW: u32 = MAX_LEASE as u32 / 4;
/// And if the bucket has this many for every proxy: where units are scarce, those that nobody waits for are left to others.
const PLENTY: u64 = 2 * MAX_LEASE;
/// Bits of a word that hold a store time in microseconds: until the year 2112. The others hold an epoch.
const STAMP_BITS: u32 = 52;
/// Bits of an epoch.
pub(super) const EPOCH_BITS: u32 = u64::BITS - STAMP_BITS;

/// Words of a slot that hold one.
pub(super) type Words = [u64; 6];

/// A bucket as it is known here.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Lease {
    /// When the debt last seen is gone; of a log when what was refused will be admitted.
    due: u64,
    /// Until when what was refused is refused again.
    held_until: u64,
    /// The least cost that was refused.
    held_cost: u32,
    /// Units that may be used.
    units: u32,
    /// Until when they may be used.
    end: u64,
    /// Store time in microseconds when it was last seen, of leased units when they were granted.
    stamp_us: u64,
    /// Which of the store's lives that was.
    epoch: u16,
    /// Units asked for, a second.
    rate: f32,
    /// When it was computed, in microseconds, cut off.
    rate_at_us: u32,
}

/// What is known without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// There are units; they are used now.
    Used(Left, Grant),
    /// It was refused a moment ago.
    Held { remaining: u64, wait_ns: u64 },
    /// Only the store can tell.
    Nothing,
}

/// What became of units that were not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Unused {
    /// Units that go back and still count.
    pub(super) refunded: u32,
    /// Units that the bucket has refilled meanwhile.
    pub(super) expired: u32,
}

/// Why the store is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aim {
    /// There are no units for those who wait.
    Fill,
    /// There will soon be none.
    TopUp,
}

/// Where units come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    /// Store time in microseconds of their charge.
    pub(super) stamp_us: u64,
    /// When they may no longer be used.
    pub(super) end: u64,
}

/// When a call was made and what it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// When the call left.
    pub(super) sent: u64,
    /// When its answer came.
    pub(super) now: u64,
    /// Store time in microseconds.
    pub(super) stamp_us: u64,
    /// The store's life that it was in.
    pub(super) epoch: u16,
    /// Longest use of a lease.
    pub(super) lease_ns: u64,
}

impl Told {
    /// Of the units that it granted. Their use ends by when the call left, so that a slow answer shortens it.
    pub(super) fn grant(&self) -> Grant {
        Grant { stamp_us: self.stamp_us, end: self.sent.saturating_add(self.lease_ns) }
    }
}

impl Lease {
    /// Notes that `cost` units are asked for, whatever comes of it.
    pub(super) fn note(&mut self, now: u64, cost: u64) {
        let at_us = micros(now);
        let passed = at_us.wrapping_sub(self.rate_at_us) as f32 * 1e3;
        self.rate = self.rate * (-passed / RATE_NS).exp() + cost as f32 * (1e9 / RATE_NS);
        self.rate_at_us = at_us;
    }

    /// Whether `cost` units were refused a moment ago: how many are left, and how long that lasts.
    pub(super) fn held(&self, limit: &Limit, now: u64, cost: u64) -> Option<(u64, u64)> {
        // Units that came back since then may be used.
        let live = self.live(limit, now);
        if now >= self.held_until || cost < u64::from(self.held_cost) || cost <= live {
            return None;
        }
        let hold_ns = self.held_until - now;
        if limit.algorithm() == Algorithm::SlidingLog {
            return Some((0, self.due.saturating_sub(now).max(hold_ns.min(MIN_HOLD_NS))));
        }
        Some(match Gcra::of(limit).decide(self.due.saturating_sub(now), cost) {
            Decision::Refuse { remaining, wait_ns } => {
                ((remaining + live).min(cost - 1), wait_ns.max(hold_ns.min(MIN_HOLD_NS)))
            }
            // The least time that a refusal lasts is still running.
            Decision::Admit { .. } => (live, hold_ns),
        })
    }

    /// Uses units, if there are enough.
    pub(super) fn draw(&mut self, limit: &Limit, now: u64, cost: u64) -> Option<(Left, Grant)> {
        let live = self.live(limit, now);
        if limit.sharing() != Sharing::Leased || cost > live || now >= self.end {
            return None;
        }
        self.units -= u32::try_from(cost).unwrap_or(u32::MAX);
        let Decision::Admit { left, .. } = Gcra::of(limit).decide(self.due.saturating_sub(now), 0) else { return None };
        let remaining = (left.remaining + live - cost).min(limit.burst());
        Some((Left { remaining, next_ns: left.next_ns }, Grant { stamp_us: self.stamp_us, end: self.end }))
    }

    /// What is known of `cost` units.
    pub(super) fn know(&mut self, limit: &Limit, now: u64, cost: u64) -> Known {
        self.note(now, cost);
        if let Some((remaining, wait_ns)) = self.held(limit, now, cost) {
            return Known::Held { remaining, wait_ns };
        }
        self.draw(limit, now, cost).map_or(Known::Nothing, |(left, grant)| Known::Used(left, grant))
    }

    /// Whether more units should be fetched before somebody waits for them. Only where a whole lease will be used up by
    /// the end of the one that is running: what is added ends with it.
    pub(super) fn runs_low(&self, limit: &Limit, now: u64, proxies: u64) -> bool {
        if limit.sharing() != Sharing::Leased || self.units > LOW || now >= self.end {
            return false;
        }
        let expected = self.rate * ((self.end - now) as f32 / 1e9);
        let owed_ns = self.due.saturating_sub(now);
        let available = limit.tolerance_ns().saturating_sub(owed_ns) / limit.emission_ns();
        expected >= MAX_LEASE as f32 && available / proxies.max(1) >= PLENTY
    }

    /// Units that may be used. Those of a limit that lends nothing only wait to go back.
    fn live(&self, limit: &Limit, now: u64) -> u64 {
        if limit.sharing() == Sharing::Leased && now < self.end { self.units.into() } else { 0 }
    }

    /// Takes in units that were granted. Those of several grants count as of the first, which gives back less and ends
    /// sooner, never more or later.
    pub(super) fn take_in(&mut self, units: u64, grant: Grant) {
        if units == 0 {
            return;
        }
        if self.units == 0 {
            (self.stamp_us, self.end) = (grant.stamp_us, grant.end);
        } else {
            (self.stamp_us, self.end) = (self.stamp_us.min(grant.stamp_us), self.end.min(grant.end));
        }
        self.units = self.units.saturating_add(u32::try_from(units).unwrap_or(u32::MAX));
    }

    /// What is said and asked of the bucket in a call that leaves now. Unused units leave with one that fills it.
    pub(super) fn ask(
        &mut self,
        aim: Aim,
        limit: &Limit,
        now: u64,
        epoch: u16,
        lease_ns: u64,
        proxies: u64,
    ) -> (BucketAsk, Unused) {
        let goes_back = aim == Aim::Fill && self.units > 0;
        let refund = goes_back.then_some(Refund { units: self.units, stamp_us: self.stamp_us });
        let unused = if goes_back { self.unused(limit, now, lease_ns) } else { Unused::default() };
        self.units = if goes_back { 0 } else { self.units };
        let debt_ns = self.due.saturating_sub(now);
        let is_debt = limit.algorithm() == Algorithm::Gcra;
        let owed = (is_debt && self.epoch != epoch && debt_ns > 0).then_some(Owed { debt_ns, seen_us: self.stamp_us });
        let most = match limit.sharing() {
            Sharing::Leased if aim == Aim::TopUp => MAX_LEASE.saturating_sub(self.units.into()),
            Sharing::Leased => self.most(now, lease_ns),
            Sharing::Strict | Sharing::Local => 0,
        };
        (BucketAsk { limit: limit.clone(), refund, owed, seen_us: self.stamp_us, carry_ns: 0, most, proxies }, unused)
    }

    fn unused(&self, limit: &Limit, now: u64, lease_ns: u64) -> Unused {
        if limit.sharing() != Sharing::Leased || self.units == 0 {
            return Unused::default();
        }
        let since_grant = now.saturating_sub(self.end.saturating_sub(lease_ns));
        if u64::from(self.units).saturating_mul(limit.emission_ns()) > since_grant {
            Unused { refunded: self.units, expired: 0 }
        } else {
            Unused { refunded: 0, expired: self.units }
        }
    }

    /// Units that will be asked for during a lease, 1 to 32.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 32, rounded down")]
    fn most(&self, now: u64, lease_ns: u64) -> u64 {
        let passed = micros(now).wrapping_sub(self.rate_at_us) as f32 * 1e3;
        let rate = self.rate * (-passed / RATE_NS).exp();
        let expected = rate * (lease_ns as f32 / 1e9);
        (expected.clamp(0.0, MAX_LEASE as f32) as u64).max(1)
    }

    /// Learns what the bucket owes, and takes in what was lent.
    pub(super) fn learn(&mut self, told: &Told, debt_ns: u64, lent: u64) {
        self.due = told.now.saturating_add(debt_ns);
        self.epoch = told.epoch;
        self.held_until = 0;
        if self.units == 0 {
            self.stamp_us = told.stamp_us;
        }
        self.take_in(lent, told.grant());
    }

    /// Learns that `cost` units are refused for `wait_ns`, with `remaining` left.
    pub(super) fn hold(&mut self, limit: &Limit, now: u64, cost: u64, wait_ns: u64) {
        let until = now.saturating_add(wait_ns.clamp(MIN_HOLD_NS, MAX_HOLD_NS));
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        if now >= self.held_until || cost < self.held_cost {
            (self.held_cost, self.held_until) = (cost, until);
            if limit.algorithm() == Algorithm::SlidingLog {
                self.due = now.saturating_add(wait_ns);
            }
        }
    }

    /// When the debt last seen is gone.
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// Forgets what it owes: it was reset.
    pub(super) fn forgive(&mut self) {
        (self.due, self.held_until) = (0, 0);
    }

    pub(super) fn words(&self) -> Words {
        [
            self.due,
            self.held_until,
            self.stamp_us & ((1 << STAMP_BITS) - 1) | u64::from(self.epoch) << STAMP_BITS,
            u64::from(self.units) | u64::from(self.held_cost) << 32,
            self.end,
            u64::from(self.rate.to_bits()) | u64::from(self.rate_at_us) << 32,
        ]
    }

    pub(super) fn from_words([due, held_until, seen, units, end, rate]: Words) -> Self {
        Self {
            due,
            held_until,
            held_cost: (units >> 32) as u32,
            units: units as u32,
            end,
            stamp_us: seen & ((1 << STAMP_BITS) - 1),
            epoch: (seen >> STAMP_BITS) as u16,
            rate: f32::from_bits(rate as u32),
            rate_at_us: (rate >> 32) as u32,
        }
    }
}

/// Whole microseconds, cut off: they are only subtracted from each other.
fn micros(ns: u64) -> u32 {
    (ns / 1_000) as u32
}

#[cfg(test)]
mod tests;
