//! Units that were charged and are not used: into the lease while they can be used from there, else to the store.

use super::Fleet;
use super::lease::Grant;
use super::queue::Back;
use super::round::Refund;
use crate::quotas::memory::in_family;
use crate::quotas::{Algorithm, Limit, Sharing};
use std::sync::Arc;

/// Units that were charged for a request. They go back unless it is admitted.
pub(super) struct Charged {
    fleet: Arc<Fleet>,
    partition: u128,
    h: Arc<str>,
    units: Vec<(Limit, u64, Grant)>,
}

impl Charged {
    /// The request is admitted.
    pub(super) fn keep(mut self) {
        for (limit, units, _) in std::mem::take(&mut self.units) {
            // In case this proxy has to decide alone.
            if limit.algorithm() == Algorithm::SlidingLog {
                self.fleet.memory.note(&limit.share(self.fleet.proxies()), self.partition, units);
            }
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        for (limit, units, grant) in std::mem::take(&mut self.units) {
            self.fleet.give_back(self.partition, || Arc::clone(&self.h), &limit, units, grant);
        }
    }
}

impl Fleet {
    pub(super) fn charged(self: &Arc<Self>, partition: u128, h: &Arc<str>, units: Vec<(Limit, u64, Grant)>) -> Charged {
        Charged { fleet: Arc::clone(self), partition, h: Arc::clone(h), units }
    }

    /// Gives back units that a request did not use: into the lease if they can be used from there, else to the store. Not
    /// to be called with the partition's queue locked.
    pub(super) fn give_back(
        self: &Arc<Self>,
        partition: u128,
        h: impl FnOnce() -> Arc<str>,
        limit: &Limit,
        units: u64,
        grant: Grant,
    ) {
        let is_lent = limit.sharing() == Sharing::Leased && limit.algorithm() == Algorithm::Gcra;
        let left = if is_lent {
            let now = self.clock.now().0;
            self.leases.with(in_family(partition, limit), now, |lease| lease.take_in(now, units, grant))
        } else {
            Some((units, grant))
        };
        if let Some((units, grant)) = left {
            self.send_back(partition, h, limit, units, grant);
        }
    }

    /// Gives units back to the store.
    pub(super) fn send_back(
        self: &Arc<Self>,
        partition: u128,
        h: impl FnOnce() -> Arc<str>,
        limit: &Limit,
        units: u64,
        grant: Grant,
    ) {
        let refund = Refund::of(limit, units, grant.weight_ns, grant.stamp_us);
        // A process that ends has nobody who could ask.
        let is_running = tokio::runtime::Handle::try_current().is_ok();
        if !is_running || !self.join(partition, h, |queue| queue.give_back(limit, refund)) {
            self.hold_back(partition, limit, units, grant);
        }
    }

    /// Keeps units until the store is asked again. Those of a log are lost with that: they leave it by themselves.
    pub(super) fn hold_back(&self, partition: u128, limit: &Limit, units: u64, grant: Grant) {
        if limit.algorithm() == Algorithm::Gcra {
            self.leases.with(in_family(partition, limit), self.clock.now().0, |lease| lease.keep(units, grant));
        }
    }

    /// Keeps what was to go back to a server that cannot be asked.
    pub(super) fn keep_back(&self, partition: u128, back: Vec<Back>) {
        for Back { limit, refunds } in back {
            for Refund { amount, stamp_us } in refunds {
                let weight_ns = limit.emission_ns();
                // Of no use here but to go back.
                self.hold_back(partition, &limit, amount / weight_ns, Grant { stamp_us, weight_ns, end: 0 });
            }
        }
    }
}
