//! Counters and gauges: one number each.

use crate::exemplar::{Exemplar, Kept, Latest};
use crate::family::{Series, Shape};
use crate::shards::{self, Padded};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads a number when somebody scrapes; `None` leaves its line out.
pub(crate) type Read = Arc<dyn Fn() -> Option<f64> + Send + Sync>;

/// Sums up in shards, or is read from elsewhere.
struct Scalar {
    shards: Box<[Padded<AtomicU64>]>,
    read: RwLock<Option<Read>>,
    latest: Option<Latest>,
}

impl Scalar {
    fn new(exemplars: bool) -> Self {
        Self {
            shards: shards::each(Padded::default),
            read: RwLock::new(None),
            latest: exemplars.then(|| Latest::new(1)),
        }
    }

    fn add(&self, delta: u64) {
        shards::mine(&self.shards).0.fetch_add(delta, Ordering::Relaxed);
    }

    /// Modulo 2^64, so that negative parts cancel out.
    fn sum(&self) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.load(Ordering::Relaxed)))
    }

    fn read(&self) -> Option<Option<f64>> {
        // Called outside the lock: it is somebody else's code.
        let read = self.read.read().clone();
        read.map(|read| read())
    }
}

/// Grows.
#[derive(Clone)]
pub struct Counter(Arc<Scalar>);

impl Default for Counter {
    /// A counter of no family.
    fn default() -> Self {
        Self(Arc::new(Scalar::new(false)))
    }
}

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.add(n);
    }

    /// One more, and where it came from; kept when the family was made [`with_exemplars`](crate::Family::with_exemplars).
    pub fn inc_with(&self, exemplar: Option<&Exemplar>) {
        self.0.add(1);
        if let (Some(latest), Some(exemplar)) = (&self.0.latest, exemplar) {
            latest.keep(0, 1.0, exemplar);
        }
    }

    /// As counted so far.
    pub fn get(&self) -> u64 {
        self.0.sum()
    }

    pub(crate) fn reads(&self, read: Read) {
        *self.0.read.write() = Some(read);
    }

    pub(crate) fn sample(&self) -> Option<Number> {
        match self.0.read() {
            Some(read) => read.map(Number::Float),
            None => Some(Number::Count(self.0.sum())),
        }
    }

    pub(crate) fn exemplar(&self) -> Option<Kept> {
        self.0.latest.as_ref()?.of(0)
    }
}

impl Series for Counter {
    fn new(shape: &Shape) -> Self {
        Self(Arc::new(Scalar::new(shape.keeps_exemplars())))
    }
    fn lines(_: &Shape) -> u32 {
        1
    }
}

/// Goes up and down. Use either `set` or `add` on one gauge: what is added while another thread sets may be lost.
#[derive(Clone)]
pub struct Gauge(Arc<Scalar>);

impl Default for Gauge {
    /// A gauge of no family.
    fn default() -> Self {
        Self(Arc::new(Scalar::new(false)))
    }
}

impl Gauge {
    /// To this value.
    pub fn set(&self, value: i64) {
        let mut shards = self.0.shards.iter();
        if let Some(first) = shards.next() {
            first.0.store(value.cast_unsigned(), Ordering::Relaxed);
        }
        for shard in shards {
            // Mostly 0 already: reading leaves the line shared.
            if shard.0.load(Ordering::Relaxed) != 0 {
                shard.0.store(0, Ordering::Relaxed);
            }
        }
    }

    /// By this much.
    pub fn add(&self, delta: i64) {
        self.0.add(delta.cast_unsigned());
    }

    /// As it stands.
    pub fn get(&self) -> i64 {
        self.0.sum().cast_signed()
    }

    pub(crate) fn reads(&self, read: Read) {
        *self.0.read.write() = Some(read);
    }

    pub(crate) fn sample(&self) -> Option<Number> {
        match self.0.read() {
            Some(read) => read.map(Number::Float),
            None => Some(Number::Level(self.get())),
        }
    }
}

impl Series for Gauge {
    fn new(_: &Shape) -> Self {
        Self::default()
    }
    fn lines(_: &Shape) -> u32 {
        1
    }
}

/// A value as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Count(u64),
    Level(i64),
    Float(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_comes_back_to_where_threads_left_it() {
        let gauge = Gauge::default();
        gauge.set(7);
        std::thread::scope(|scope| {
            scope.spawn(|| gauge.add(5));
            scope.spawn(|| gauge.add(-9));
        });
        assert_eq!(gauge.get(), 3);
        gauge.set(-2);
        assert_eq!(gauge.get(), -2);
    }
}
