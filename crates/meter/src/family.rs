//! Series that differ in label values.

use crate::limits::Budget;
use crate::scalar::{Counter, Gauge};
use crate::{Histogram, overflow};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a family is.
#[derive(Clone, Copy, Debug)]
pub struct Desc {
    /// Name with base unit, e.g. `vestibule_store_up`; a counter's ends in `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Label names, in order.
    pub labels: &'static [&'static str],
}

/// Families of counters.
pub type CounterFamily = Family<Counter>;
/// Families of gauges.
pub type GaugeFamily = Family<Gauge>;
/// Families of histograms.
pub type HistogramFamily = Family<Histogram>;

/// Series of one name that differ in label values. Cheap to clone; all clones are the same family.
pub struct Family<S>(Arc<Inner<S>>);

impl<S> Clone for Family<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<S> {
    desc: Desc,
    shape: Shape,
    budget: Arc<Budget>,
    /// Counts label sets that found no room.
    folded: Counter,
    /// Whether the overflow sets have lines of their own.
    reserved: bool,
    /// Sorted by label values.
    rows: RwLock<Vec<Row<S>>>,
    closed: RwLock<Vec<(&'static str, Vec<String>)>>,
}

/// A label set and what is counted under it.
pub(crate) struct Row<S> {
    pub(crate) values: Arc<[String]>,
    pub(crate) series: S,
}

impl<S: Clone> Clone for Row<S> {
    fn clone(&self) -> Self {
        Self { values: Arc::clone(&self.values), series: self.series.clone() }
    }
}

/// What the series of a family have in common.
pub(crate) struct Shape {
    /// Upper bounds in seconds, ascending; empty unless it is a histogram.
    pub(crate) bounds: &'static [f64],
    /// The same in nanoseconds.
    pub(crate) bounds_nanos: Arc<[u64]>,
    exemplars: AtomicBool,
}

impl Shape {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounds are seconds, small and positive"
        )]
        let bounds_nanos = bounds.iter().map(|seconds| (seconds * 1e9).round() as u64).collect();
        Self { bounds, bounds_nanos, exemplars: AtomicBool::new(false) }
    }

    pub(crate) fn keeps_exemplars(&self) -> bool {
        self.exemplars.load(Ordering::Relaxed)
    }
}

/// One line or several of a scrape.
pub(crate) trait Series: Clone {
    fn new(shape: &Shape) -> Self;
    /// Sample lines of one series.
    fn lines(shape: &Shape) -> u32;
}

#[expect(private_bounds, reason = "the three kinds of series are a closed set")]
impl<S: Series> Family<S> {
    /// A family whose overflow has its lines reserved, if there is room. `folded` counts what did not fit.
    pub(crate) fn new(desc: Desc, shape: Shape, budget: Arc<Budget>, folded: Counter) -> Self {
        let reserved = budget.take(overflow::sets(desc.labels).saturating_mul(S::lines(&shape)));
        Self(Arc::new(Inner {
            desc,
            shape,
            budget,
            folded,
            reserved,
            rows: RwLock::default(),
            closed: RwLock::default(),
        }))
    }

    /// The series with these label values, in the order of the labels, made when it is new.
    ///
    /// A new one that would take a scrape past [`Limits::max_series`](crate::Limits::max_series) is the family's
    /// overflow set instead. Looks the values up under a lock: where requests pass, look up once and keep the handle.
    pub fn with(&self, values: &[&str]) -> S {
        self.resolve(values).0
    }

    /// As [`with`](Self::with), and whether these values have a series of their own.
    pub(crate) fn resolve(&self, values: &[&str]) -> (S, bool) {
        let inner = &*self.0;
        debug_assert_eq!(values.len(), inner.desc.labels.len(), "label values of {}", inner.desc.name);
        {
            let rows = inner.rows.read();
            if let Ok(at) = find(&rows, values) {
                return (rows[at].series.clone(), true);
            }
        }
        let mut rows = inner.rows.write();
        let at = match find(&rows, values) {
            Ok(at) => return (rows[at].series.clone(), true),
            Err(at) => at,
        };
        if inner.budget.take(S::lines(&inner.shape)) {
            return (insert(&mut rows, at, values, &inner.shape), true);
        }
        inner.folded.inc();
        let overflow = overflow::values(inner.desc.labels, values);
        let series = match find(&rows, &overflow) {
            Ok(at) => rows[at].series.clone(),
            Err(at) if inner.reserved => insert(&mut rows, at, &overflow, &inner.shape),
            // Registered when nothing was left: counted nowhere but in `folded`.
            Err(_) => S::new(&inner.shape),
        };
        (series, false)
    }

    /// States every value the label can have, for the inventory.
    #[must_use]
    pub fn closed(self, label: &'static str, values: &[&str]) -> Self {
        debug_assert!(self.0.desc.labels.contains(&label), "{} has no label {label}", self.0.desc.name);
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let mut closed = self.0.closed.write();
        match closed.iter_mut().find(|(name, _)| *name == label) {
            Some((_, known)) => *known = values,
            None => closed.push((label, values)),
        }
        drop(closed);
        self
    }

    /// Series made from now on keep their latest exemplars.
    #[must_use]
    pub fn with_exemplars(self) -> Self {
        self.0.shape.exemplars.store(true, Ordering::Relaxed);
        self
    }

    pub(crate) fn desc(&self) -> Desc {
        self.0.desc
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The series as they stand, in the order of their label values. The lock is free again when this returns, so that
    /// writing them out delays nobody.
    pub(crate) fn rows(&self) -> Vec<Row<S>> {
        self.0.rows.read().clone()
    }

    pub(crate) fn closed_values(&self, label: &str) -> Option<Vec<String>> {
        self.0.closed.read().iter().find(|(name, _)| *name == label).map(|(_, values)| values.clone())
    }
}

/// Where these values are, or would be.
fn find<S>(rows: &[Row<S>], values: &[&str]) -> Result<usize, usize> {
    rows.binary_search_by(|row| row.values.iter().map(String::as_str).cmp(values.iter().copied()))
}

fn insert<S: Series>(rows: &mut Vec<Row<S>>, at: usize, values: &[&str], shape: &Shape) -> S {
    let series = S::new(shape);
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    rows.insert(at, Row { values, series: series.clone() });
    series
}

impl GaugeFamily {
    /// Makes the gauge with these label values one that is read when somebody scrapes; the latest `read` counts.
    /// `None` leaves the line out.
    pub fn with_fn(&self, values: &[&str], read: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        self.with(values).reads(Arc::new(read));
    }
}

impl CounterFamily {
    /// Makes the counter with these label values one that is read when somebody scrapes; it must never go back.
    pub fn with_fn(&self, values: &[&str], read: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        self.with(values).reads(Arc::new(read));
    }
}
