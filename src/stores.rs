//! What outlives a reload: the stores, owned by the host and lent to plugins.

use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::Clock;
use vestibule_store::{Ledger, MemoryQuotas, MemoryRecords, Quotas};

/// How often expired records are looked for; until then they take room.
const SWEEP: Duration = Duration::from_secs(1);

/// The stores of this process. Cloning shares them.
#[derive(Clone)]
pub struct Stores {
    /// Debts of rate-limit policies.
    pub quotas: Arc<dyn Quotas>,
    /// Keyed requests.
    pub ledger: Arc<Ledger>,
    memory: Arc<MemoryRecords>,
}

impl Stores {
    /// Stores of this process alone, without room for records until [`Self::bound`] gives them some.
    pub fn memory(clock: &Arc<dyn Clock>) -> Self {
        let memory = Arc::new(MemoryRecords::new(Arc::clone(clock), 0));
        Self {
            quotas: Arc::new(MemoryQuotas::new(Arc::clone(clock))),
            ledger: Arc::new(Ledger::new(Arc::clone(&memory) as _)),
            memory,
        }
    }

    /// Bounds what is held of keyed requests, in bytes. What is over a smaller one stays until it expires.
    pub fn bound(&self, memory_max: u64) {
        self.memory.bound(memory_max);
    }

    /// Makes room of what has expired, for ever.
    pub async fn sweep_for_ever(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.ledger.records().sweep();
        }
    }
}

/// Gives a plugin the store it asks for in [`vestibule_plugin::Build::Store`].
pub trait Provide<T> {
    /// A shared handle.
    fn provide(&self) -> T;
}

impl Provide<()> for Stores {
    fn provide(&self) {}
}

impl Provide<Arc<dyn Quotas>> for Stores {
    fn provide(&self) -> Arc<dyn Quotas> {
        Arc::clone(&self.quotas)
    }
}

impl Provide<Arc<Ledger>> for Stores {
    fn provide(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }
}
