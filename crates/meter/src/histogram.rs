//! Histograms of durations.

use crate::exemplar::{Exemplar, Kept, Latest};
use crate::family::{Series, Shape};
use crate::shards;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most upper bounds a histogram may have, `+Inf` not counted: with it and the sum a shard is two cache lines.
pub(crate) const MOST_BOUNDS: usize = 14;

/// One thread's share.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// Observations by bucket, not cumulated; the one behind the last bound is `+Inf`.
    counts: [AtomicU64; MOST_BOUNDS + 1],
    /// Seconds, as bits of an `f64`: nanoseconds in a `u64` would wrap within months of heavy traffic.
    sum: AtomicU64,
}

struct Inner {
    /// Upper bounds in nanoseconds, ascending.
    bounds: Arc<[u64]>,
    shards: Box<[Shard]>,
    latest: Option<Latest>,
}

/// Counts observations by bucket.
#[derive(Clone)]
pub struct Histogram(Arc<Inner>);

impl Default for Histogram {
    /// A histogram of no family, with the bucket `+Inf` alone.
    fn default() -> Self {
        Self::with_bounds(Arc::default(), false)
    }
}

impl Histogram {
    fn with_bounds(bounds: Arc<[u64]>, exemplars: bool) -> Self {
        let latest = exemplars.then(|| Latest::new(bounds.len() + 1));
        Self(Arc::new(Inner { bounds, shards: shards::each(Shard::default), latest }))
    }

    /// One observation.
    pub fn observe(&self, value: Duration) {
        self.observe_with(value, None);
    }

    /// One observation, and where it came from; kept when the family was made
    /// [`with_exemplars`](crate::Family::with_exemplars).
    pub fn observe_with(&self, value: Duration, exemplar: Option<&Exemplar>) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let seconds = value.as_secs_f64();
        // An upper bound belongs to its bucket.
        let bucket = self.0.bounds.partition_point(|bound| *bound < nanos);
        let shard = shards::mine(&self.0.shards);
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let _always_ok = shard.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + seconds).to_bits())
        });
        if let (Some(latest), Some(exemplar)) = (&self.0.latest, exemplar) {
            latest.keep(bucket, seconds, exemplar);
        }
    }

    /// Number of observations so far.
    pub fn count(&self) -> u64 {
        self.buckets().last().map_or(0, |(_, cumulated)| cumulated)
    }

    /// Sum of all observations so far, in seconds.
    pub fn sum(&self) -> f64 {
        self.0.shards.iter().map(|shard| f64::from_bits(shard.sum.load(Ordering::Relaxed))).sum()
    }

    /// Buckets in order with the observations up to and including each.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        let of = |bucket: usize| -> u64 {
            self.0.shards.iter().map(|shard| shard.counts[bucket].load(Ordering::Relaxed)).sum()
        };
        (0..=self.0.bounds.len()).scan(0, move |cumulated, bucket| {
            *cumulated += of(bucket);
            Some((bucket, *cumulated))
        })
    }

    pub(crate) fn exemplar(&self, bucket: usize) -> Option<Kept> {
        self.0.latest.as_ref()?.of(bucket)
    }
}

impl Series for Histogram {
    fn new(shape: &Shape) -> Self {
        Self::with_bounds(Arc::clone(&shape.bounds_nanos), shape.keeps_exemplars())
    }

    /// A line for each bound, `+Inf`, sum and count.
    fn lines(shape: &Shape) -> u32 {
        u32::try_from(shape.bounds.len() + 3).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_bound_belongs_to_its_bucket() {
        let histogram = Histogram::with_bounds([5_000_000, 10_000_000].into(), false);
        for micros in [0, 5_000, 5_001, 10_000, 10_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(0, 2), (1, 4), (2, 5)]);
        assert!((histogram.sum() - 0.030_002).abs() < 1e-12);
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn the_longest_duration_counts_too() {
        let histogram = Histogram::with_bounds([1].into(), false);
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    }
}
