//! What is counted. Handles are resolved when a configuration is built, so a decision only adds.

use std::sync::OnceLock;
use vestibule_plugin::meter::{Counter, CounterFamily, Desc, GaugeFamily, Registry};
use vestibule_store::quotas::{Meters, Source};

const DECISIONS: Desc = Desc {
    name: "vestibule_rate_limit_decisions_total",
    help: "Decisions by policy, outcome and who decided.",
    labels: &["policy", "outcome", "source"],
};
const NEAR_LIMIT: Desc = Desc {
    name: "vestibule_rate_limit_near_limit_total",
    help: "Admissions that left less than a fifth of the burst.",
    labels: &["policy"],
};
const OVERFLOW: Desc = Desc {
    name: "vestibule_rate_limit_overflow_total",
    help: "Decisions by a bucket shared with the client's network, as there was no room for one more key.",
    labels: &["policy"],
};
const UNKNOWN_TIER: Desc = Desc {
    name: "vestibule_rate_limit_unknown_tier_total",
    help: "Requests whose credential named a tier that does not exist.",
    labels: &[],
};
const LEASE_UNITS: Desc = Desc {
    name: "vestibule_rate_limit_lease_units_total",
    help: "Units borrowed from the store, by what became of them.",
    labels: &["outcome"],
};
const PEERS: Desc = Desc {
    name: "vestibule_rate_limit_peers",
    help: "Proxies that share the store, this one included, as last counted.",
    labels: &[],
};
const KEYS: Desc = Desc { name: "vestibule_rate_limit_keys", help: "Keys held in this process.", labels: &[] };

/// Those of the whole plugin.
pub(crate) struct PluginMetrics {
    pub(crate) unknown_tier: Counter,
    keys: GaugeFamily,
}

impl PluginMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let keys = registry.gauge(KEYS);
        // There from the start, and 0 until this serves.
        let _ = keys.with(&[]);
        Self { unknown_tier: registry.counter(UNKNOWN_TIER).with(&[]), keys }
    }

    /// Reads the number of keys when somebody scrapes.
    pub(crate) fn show_keys(&self, keys: impl Fn() -> u64 + Send + Sync + 'static) {
        self.keys.with_fn(&[], move || Some(f64::from(u32::try_from(keys()).unwrap_or(u32::MAX))));
    }
}

/// Those that the store counts.
pub(crate) fn meters(registry: &Registry) -> Meters {
    let units = registry.counter(LEASE_UNITS).closed("outcome", &["used", "refunded", "expired"]);
    Meters {
        used: units.with(&["used"]),
        refunded: units.with(&["refunded"]),
        expired: units.with(&["expired"]),
        peers: registry.gauge(PEERS).with(&[]),
    }
}

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decided {
    Allowed,
    Denied,
    ShadowDenied,
    /// The store failed and the operator said what that means.
    Error,
}

const DECIDED: [&str; 4] = ["allowed", "denied", "shadow_denied", "error"];
const SOURCES: [&str; 5] = ["local", "lease", "store", "hold", "fallback"];

/// Those of one policy.
pub(crate) struct PolicyMetrics {
    name: Box<str>,
    decisions: CounterFamily,
    /// By outcome and source; what never happens has no series.
    decided: [[OnceLock<Counter>; SOURCES.len()]; DECIDED.len()],
    pub(crate) near_limit: Counter,
    pub(crate) overflow: Counter,
}

impl PolicyMetrics {
    pub(crate) fn new(registry: &Registry, policy: &str) -> Self {
        let decisions = registry.counter(DECISIONS).with_exemplars();
        let metrics = Self {
            name: policy.into(),
            decisions: decisions.closed("outcome", &DECIDED).closed("source", &SOURCES),
            decided: Default::default(),
            near_limit: registry.counter(NEAR_LIMIT).with(&[policy]),
            overflow: registry.counter(OVERFLOW).with(&[policy]),
        };
        // From the start, so that a rate over them is right from the first refusal on.
        for outcome in [Decided::Allowed, Decided::Denied, Decided::ShadowDenied] {
            metrics.decided(outcome, Source::Local);
        }
        metrics
    }

    /// What counts decisions with this outcome by this source.
    pub(crate) fn decided(&self, outcome: Decided, source: Source) -> &Counter {
        let at = match source {
            Source::Local | Source::Overflow => 0,
            Source::Lease => 1,
            Source::Store => 2,
            Source::Hold => 3,
            Source::Fallback => 4,
        };
        let outcome = outcome as usize;
        self.decided[outcome][at].get_or_init(|| self.decisions.with(&[&self.name, DECIDED[outcome], SOURCES[at]]))
    }

    /// Decisions by outcome, whoever made them.
    pub(crate) fn total(&self, outcome: Decided) -> u64 {
        self.decided[outcome as usize].iter().filter_map(OnceLock::get).map(Counter::get).sum()
    }
}
