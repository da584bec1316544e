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

/// Nanoseconds of debt in half the bits: the first seven digits, never more than there were.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Weight(f32);

impl Weight {
    fn of(ns: u64) -> Self {
        let near = ns as f32;
        Self(if near as u64 > ns { near.next_down() } else { near })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made of a u64")]
    fn ns(self) -> u64 {
        self.0 as u64
    }
}

/// A bucket as it is known here.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Lease {
    /// When the debt last seen is gone; of a log when what was refused will be admitted.
    due: u64,
    /// Until when what was refused is refused again.
    held_until: u64,
    /// The least cost that was refused.
    held_cost: u16,
    /// Units that may be used.
    units: u16,
    /// Nanoseconds of debt that each was charged with, as a lease remembers it.
    weight_ns: Weight,
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
    /// Only to give back what cannot be used.
    Return,
}

/// Where units come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    /// Store time in microseconds of their charge.
    pub(super) stamp_us: u64,
    /// Nanoseconds of debt that each was charged with.
    pub(super) weight_ns: u64,
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
    pub(super) fn grant(&self, limit: &Limit) -> Grant {
        let end = self.sent.saturating_add(self.lease_ns);
        Grant { stamp_us: self.stamp_us, weight_ns: limit.emission_ns(), end }
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
        self.units -= u16::try_from(cost).unwrap_or(u16::MAX);
        let Decision::Admit { left, .. } = Gcra::of(limit).decide(self.due.saturating_sub(now), 0) else { return None };
        let remaining = (left.remaining + live - cost).min(limit.burst());
        Some((Left { remaining, next_ns: left.next_ns }, self.grant()))
    }

    /// Where its units come from.
    fn grant(&self) -> Grant {
        Grant { stamp_us: self.stamp_us, weight_ns: self.weight_ns.ns(), end: self.end }
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
        if limit.sharing() != Sharing::Leased || u32::from(self.units) > LOW || now >= self.end {
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

    /// Takes in units that can be used from here, and says which cannot: they are too old, or more than a lease has. Units
    /// that ran out here make room for fresh ones.
    pub(super) fn take_in(&mut self, now: u64, units: u64, grant: Grant) -> Option<(u64, Grant)> {
        if units == 0 {
            return None;
        }
        if now >= grant.end {
            return Some((units, grant));
        }
        if self.units > 0 && now >= self.end {
            let (old, older) = (u64::from(self.units), self.grant());
            self.units = 0;
            // What is more than a lease has goes with the older units, for less.
            let more = units.saturating_sub(MAX_LEASE);
            self.keep(units - more, grant);
            return Some((old + more, earlier(older, grant)));
        }
        let room = MAX_LEASE.saturating_sub(self.units.into());
        self.keep(units.min(room), grant);
        (units > room).then(|| (units - room, grant))
    }

    /// Keeps units, to be used or to go back. Those of several grants count as of the first, which gives back less and
    /// ends sooner, never more or later.
    pub(super) fn keep(&mut self, units: u64, grant: Grant) {
        if units == 0 {
            return;
        }
        let grant = if self.units == 0 { grant } else { earlier(self.grant(), grant) };
        (self.stamp_us, self.weight_ns, self.end) = (grant.stamp_us, Weight::of(grant.weight_ns), grant.end);
        self.units = self.units.saturating_add(u16::try_from(units).unwrap_or(u16::MAX));
    }

    /// What is said and asked of the bucket in a call that leaves now. Unused units leave with it, unless it is one that
    /// leaves them here to be used.
    pub(super) fn ask(
        &mut self,
        aim: Aim,
        limit: &Limit,
        now: u64,
        epoch: u16,
        lease_ns: u64,
        proxies: u64,
    ) -> (BucketAsk, Unused) {
        let goes_back = self.units > 0
            && match aim {
                Aim::Fill => true,
                Aim::TopUp => false,
                Aim::Return => self.live(limit, now) == 0,
            };
        let refund = || Refund::of(limit, self.units.into(), self.weight_ns.ns(), self.stamp_us);
        let refunds = goes_back.then(refund).into_iter().collect();
        let unused = if goes_back { self.unused(limit, now, lease_ns) } else { Unused::default() };
        self.units = if goes_back { 0 } else { self.units };
        let debt_ns = self.due.saturating_sub(now);
        let is_debt = limit.algorithm() == Algorithm::Gcra;
        let owed = (is_debt && self.epoch != epoch && debt_ns > 0).then_some(Owed { debt_ns, seen_us: self.stamp_us });
        let most = match limit.sharing() {
            Sharing::Leased if aim == Aim::TopUp => MAX_LEASE.saturating_sub(self.units.into()),
            Sharing::Leased if aim == Aim::Fill => self.most(now, lease_ns),
            Sharing::Leased | Sharing::Strict | Sharing::Local => 0,
        };
        let (limit, seen_us, is_asked) = (limit.clone(), self.stamp_us, aim != Aim::Return);
        (BucketAsk { limit, refunds, owed, seen_us, carry_ns: 0, is_asked, most, proxies }, unused)
    }

    fn unused(&self, limit: &Limit, now: u64, lease_ns: u64) -> Unused {
        if limit.sharing() != Sharing::Leased || self.units == 0 {
            return Unused::default();
        }
        let since_grant = now.saturating_sub(self.end.saturating_sub(lease_ns));
        let units = self.units.into();
        if u64::from(units).saturating_mul(limit.emission_ns()) > since_grant {
            Unused { refunded: units, expired: 0 }
        } else {
            Unused { refunded: 0, expired: units }
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

    /// Learns what the bucket owes, and takes in what was lent; says what of it cannot be used.
    pub(super) fn learn(&mut self, told: &Told, limit: &Limit, debt_ns: u64, lent: u64) -> Option<(u64, Grant)> {
        self.due = told.now.saturating_add(debt_ns);
        self.epoch = told.epoch;
        self.held_until = 0;
        if self.units == 0 {
            self.stamp_us = told.stamp_us;
        }
        self.take_in(told.now, lent, told.grant(limit))
    }

    /// Learns that `cost` units are refused for `wait_ns`, with `remaining` left.
    pub(super) fn hold(&mut self, limit: &Limit, now: u64, cost: u64, wait_ns: u64) {
        let until = now.saturating_add(wait_ns.clamp(MIN_HOLD_NS, MAX_HOLD_NS));
        // Who asks for more than there is room for asks each time.
        let Ok(cost) = u16::try_from(cost) else { return };
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
            u64::from(self.units) | u64::from(self.held_cost) << 16 | u64::from(self.weight_ns.0.to_bits()) << 32,
            self.end,
            u64::from(self.rate.to_bits()) | u64::from(self.rate_at_us) << 32,
        ]
    }

    pub(super) fn from_words([due, held_until, seen, units, end, rate]: Words) -> Self {
        Self {
            due,
            held_until,
            held_cost: (units >> 16) as u16,
            units: units as u16,
            weight_ns: Weight(f32::from_bits((units >> 32) as u32)),
            end,
            stamp_us: seen & ((1 << STAMP_BITS) - 1),
            epoch: (seen >> STAMP_BITS) as u16,
            rate: f32::from_bits(rate as u32),
            rate_at_us: (rate >> 32) as u32,
        }
    }
}

/// What holds for units of both grants: they give back less and end sooner, never more or later.
fn earlier(one: Grant, other: Grant) -> Grant {
    Grant {
        stamp_us: one.stamp_us.min(other.stamp_us),
        weight_ns: one.weight_ns.min(other.weight_ns),
        end: one.end.min(other.end),
    }
}

/// Whole microseconds, cut off: they are only subtracted from each other.
fn micros(ns: u64) -> u32 {
    (ns / 1_000) as u32
}

#[cfg(test)]
mod tests;
