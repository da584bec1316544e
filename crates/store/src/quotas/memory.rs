//! Quotas of one process.

use super::overflow::network;
use super::slots::Seat;
use super::step::{Step, alone, clamp, weigh};
use super::table::{Area, Table};
use super::{
    Balance, Charge, Demand, Force, Limit, MAX_CHARGES, Named, Outage, Quotas, Refusals, Scope, Standing, Taken,
    TopRefused, Tuning,
};
use crate::records::Breaker;
use arc_swap::ArcSwap;
use arrayvec::ArrayVec;
use parking_lot::Mutex;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vestibule_plugin::{Clock, Soon};

/// Keys there is room for until [`Quotas::reserve`] says how many are wanted.
const INITIAL_KEYS: usize = 1_024;

/// Quotas that live and die with this process, in a table of fixed size: 64 bytes a key.
pub struct MemoryQuotas {
    clock: Arc<dyn Clock>,
    /// Drawn at start, so that nobody can choose keys that meet in one set.
    seed: SipHasher13,
    table: ArcSwap<Table>,
    resizing: Mutex<()>,
    keys: AtomicU64,
    refusals: Refusals,
}

impl MemoryQuotas {
    /// Empty; takes its time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            seed: SipHasher13::new_with_keys(rand::random(), rand::random()),
            table: ArcSwap::from_pointee(Table::new(INITIAL_KEYS).expect("3 MiB of address space, at start")),
            resizing: Mutex::new(()),
            keys: AtomicU64::new(0),
            refusals: Refusals::default(),
        }
    }

    pub(super) fn decide(&self, demand: &Demand<'_>) -> Taken {
        let now = self.clock.now().0;
        if let [charge] = &*demand.charges {
            let hash = in_family(self.hash(charge.key.as_bytes()), charge.limit);
            if let Some((verdict, was_free)) = alone(&self.table.load(), now, charge, hash) {
                self.hold_more(u64::from(was_free));
                return Taken { verdicts: std::iter::once(verdict).collect(), pending: None };
            }
        }
        let hashes = self.bucket_hashes(&demand.charges);
        // A table is retired only while its successor is put in place, so the second turn is the last but for another
        // reload.
        loop {
            let table = self.table.load();
            if let Some(mut step) = Step::begin(&table, now, &demand.charges, &hashes) {
                step.make_room(&demand.charges, || self.hash(&network(demand.address)));
                let taken = step.conclude(&demand.charges);
                self.hold_more(step.settled);
                return taken;
            }
        }
    }

    /// Makes room for `keys` buckets, or says that there is no memory for them. Debts are kept when the number changes.
    pub fn reserve(&self, keys: usize) -> Result<(), Outage> {
        let _alone = self.resizing.lock();
        let old = self.table.load();
        if old.capacity() != keys {
            let table = Table::new(keys).map_err(|error| Outage(format!("no memory for {keys} keys: {error}")))?;
            let new = Arc::new(table);
            let moved = old.move_into(&new, self.clock.now().0, || self.table.store(Arc::clone(&new)));
            self.keys.store(moved, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts buckets that took a free slot.
    fn hold_more(&self, settled: u64) {
        if settled > 0 {
            self.keys.fetch_add(settled, Ordering::Relaxed);
        }
    }

    fn bucket_hashes(&self, charges: &[Charge<'_>]) -> ArrayVec<u128, MAX_CHARGES> {
        let mut hashes = ArrayVec::new();
        let mut last: Option<(&str, u128)> = None;
        for charge in charges {
            let partition = match last {
                Some((key, hash)) if key == charge.key => hash,
                _ => self.hash(charge.key.as_bytes()),
            };
            last = Some((charge.key, partition));
            hashes.push(in_family(partition, charge.limit));
        }
        hashes
    }

    /// What would come of a demand. Nothing is charged.
    pub(super) fn peek(&self, demand: &Demand<'_>) -> Taken {
        let hashes = self.bucket_hashes(&demand.charges);
        loop {
            let table = self.table.load();
            if let Some(mut step) = Step::begin(&table, self.clock.now().0, &demand.charges, &hashes) {
                step.make_room(&demand.charges, || self.hash(&network(demand.address)));
                return step.look(&demand.charges);
            }
        }
    }

    /// Lets a bucket owe until `due` at least, but no more than it can owe, if there is room for it.
    pub(super) fn owe_until(&self, limit: &Limit, partition: u128, due: u64) {
        let now = self.clock.now().0;
        let due = due.min(now.saturating_add(limit.tolerance_ns()));
        self.seated(limit, partition, |slots, seat, hash| {
            let (at, was_free) = match seat {
                Seat::Held(at) => (at, false),
                Seat::Vacant(at) => (at, slots.settle(at, hash, limit.family() as u64)),
                Seat::Full => return,
            };
            slots.owe_until(at, due, now);
            self.hold_more(u64::from(was_free));
        });
    }

    /// Nanoseconds of debt by what was admitted here, beyond what [`Self::owe_until`] said and what this gave before. It
    /// goes on being owed here.
    pub(super) fn tell_admitted_ns(&self, limit: &Limit, partition: u128) -> u64 {
        let now = self.clock.now().0;
        self.seated(limit, partition, |slots, seat, _| match seat {
            Seat::Held(at) => {
                let admitted_ns = slots.admitted(at, now);
                slots.tell(at, admitted_ns, now);
                admitted_ns
            }
            Seat::Vacant(_) | Seat::Full => 0,
        })
    }

    /// What [`Self::tell_admitted_ns`] gave was not heard, and is to be given again.
    pub(super) fn untell(&self, limit: &Limit, partition: u128, admitted_ns: u64) {
        self.seated(limit, partition, |slots, seat, _| {
            if let Seat::Held(at) = seat {
                slots.untell(at, admitted_ns);
            }
        });
    }

    /// Empties a bucket of debt.
    pub(super) fn forgive(&self, limit: &Limit, partition: u128) {
        self.seated(limit, partition, |slots, seat, _| {
            if let Seat::Held(at) = seat {
                slots.forgive(at);
            }
        });
    }

    /// Leaves a bucket with what was admitted here and is not known elsewhere yet. What else it owed is told anew when it
    /// is needed.
    pub(super) fn forget_before(&self, limit: &Limit, partition: u128) {
        let now = self.clock.now().0;
        self.seated(limit, partition, |slots, seat, _| {
            if let Seat::Held(at) = seat {
                slots.forget_before(at, now);
            }
        });
    }

    /// Charges units that somebody else has admitted.
    pub(super) fn note(&self, limit: &Limit, partition: u128, cost: u64) {
        let now = self.clock.now().0;
        self.seated(limit, partition, |slots, seat, hash| {
            // The name is the partition's already.
            let charge = Charge { limit, key: "", cost, force: Force::Enforced };
            let was_free = super::step::write(slots, seat, hash, &charge, limit.window_ns(), now);
            self.hold_more(u64::from(was_free));
        });
    }

    /// Runs `visit` on the region of a bucket and where it is in there.
    fn seated<T>(
        &self,
        limit: &Limit,
        partition: u128,
        visit: impl FnOnce(&mut super::slots::Slots, Seat, u128) -> T,
    ) -> T {
        let hash = in_family(partition, limit);
        let now = self.clock.now().0;
        loop {
            let table = self.table.load();
            let mut slots = table.lock(table.region(Area::Own(limit.algorithm()), hash));
            if !slots.retired {
                let seat = slots.seat(hash, now, &[]);
                return visit(&mut slots, seat, hash);
            }
        }
    }

    /// A hash that nobody outside can aim.
    pub(super) fn hash(&self, bytes: &[u8]) -> u128 {
        let mut hasher = self.seed;
        hasher.write(bytes);
        hasher.finish128().as_u128()
    }

    /// Runs `visit` on the slot of a bucket, if it has one.
    fn visit<T>(
        &self,
        limit: &Limit,
        key: &str,
        visit: impl FnOnce(&mut super::slots::Slots, usize, u64) -> T,
    ) -> Option<T> {
        let now = self.clock.now().0;
        self.seated(limit, self.hash(key.as_bytes()), |slots, seat, _| match seat {
            Seat::Held(at) => Some(visit(slots, at, now)),
            Seat::Vacant(_) | Seat::Full => None,
        })
    }
}

fn unnamed() -> Outage {
    Outage("this process knows its buckets by key text, such as addr=203.0.113.7, not by hash".to_owned())
}

/// The bucket of `limit` in a partition; never 0, which is a free slot.
pub(super) fn in_family(partition: u128, limit: &Limit) -> u128 {
    (partition ^ limit.family()).max(1)
}

impl Quotas for MemoryQuotas {
    fn tune(&self, tuning: &Tuning) -> Result<(), Outage> {
        tuning.meters.peers.set(1);
        self.reserve(tuning.keys)
    }

    fn take<'a>(&'a self, demand: Demand<'a>) -> Soon<'a, Taken> {
        Soon::Now(self.decide(&demand))
    }

    fn look<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<Balance, Outage>> {
        let Named::Text(key) = key else { return Soon::Now(Err(unnamed())) };
        let balance = self.visit(limit, key, |slots, at, now| {
            clamp(slots, at, limit, now);
            Balance::of(|cost| weigh(slots, Seat::Held(at), limit, cost, now))
        });
        Soon::Now(Ok(balance.unwrap_or(Balance { remaining: limit.burst(), debt_ns: 0, wait_ns: 0 })))
    }

    fn reset<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<(), Outage>> {
        let Named::Text(key) = key else { return Soon::Now(Err(unnamed())) };
        self.visit(limit, key, |slots, at, _| slots.forgive(at));
        Soon::Now(Ok(()))
    }

    fn scope(&self, _: &Limit) -> Scope {
        Scope::Process
    }

    fn standing(&self) -> Standing {
        Standing { up: true, breaker: Breaker::Closed, proxies: 1, strangers: 0 }
    }

    fn beat(&self) -> Soon<'_, ()> {
        Soon::Now(())
    }

    fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    fn refusals(&self, policy: &str) -> Arc<TopRefused> {
        self.refusals.of(policy)
    }
}

#[cfg(test)]
mod tests;
