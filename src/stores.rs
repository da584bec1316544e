//! What outlives a reload: the stores, owned by the host and lent to plugins.

use std::sync::Arc;
use vestibule_plugin::Clock;
use vestibule_store::{MemoryQuotas, Quotas};

/// The stores of this process. Cloning shares them.
#[derive(Clone)]
pub struct Stores {
    /// Debts of rate-limit policies.
    pub quotas: Arc<dyn Quotas>,
}

impl Stores {
    /// Stores of this process alone.
    pub fn memory(clock: &Arc<dyn Clock>) -> Self {
        Self { quotas: Arc::new(MemoryQuotas::new(Arc::clone(clock))) }
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
