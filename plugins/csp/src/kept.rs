//! What outlives a reload: the table, the buckets of senders, and the sinks with what waits for them. It is of this process,
//! and ends with it.

use crate::fold::Table;
use crate::metrics::{Metrics, Outcome};
use crate::rate::Rates;
use crate::record::Record;
use crate::sinks::{Outlet, Sink, flush};
use crate::stamp::Stamp;
use parking_lot::{Mutex, RwLock};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use vestibule_plugin::Clock;
use vestibule_plugin::units::Rate;

/// How often it is looked whether a window has ended.
const TICK: Duration = Duration::from_secs(1);
/// What is in hand at the end gets this long.
const LAST_CALL: Duration = Duration::from_secs(2);

/// Reports by outcome, since this began.
#[derive(Debug, Default)]
pub(crate) struct Totals([AtomicU64; Outcome::ALL.len()]);

impl Totals {
    pub(crate) fn add(&self, outcome: Outcome, count: u64) {
        self.0[outcome as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

/// When a window ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// After its time.
    Due,
    /// At once.
    Now,
}

/// The sinks of this moment.
type Outlets = Arc<RwLock<Vec<Arc<Outlet>>>>;

/// What was learned since the process began to collect.
pub(crate) struct Kept {
    pub(crate) table: Mutex<Table>,
    pub(crate) rates: Mutex<Rates>,
    pub(crate) totals: Totals,
    pub(crate) since: Stamp,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    outlets: Outlets,
    /// Of the thread that ends windows and delivers; it ends when this does.
    runtime: Handle,
}

impl Kept {
    /// Begins to collect, with a thread of its own for what is delivered: it delays nobody who is served.
    pub(crate) fn start(rate: Rate, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Result<Arc<Self>, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let outlets = Outlets::default();
        let kept = Arc::new(Self {
            table: Mutex::new(Table::new(RandomState::new().hash_one(0), clock.now())),
            rates: Mutex::new(Rates::new(rate)),
            totals: Totals::default(),
            since: Stamp::of(clock.wall()),
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
            outlets: Arc::clone(&outlets),
            runtime: runtime.handle().clone(),
        });
        let weak = Arc::downgrade(&kept);
        std::thread::Builder::new()
            .name("csp".to_owned())
            .spawn(move || runtime.block_on(keep_windows(weak, outlets)))
            .map_err(|error| error.to_string())?;
        Ok(kept)
    }

    /// Senders may bring this much from now on.
    pub(crate) fn limit_to(&self, rate: Rate) {
        self.rates.lock().turn_to(rate, self.clock.now());
    }

    /// Delivers to these sinks from now on. One that stays keeps what waits for it; one that goes gets a last call.
    pub(crate) fn deliver_to(&self, sinks: &[Sink]) {
        let mut outlets = self.outlets.write();
        let mut known = std::mem::take(&mut *outlets);
        for sink in sinks {
            let outlet = match known.iter().position(|outlet| outlet.is_of(sink)) {
                Some(at) => known.swap_remove(at),
                None => Outlet::open(sink.clone(), &self.metrics, &self.runtime),
            };
            outlets.push(outlet);
        }
        for outlet in known {
            outlet.close();
        }
    }

    /// Hands records to every sink.
    pub(crate) fn tell(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let records: Vec<Arc<Record>> = records.into_iter().map(Arc::new).collect();
        for outlet in self.outlets.read().iter() {
            outlet.push(&records);
        }
    }

    /// Ends the window.
    fn end_window(&self, when: When) {
        let now = self.clock.now();
        let told = {
            let mut table = self.table.lock();
            if when == When::Due && !table.is_due(now) {
                return;
            }
            table.close(now)
        };
        self.tell(told);
    }

    /// Ends the window, and waits until everything is delivered, but not for long.
    pub(crate) async fn put_away(&self) {
        self.end_window(When::Now);
        let outlets: Vec<Arc<Outlet>> = self.outlets.read().clone();
        flush(&outlets, LAST_CALL).await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end_window(When::Now);
        for outlet in self.outlets.read().iter() {
            outlet.close();
        }
    }
}

async fn keep_windows(kept: Weak<Kept>, outlets: Outlets) {
    loop {
        tokio::time::sleep(TICK).await;
        match kept.upgrade() {
            Some(kept) => kept.end_window(When::Due),
            None => break,
        }
    }
    let left: Vec<Arc<Outlet>> = outlets.read().clone();
    flush(&left, LAST_CALL).await;
}
