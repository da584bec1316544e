//! What outlives a reload: the stores, owned by the host and lent to plugins.

use crate::config::settings;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use vestibule_plugin::meter::{Desc, Registry};
use vestibule_plugin::{Clock, Secret};
use vestibule_store::records::Standing;
use vestibule_store::{
    Contact, FleetQuotas, Ledger, Locks, Measured, MemoryQuotas, MemoryRecords, OnDemand, Quotas, Records,
    RedisRecords, RedisSettings, RedisStreams, Streams,
};

const UP: Desc = Desc { name: "vestibule_store_up", help: "Whether the store answered last time.", labels: &[] };

const STRANGERS: Desc = Desc {
    name: "vestibule_store_strangers",
    help: "Proxies that use the store and namespace with another secret_file, and share nothing with this one.",
    labels: &[],
};

/// How often expired records are looked for; until then they take room.
const SWEEP: Duration = Duration::from_secs(1);
/// How often other proxies hear of this one.
const BEAT: Duration = Duration::from_secs(1);

/// The stores of one configuration. Cloning shares them.
#[derive(Clone)]
pub struct Stores {
    /// Debts of rate-limit policies.
    quotas: Arc<Counted>,
    records: Arc<Kept>,
    locks: Arc<OnceLock<Arc<Locks>>>,
    /// None in memory: nobody could read them.
    streams: Option<Arc<RedisStreams>>,
}

/// Debts, and whether a plugin asked for them.
struct Counted {
    quotas: Arc<dyn Quotas>,
    /// What of them is in this process.
    memory: Arc<MemoryQuotas>,
    used: AtomicBool,
}

/// Records, and what a process does with them once a plugin asks for it.
struct Kept {
    place: Place,
    clock: Arc<dyn Clock>,
    meter: Arc<Registry>,
    ledger: OnceLock<Arc<Ledger>>,
}

enum Place {
    Memory(Arc<MemoryRecords>),
    Redis(Arc<RedisRecords>),
}

impl Stores {
    /// In this process alone, without room for records until [`Self::bound`] gives them some.
    pub fn memory(clock: &Arc<dyn Clock>, meter: &Arc<Registry>) -> Self {
        let memory = Arc::new(MemoryQuotas::new(Arc::clone(clock)));
        let quotas = Counted::new(Arc::clone(&memory) as _, memory);
        let records = Arc::new(MemoryRecords::new(Arc::clone(clock), 0));
        let records = Kept::new(Place::Memory(records), clock, meter);
        Self { quotas, records, locks: Arc::default(), streams: None }
    }

    /// As these, with everything that proxies share in a Redis. Connects to nothing yet.
    pub fn with_redis(&self, redis: &settings::Redis, store: &settings::Store) -> Result<Self, String> {
        let settings = RedisSettings {
            authorities: redis.authorities.clone(),
            sentinel_silence: store.sentinel_silence,
            ..RedisSettings::new(redis.url.clone(), store.namespace.to_string(), store.timeout)
        };
        let (clock, meter, memory) = (&self.records.clock, &self.records.meter, &self.quotas.memory);
        let secret = Secret::new(store.secret);
        let fleet = FleetQuotas::new(&settings, secret, Arc::clone(memory), Arc::clone(clock), meter);
        let quotas = Counted::new(Arc::new(fleet.map_err(|error| error.to_string())?), Arc::clone(memory));
        let streams = RedisStreams::new(&settings, Arc::clone(clock), meter).map_err(|error| error.to_string())?;
        let records = Arc::new(RedisRecords::new(settings).map_err(|error| error.to_string())?);
        let records = Kept::new(Place::Redis(records), clock, meter);
        Ok(Self { quotas, records, locks: Arc::default(), streams: Some(Arc::new(streams)) })
    }

    /// Bounds what is held here of keyed requests, in bytes. What is over a smaller bound stays until it expires.
    pub fn bound(&self, memory_max: u64) {
        if let Place::Memory(records) = &self.records.place {
            records.bound(memory_max);
        }
    }

    /// What is known of the store, without asking it: the worse of what its users see.
    pub fn standing(&self) -> Standing {
        let mut standing = self.records.place.records().standing();
        if self.quotas.used.load(Ordering::Relaxed) {
            let counted = self.quotas.quotas.standing();
            // Who never asked it has not seen it.
            standing.up = counted.up && (standing.up || self.records.ledger.get().is_none());
            standing.breaker = standing.breaker.max(counted.breaker);
        }
        if let Some(up) = self.streams.as_ref().and_then(|streams| streams.is_up()) {
            let others = self.records.ledger.get().is_some() || self.quotas.used.load(Ordering::Relaxed);
            standing.up = up && (standing.up || !others);
        }
        standing
    }

    /// Shows whether the store is up, now that a plugin uses it.
    fn show_up(&self) {
        let (quotas, records) = (Arc::downgrade(&self.quotas), Arc::downgrade(&self.records));
        let streams = self.streams.as_ref().map(Arc::downgrade);
        let counted = quotas.clone();
        self.records.meter.gauge(STRANGERS).with_fn(&[], move || {
            let strangers = counted.upgrade()?.quotas.standing().strangers;
            Some(strangers as f64)
        });
        self.records.meter.gauge(UP).with_fn(&[], move || {
            let (quotas, records) = (quotas.upgrade()?, records.upgrade()?);
            let streams = streams.as_ref().and_then(Weak::upgrade);
            let stores = Self { quotas, records, locks: Arc::default(), streams };
            Some(f64::from(u8::from(stores.standing().up)))
        });
    }

    /// Proxies that share the store, this one included, as last counted.
    pub fn proxies(&self) -> u64 {
        self.quotas.quotas.standing().proxies
    }

    /// Proxies that use the store with another secret, as last counted.
    pub fn strangers(&self) -> u64 {
        self.quotas.quotas.standing().strangers
    }

    /// Makes room of what has expired.
    fn sweep(&self) {
        match self.records.ledger.get() {
            Some(ledger) => ledger.records().sweep(),
            None => self.records.place.records().sweep(),
        }
    }

    /// Makes room of what has expired, for ever, in the stores that serve.
    pub async fn sweep_for_ever(serving: impl Fn() -> Self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            serving().sweep();
        }
    }

    /// Lets the store and the other proxies know of this one, for ever, once a second.
    pub async fn keep_contact(serving: impl Fn() -> Self) {
        let mut tick = tokio::time::interval(BEAT);
        loop {
            tick.tick().await;
            let stores = serving();
            tokio::join!(stores.look_again(), stores.beat());
        }
    }

    /// Looks whether a store that must not be used may be by now: as long as it must not, nobody is sent here who would
    /// find out.
    async fn look_again(&self) {
        if self.standing().refused.is_some() {
            self.first_contact().await;
        }
    }

    /// Tells other proxies that this one lives, if it shares anything with them.
    async fn beat(&self) {
        if self.quotas.used.load(Ordering::Relaxed) || self.records.ledger.get().is_some() {
            self.quotas.quotas.beat().get().await;
        }
    }

    /// Outcomes that are known and not written yet.
    pub fn owed(&self) -> usize {
        self.records.ledger.get().map_or(0, |ledger| ledger.owed())
    }

    /// Reaches out to a store elsewhere, if a plugin uses it.
    pub async fn first_contact(&self) -> Contact {
        match &self.records.place {
            Place::Redis(records) if self.records.ledger.get().is_some() => records.first_contact().await,
            Place::Redis(_) | Place::Memory(_) => Contact::Made,
        }
    }
}

impl Counted {
    fn new(quotas: Arc<dyn Quotas>, memory: Arc<MemoryQuotas>) -> Arc<Self> {
        Arc::new(Self { quotas, memory, used: AtomicBool::new(false) })
    }
}

impl Kept {
    fn new(place: Place, clock: &Arc<dyn Clock>, meter: &Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { place, clock: Arc::clone(clock), meter: Arc::clone(meter), ledger: OnceLock::new() })
    }
}

impl Place {
    fn records(&self) -> Arc<dyn Records> {
        match self {
            Self::Memory(records) => Arc::clone(records) as _,
            Self::Redis(records) => Arc::clone(records) as _,
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
        self.quotas.used.store(true, Ordering::Relaxed);
        self.show_up();
        Arc::clone(&self.quotas.quotas)
    }
}

impl Provide<OnDemand<Locks>> for Stores {
    fn provide(&self) -> OnDemand<Locks> {
        let stores = self.clone();
        OnDemand::new(move || {
            let Kept { place, clock, meter, .. } = &*stores.records;
            stores.show_up();
            let measured = || Measured::locks(place.records(), meter, Arc::clone(clock));
            Arc::clone(stores.locks.get_or_init(|| Arc::new(Locks::new(Arc::new(measured())))))
        })
    }
}

impl Provide<Arc<Ledger>> for Stores {
    fn provide(&self) -> Arc<Ledger> {
        let Kept { place, clock, meter, ledger } = &*self.records;
        self.show_up();
        let measured = || Measured::new(place.records(), meter, Arc::clone(clock));
        Arc::clone(ledger.get_or_init(|| Arc::new(Ledger::new(Arc::new(measured())))))
    }
}

/// `None` without a store that others read.
impl Provide<Option<OnDemand<dyn Streams>>> for Stores {
    fn provide(&self) -> Option<OnDemand<dyn Streams>> {
        let streams = Arc::clone(self.streams.as_ref()?);
        let stores = self.clone();
        Some(OnDemand::new(move || {
            stores.show_up();
            Arc::clone(&streams) as _
        }))
    }
}
