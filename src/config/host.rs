//! What the process lends to every configuration it loads.

use crate::stores::Stores;
use std::sync::{Arc, OnceLock};
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{Clock, SystemClock};

/// What outlives a reload. One per process; `check` uses a fresh one.
pub struct HostDeps {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where plugins register metrics.
    pub meter: Arc<Registry>,
    /// Keys the HMAC over identifiers when the file names no secret; drawn once, so that a reload changes no hash.
    pub drawn_secret: [u8; 32],
    stores: OnceLock<Stores>,
}

impl HostDeps {
    /// With these, a secret drawn at random and stores that are opened by the first load.
    pub fn new(clock: Arc<dyn Clock>, meter: Arc<Registry>) -> Self {
        Self { clock, meter, drawn_secret: rand::random(), stores: OnceLock::new() }
    }

    /// For a configuration that is only looked at.
    pub fn throwaway() -> Self {
        Self::new(Arc::new(SystemClock::default()), Arc::new(Registry::default()))
    }

    /// The stores, opened by whoever asks first.
    pub fn stores(&self) -> &Stores {
        self.stores.get_or_init(|| Stores::memory(&self.clock))
    }
}
