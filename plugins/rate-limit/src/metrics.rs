//! What is counted. Handles are resolved when a configuration is built, so a decision only adds.

use vestibule_plugin::meter::{Counter, Desc, Gauge, Registry};

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
const KEYS: Desc = Desc { name: "vestibule_rate_limit_keys", help: "Keys held in this process.", labels: &[] };

/// Those of the whole plugin.
pub(crate) struct PluginMetrics {
    pub(crate) unknown_tier: Counter,
    pub(crate) keys: Gauge,
}

impl PluginMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self { unknown_tier: registry.counter(UNKNOWN_TIER).with(&[]), keys: registry.gauge(KEYS).with(&[]) }
    }
}

/// Those of one policy.
pub(crate) struct PolicyMetrics {
    pub(crate) allowed: Counter,
    pub(crate) denied: Counter,
    pub(crate) shadow_denied: Counter,
    pub(crate) near_limit: Counter,
    pub(crate) overflow: Counter,
}

impl PolicyMetrics {
    pub(crate) fn new(registry: &Registry, policy: &str) -> Self {
        let decisions = registry.counter(DECISIONS).with_exemplars();
        let decisions =
            decisions.closed("outcome", &["allowed", "denied", "shadow_denied"]).closed("source", &["local"]);
        let decided = |outcome| decisions.with(&[policy, outcome, "local"]);
        Self {
            allowed: decided("allowed"),
            denied: decided("denied"),
            shadow_denied: decided("shadow_denied"),
            near_limit: registry.counter(NEAR_LIMIT).with(&[policy]),
            overflow: registry.counter(OVERFLOW).with(&[policy]),
        }
    }
}
