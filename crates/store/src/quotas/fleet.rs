//! Quotas that proxies share through a store.
//!
//! A request's way: [`take`] looks at what is borrowed or was refused a moment ago ([`lease`], kept in [`leases`]); only
//! when nothing is known does it wait in a [`queue`] for the next call about its partition ([`flight`]). A call is a
//! [`round`] of numbers, written and read by [`wire`]. What a request does not use takes the way of [`returns`]. [`heart`]
//! counts proxies and looks after servers that failed.

mod flight;
mod heart;
mod lease;
mod leases;
#[cfg(test)]
mod model;
mod names;
mod queue;
mod returns;
mod round;
#[cfg(test)]
mod simulation;
mod take;
mod wire;

use super::{
    Algorithm, Balance, Demand, Limit, MemoryQuotas, Meters, Named, Outage, Quotas, Scope, Sharing, Standing, Taken,
    TopRefused, Tuning, hidden,
};
use crate::records::Breaker;
use crate::redis::buckets::{Buckets, Site};
use crate::redis::{Asks, Question, Settings};
use crate::timings::{Came, Operation, Timings};
use arc_swap::ArcSwapOption;
use flight::Flights;
use leases::Leases;
use names::Names;
use parking_lot::Mutex;
use round::{BucketAsk, Entry, Holding, Part};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{Clock, Notice, Secret, Soon};

/// Quotas in a store that many processes share. Policies that are local, and what is decided while the store fails, are
/// in the memory of this one.
pub struct FleetQuotas(Arc<Fleet>);

/// What all calls and requests share.
struct Fleet {
    clock: Arc<dyn Clock>,
    memory: Arc<MemoryQuotas>,
    leases: Leases,
    flights: Flights,
    names: Names,
    buckets: Buckets,
    secret: Secret,
    timings: Timings,
    meters: ArcSwapOption<Meters>,
    lease_ns: AtomicU64,
    timeout_ns: AtomicU64,
    /// How long what no request waits for may take.
    patience: Duration,
    /// Of this process among the others.
    id: String,
    born: Mutex<Option<Vec<u8>>>,
    proxies: AtomicU64,
    /// Proxies that have another secret.
    strangers: AtomicU64,
    /// Rises when the store may have lost what it knew.
    epoch: AtomicU64,
    /// Said once a minute: a bucket holds what no proxy writes.
    unreadable: Notice,
}

impl FleetQuotas {
    /// Connects to nothing yet. Fails when an authority is not a certificate.
    pub fn new(
        settings: &Settings,
        secret: Secret,
        memory: Arc<MemoryQuotas>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, rustls::Error> {
        Ok(Self(Arc::new(Fleet {
            clock,
            memory,
            leases: Leases::default(),
            flights: Flights::default(),
            names: Names::default(),
            buckets: Buckets::new(settings)?,
            secret,
            timings: Timings::new(registry),
            meters: ArcSwapOption::empty(),
            lease_ns: AtomicU64::new(0),
            timeout_ns: AtomicU64::new(0),
            patience: settings.timeout,
            id: random_name(),
            born: Mutex::default(),
            proxies: AtomicU64::new(1),
            strangers: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            unreadable: Notice::default(),
        })))
    }
}

/// One that nobody else has.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Fleet {
    fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_ns.load(Ordering::Relaxed))
    }

    fn lease_ns(&self) -> u64 {
        self.lease_ns.load(Ordering::Relaxed)
    }

    fn proxies(&self) -> u64 {
        self.proxies.load(Ordering::Relaxed)
    }

    /// Cut off to what a lease has room for: it is only compared.
    fn epoch(&self) -> u16 {
        const BITS: u64 = (1 << lease::EPOCH_BITS) - 1;
        (self.epoch.load(Ordering::Relaxed) & BITS) as u16
    }

    fn count(&self, count: impl FnOnce(&Meters)) {
        if let Some(meters) = &*self.meters.load() {
            count(meters);
        }
    }

    fn show_proxies(&self) {
        let proxies = i64::try_from(self.proxies()).unwrap_or(i64::MAX);
        self.count(|meters| meters.peers.set(proxies));
    }

    /// The name of the partition of `key` in the store.
    fn name(&self, partition: u128, key: &str) -> Arc<str> {
        self.names.of(partition, || hidden(&self.secret, key).into())
    }

    fn named(&self, key: Named<'_>) -> Arc<str> {
        match key {
            Named::Text(key) => hidden(&self.secret, key).into(),
            Named::Hidden(h) => h.into(),
        }
    }

    async fn look(self: &Arc<Self>, limit: &Limit, key: Named<'_>) -> Result<Balance, Outage> {
        let h = self.named(key);
        let ask = BucketAsk {
            limit: limit.clone(),
            refunds: Vec::new(),
            owed: None,
            seen_us: 0,
            carry_ns: 0,
            is_asked: true,
            most: 0,
            proxies: self.proxies(),
        };
        let nothing = Entry { count: 1, parts: std::iter::once(Part { bucket: 0, cost: 0 }).collect() };
        let asks = [ask];
        let key = self.buckets.key(&h, &wire::suffix(limit));
        let question = Question::new(Asks::Take, vec![key], wire::args(&asks, &[nothing]));
        let values = self.asked(&h, question, Operation::QuotaTake).await?;
        let answer = wire::answer(&values, &asks).ok_or_else(|| Outage("its answer makes no sense".to_owned()))?;
        let holding = answer.before.into_iter().next().unwrap_or(Holding::Debt(0));
        Ok(Balance::of(|cost| round::weigh(limit, &holding, cost)))
    }

    async fn reset(self: &Arc<Self>, limit: &Limit, key: Named<'_>) -> Result<(), Outage> {
        let h = self.named(key);
        let is_debt = if limit.algorithm() == Algorithm::Gcra { "1" } else { "0" };
        let tolerance_ms = limit.tolerance_ns().div_ceil(1_000_000).to_string();
        let keys = vec![self.buckets.key(&h, &wire::suffix(limit))];
        let question = Question::new(Asks::Reset, keys, vec![is_debt.into(), tolerance_ms.into_bytes()]);
        self.asked(&h, question, Operation::QuotaReset).await?;
        if let Named::Text(key) = key {
            let partition = self.memory.hash(key.as_bytes());
            let bucket = super::memory::in_family(partition, limit);
            self.leases.with(bucket, self.clock.now().0, lease::Lease::forgive);
            self.memory.forgive(&limit.share(self.proxies()), partition);
        }
        Ok(())
    }

    async fn asked(
        self: &Arc<Self>,
        h: &Arc<str>,
        question: Question,
        operation: Operation,
    ) -> Result<Vec<redis::Value>, Outage> {
        let started = self.clock.now();
        let answer = self.once(h.as_bytes(), question).await;
        let came = if answer.is_ok() { Came::Ok } else { Came::Error };
        self.timings.observe(operation, came, self.clock.now() - started);
        answer.map_err(|failure| Outage(failure.into_outage().to_string()))
    }
}

impl Quotas for FleetQuotas {
    fn tune(&self, tuning: &Tuning) -> Result<(), Outage> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.lease_ns.store(nanos(tuning.lease), Ordering::Relaxed);
        self.0.timeout_ns.store(nanos(tuning.timeout), Ordering::Relaxed);
        self.0.meters.store(Some(Arc::new(tuning.meters.clone())));
        self.0.show_proxies();
        self.0.leases.reserve(tuning.keys, self.0.clock.now().0)?;
        self.0.memory.reserve(tuning.keys)
    }

    fn take<'a>(&'a self, demand: Demand<'a>) -> Soon<'a, Taken> {
        take::take(&self.0, demand)
    }

    fn look<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<Balance, Outage>> {
        match self.scope(limit) {
            Scope::Process => self.0.memory.look(limit, key),
            Scope::Fleet => Soon::later(self.0.look(limit, key)),
        }
    }

    fn reset<'a>(&'a self, limit: &'a Limit, key: Named<'a>) -> Soon<'a, Result<(), Outage>> {
        match self.scope(limit) {
            Scope::Process => self.0.memory.reset(limit, key),
            Scope::Fleet => Soon::later(self.0.reset(limit, key)),
        }
    }

    fn scope(&self, limit: &Limit) -> Scope {
        if limit.sharing() == Sharing::Local { Scope::Process } else { Scope::Fleet }
    }

    fn keys(&self) -> u64 {
        self.0.memory.keys() + self.0.leases.held()
    }

    fn standing(&self) -> Standing {
        let sites = self.0.buckets.sites();
        let breaker = if sites.iter().any(|site| site.pulse().is_probed()) {
            Breaker::HalfOpen
        } else if sites.iter().any(|site| site.pulse().is_open()) {
            Breaker::Open
        } else {
            Breaker::Closed
        };
        let answers: Vec<bool> = sites.iter().filter_map(Site::is_up).collect();
        let up = !answers.is_empty() && answers.iter().all(|up| *up);
        let strangers = self.0.strangers.load(Ordering::Relaxed);
        Standing { up, breaker, proxies: self.0.proxies(), strangers }
    }

    fn beat(&self) -> Soon<'_, ()> {
        Soon::later(self.0.beat())
    }

    fn refusals(&self, policy: &str) -> Arc<TopRefused> {
        self.0.memory.refusals(policy)
    }
}

#[cfg(test)]
mod tests;
