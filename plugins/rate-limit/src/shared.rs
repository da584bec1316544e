//! What all exchanges of one configuration share.

use crate::config::Headers;
use crate::metrics::PluginMetrics;
use crate::policy::{Plan, Policy};
use crate::tiers::{Claimed, TierId, Tiers};
use std::collections::BTreeMap;
use std::sync::Arc;
use vestibule_plugin::{Clock, Notice, RouteId, Secret};
use vestibule_store::Quotas;
use vestibule_store::quotas::Tuning;

/// A built configuration.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Quotas>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secret: Arc<Secret>,
    /// Bits of an IPv6 address that make a client.
    pub(crate) ipv6_prefix: u8,
    pub(crate) dialect: Headers,
    /// The claim that names a tier.
    pub(crate) tier_claim: Box<str>,
    /// How the store is used.
    pub(crate) tuning: Tuning,
    pub(crate) policies: BTreeMap<String, Arc<Policy>>,
    pub(crate) tiers: Tiers,
    /// A row a route, `unmatched` first; in it a plan a tier.
    pub(crate) plans: Vec<Vec<Option<Plan>>>,
    pub(crate) metrics: PluginMetrics,
    pub(crate) unknown_tier: Notice,
    pub(crate) overflow: Notice,
}

impl Shared {
    /// Makes room for the keys. Without memory for them, what there was goes on serving.
    pub(crate) fn install(&self) {
        let store = Arc::clone(&self.store);
        self.metrics.show_keys(move || store.keys());
        if let Err(outage) = self.store.tune(&self.tuning) {
            tracing::error!(target: "rate_limit", capacity = self.tuning.keys, error = %outage, "capacity not changed");
        }
    }

    /// What applies to callers of a tier on a route.
    pub(crate) fn plan(&self, route: RouteId, tier: TierId) -> Option<&Plan> {
        self.plans.get(route.index())?.get(tier.0)?.as_ref()
    }

    /// Whether nobody has a limit on this route.
    pub(crate) fn is_free(&self, route: RouteId) -> bool {
        self.plans.get(route.index()).is_none_or(|row| row.iter().all(Option::is_none))
    }

    /// The tier of a caller; one that does not exist is counted.
    pub(crate) fn tier(&self, claimed: Claimed<'_>) -> TierId {
        let resolved = self.tiers.resolve(claimed);
        if resolved.unknown {
            self.metrics.unknown_tier.inc();
            if self.unknown_tier.is_due(self.clock.now()) {
                // The name is the client's credential's, so it is not logged.
                let tier = &**self.tiers.name(resolved.tier);
                tracing::warn!(target: "rate_limit", default_tier = tier, "a credential names an unknown tier");
            }
        }
        resolved.tier
    }

    /// Says, now and then, that the table is full.
    pub(crate) fn note_overflow(&self, policy: &Policy) {
        if self.overflow.is_due(self.clock.now()) {
            tracing::warn!(
                target: "rate_limit",
                policy = &**policy.limit.name(),
                keys = self.store.keys(),
                "no room for another key, clients share the bucket of their network; raise capacity"
            );
        }
    }
}
