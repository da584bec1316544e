//! What all exchanges of one configuration share.

use crate::config::Anonymous;
use crate::decoder::Decoders;
use crate::metrics::Requests;
use crate::names::{Names, PrincipalId};
use crate::policy::Policy;
use crate::principal::{ADDRESS, ANONYMOUS, Kind};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::{ClientAddress, Clock, Facts, Notice, RouteId, StoreKind};
use vestibule_store::Ledger;
use vestibule_store::records::Payer;

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

    /// Whose share of a store in memory a record takes. Callers that share their keys have no share as one principal: each
    /// would use up that of all others.
    pub(crate) fn payer(&self, policy: &Policy, principal: PrincipalId, facts: &Facts) -> Payer {
        if self.store != StoreKind::Memory {
            return Payer::default();
        }
        let is_shared = match policy.anonymous {
            _ if policy.principal == [Kind::None] => true,
            Anonymous::Share => principal == self.names.principal(ANONYMOUS, b""),
            Anonymous::Reject => false,
        };
        let address = self.names.principal(ADDRESS, facts.address().to_string().as_bytes());
        Payer { principal: (!is_shared).then(|| principal.account()), address: Some(address.account()) }
    }

    /// Counts a claim that was granted to a client address.
    ///
    /// # Errors
    ///
    /// How long until it may have another one, when it has had as many as it may.
    pub(crate) fn admit_claim(&self, policy: &Policy, address: ClientAddress) -> Result<(), Duration> {
        let Some(pace) = policy.claims_per_client else { return Ok(()) };
        self.ledger.claims().take(pace, address, self.clock.now())
    }

    /// The configuration serves from now on.
    pub(crate) fn install(&self) {
        let largest = self.policies.iter().map(|policy| policy.max_response_body).max().unwrap_or_default();
        self.ledger.records().expect(largest as u64);
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
