//! What the process lends to every configuration it loads.

use crate::config::settings;
use crate::stores::Stores;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
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
    memory: OnceLock<Stores>,
    redis: Mutex<Option<(RedisKey, Stores)>>,
}

/// What makes it another Redis: where it is, the namespace and the secret names in it, and the timeout.
type RedisKey = (settings::Redis, Arc<str>, [u8; 32], Duration);

impl HostDeps {
    /// With these, a secret drawn at random and stores that are opened by the first load.
    pub fn new(clock: Arc<dyn Clock>, meter: Arc<Registry>) -> Self {
        Self { clock, meter, drawn_secret: rand::random(), memory: OnceLock::new(), redis: Mutex::default() }
    }

    /// For a configuration that is only looked at.
    pub fn throwaway() -> Self {
        Self::new(Arc::new(SystemClock::default()), Arc::new(Registry::default()))
    }

    /// The stores of this process alone.
    pub fn memory(&self) -> &Stores {
        self.memory.get_or_init(|| Stores::memory(&self.clock, &self.meter))
    }

    /// The stores that a configuration wants. What is in memory is the same for all of them, and so is a Redis as long
    /// as nothing about it changes.
    pub fn stores(&self, wanted: &settings::Store) -> Result<Stores, String> {
        let memory = self.memory();
        let settings::StorePlace::Redis(redis) = &wanted.place else { return Ok(memory.clone()) };
        let key = (redis.clone(), Arc::clone(&wanted.namespace), wanted.secret, wanted.timeout);
        let mut known = self.redis.lock();
        if let Some((known, stores)) = &*known
            && *known == key
        {
            return Ok(stores.clone());
        }
        let stores = memory.with_redis(redis, wanted)?;
        *known = Some((key, stores.clone()));
        Ok(stores)
    }
}
