//! Nothing is lost between threads.

use crate::{Desc, Exemplar, Registry};
use std::time::{Duration, SystemTime};

const THREADS: u64 = 8;
const EACH: u64 = 20_000;

#[test]
fn the_sum_of_all_threads_is_exact() {
    let registry = Registry::default();
    let counter = registry.counter(Desc { name: "a_total", help: "A.", labels: &[] }).with(&[]);
    let gauge = registry.gauge(Desc { name: "b", help: "B.", labels: &[] }).with(&[]);
    let histogram =
        registry.histogram(Desc { name: "c_seconds", help: "C.", labels: &[] }, &[0.1, 1.0]).with_exemplars().with(&[]);
    let exemplar = Exemplar { trace_id: 1, span_id: 2, at: SystemTime::UNIX_EPOCH };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..EACH {
                    counter.inc();
                    gauge.add(if round % 2 == 0 { 1 } else { -1 });
                    histogram.observe_with(Duration::from_millis(250), Some(&exemplar));
                }
            });
        }
    });
    assert_eq!(counter.get(), THREADS * EACH);
    assert_eq!(gauge.get(), 0);
    assert_eq!(histogram.count(), THREADS * EACH);
    // Quarters of a second add up without rounding.
    assert!((histogram.sum() - 40_000.0).abs() < f64::EPSILON);
}

#[test]
fn threads_that_ask_for_the_same_values_share_a_series() {
    let registry = Registry::default();
    let family = registry.counter(Desc { name: "a_total", help: "A.", labels: &["n"] });
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..100 {
                    family.with(&[&n.to_string()]).inc();
                }
            });
        }
    });
    for n in 0..100 {
        assert_eq!(family.with(&[&n.to_string()]).get(), THREADS);
    }
}
