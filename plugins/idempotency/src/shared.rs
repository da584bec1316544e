//! What all exchanges of one configuration share.

use crate::decoder::Decoders;
use crate::metrics::Requests;
use crate::names::Names;
use crate::policy::Policy;
use std::sync::Arc;
use vestibule_plugin::{Clock, Notice, RouteId, StoreKind};
use vestibule_store::Ledger;

/// A built configuration.
pub(crate) struct Shared {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) names: Names,
    pub(crate) requests: Requests,
    pub(crate) route_names: Arc<[String]>,
    pub(crate) store: StoreKind,
    pub(crate) ipv6_prefix: u8,
    /// Decodes stored replies for clients that do not take their coding.
    pub(crate) decoders: Decoders,
    /// Said once a minute: requests go on without protection.
    pub(crate) bypasses: Notice,
    /// A row a route, `unmatched` first.
    pub(crate) policies: Vec<Arc<Policy>>,
}

impl Shared {
    /// What runs on a route.
    pub(crate) fn policy(&self, route: RouteId) -> Option<&Arc<Policy>> {
        self.policies.get(route.index())
    }

    /// The configuration serves from now on.
    pub(crate) fn install(&self) {
        self.ledger.records().show(self.requests.records.clone());
        if self.store == StoreKind::Memory {
            tracing::warn!(
                target: "idempotency",
                store = "memory:",
                "keys are known to this process alone and are forgotten when it ends; set [store] url to share and keep them"
            );
        }
    }
}
