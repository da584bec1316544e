//! All families of the process.

use crate::encode;
use crate::family::{CounterFamily, Desc, Family, GaugeFamily, HistogramFamily, Series, Shape};
use crate::histogram::MOST_BOUNDS;
use crate::inventory::{self, Entry, Kind};
use crate::limits::{Budget, Limits};
use crate::negotiate::Format;
use crate::scalar::Counter;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

const FOLDED: Desc = Desc {
    name: "vestibule_metrics_folded_total",
    help: "Label sets that found no room under [metrics] max_series and went to the overflow set of their family.",
    labels: &["family"],
};

/// All families of the process. They live as long as it does: asking again for a name gives the same family.
pub struct Registry {
    budget: Arc<Budget>,
    folded: CounterFamily,
    families: Mutex<BTreeMap<&'static str, AnyFamily>>,
}

/// A family of any kind.
#[derive(Clone)]
pub(crate) enum AnyFamily {
    Counter(CounterFamily),
    Gauge(GaugeFamily),
    Histogram(HistogramFamily),
}

impl Default for Registry {
    fn default() -> Self {
        let budget = Arc::new(Budget::default());
        let folded = Family::new(FOLDED, Shape::new(&[]), Arc::clone(&budget), Counter::default());
        let families = BTreeMap::from([(FOLDED.name, AnyFamily::Counter(folded.clone()))]);
        Self { budget, folded, families: Mutex::new(families) }
    }
}

impl Registry {
    /// The counter family of this name, made when it is new.
    pub fn counter(&self, desc: Desc) -> CounterFamily {
        debug_assert!(desc.name.ends_with("_total"), "{}: a counter ends in _total", desc.name);
        self.family(desc, &[], AnyFamily::Counter, |family| match family {
            AnyFamily::Counter(family) => Some(family.clone()),
            _ => None,
        })
    }

    /// The gauge family of this name, made when it is new.
    pub fn gauge(&self, desc: Desc) -> GaugeFamily {
        self.family(desc, &[], AnyFamily::Gauge, |family| match family {
            AnyFamily::Gauge(family) => Some(family.clone()),
            _ => None,
        })
    }

    /// A gauge without labels that is read when somebody scrapes; `None` leaves its line out. Asking again replaces
    /// `read`, so what a reload replaced is best held weakly.
    pub fn gauge_fn(&self, desc: Desc, read: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        self.gauge(desc).with_fn(&[], read);
    }

    /// The histogram family of this name, made when it is new; `buckets` are at most 14 upper bounds in seconds,
    /// ascending, without `+Inf`.
    pub fn histogram(&self, desc: Desc, buckets: &'static [f64]) -> HistogramFamily {
        debug_assert!(buckets.is_sorted() && buckets.len() <= MOST_BOUNDS, "{}: buckets", desc.name);
        let buckets = &buckets[..buckets.len().min(MOST_BOUNDS)];
        self.family(desc, buckets, AnyFamily::Histogram, |family| match family {
            AnyFamily::Histogram(family) => Some(family.clone()),
            _ => None,
        })
    }

    fn family<S: Series>(
        &self,
        desc: Desc,
        buckets: &'static [f64],
        wrap: impl FnOnce(Family<S>) -> AnyFamily,
        unwrap: impl FnOnce(&AnyFamily) -> Option<Family<S>>,
    ) -> Family<S> {
        let mut families = self.families.lock();
        let known = families.get(desc.name).map(unwrap);
        let folded = || if desc.labels.is_empty() { Counter::default() } else { self.folded.with(&[desc.name]) };
        let make = || Family::new(desc, Shape::new(buckets), Arc::clone(&self.budget), folded());
        match known {
            Some(Some(family)) => {
                debug_assert_eq!(family.desc().labels, desc.labels, "{} is registered twice", desc.name);
                family
            }
            Some(None) => {
                debug_assert!(false, "{} is registered as another kind", desc.name);
                make()
            }
            None => {
                let family = make();
                families.insert(desc.name, wrap(family.clone()));
                family
            }
        }
    }

    /// Makes room for a configuration that is being built: the first one's limits are in force at once; of a later one,
    /// which may still fail, only a higher bound counts.
    pub fn prepare(&self, limits: Limits) {
        self.budget.prepare(limits);
    }

    /// Puts the limits of the configuration that serves in force.
    pub fn set_limits(&self, limits: Limits) {
        self.budget.set(limits);
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.budget.limits()
    }

    /// Whether anybody may scrape.
    pub fn enabled(&self) -> bool {
        self.limits().enabled
    }

    /// Everything as it stands, for a scraper.
    pub fn encode(&self, format: Format) -> String {
        encode::encode(&self.families(), format, self.limits())
    }

    /// What can be scraped from this process.
    pub fn inventory(&self) -> Vec<Entry> {
        self.families()
            .iter()
            .map(|family| match family {
                AnyFamily::Counter(family) => inventory::entry(family, Kind::Counter),
                AnyFamily::Gauge(family) => inventory::entry(family, Kind::Gauge),
                AnyFamily::Histogram(family) => inventory::entry(family, Kind::Histogram),
            })
            .collect()
    }

    /// The inventory as a Markdown table, for people.
    pub fn inventory_markdown(&self) -> String {
        inventory::markdown(&self.inventory())
    }

    /// By name.
    fn families(&self) -> Vec<AnyFamily> {
        self.families.lock().values().cloned().collect()
    }
}
