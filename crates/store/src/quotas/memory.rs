//! Quotas of one process.

use super::{Balance, Demand, Limit, Outage, Quotas, Taken};
use std::sync::Arc;
use vestibule_plugin::{Clock, Soon};

/// Quotas that live and die with this process.
pub struct MemoryQuotas {
    clock: Arc<dyn Clock>,
}

impl MemoryQuotas {
    /// Empty; takes its time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Quotas for MemoryQuotas {
    fn reserve(&self, _keys: usize) {}
    fn take<'a>(&'a self, _demand: Demand<'a>) -> Soon<'a, Taken> {
        let _ = self.clock.now();
        Soon::Now(Taken { verdicts: arrayvec::ArrayVec::new() })
    }
    fn look<'a>(&'a self, limit: &'a Limit, _key: &'a str) -> Soon<'a, Result<Balance, Outage>> {
        Soon::Now(Ok(Balance { remaining: limit.burst(), debt_ns: 0, wait_ns: 0 }))
    }
    fn reset<'a>(&'a self, _limit: &'a Limit, _key: &'a str) -> Soon<'a, Result<(), Outage>> {
        Soon::Now(Ok(()))
    }
    fn keys(&self) -> u64 {
        0
    }
}
