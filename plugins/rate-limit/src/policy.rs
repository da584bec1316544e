//! Policies, and which of them apply together.

use crate::headers;
use crate::key::KeySpec;
use crate::metrics::PolicyMetrics;
use http::HeaderValue;
use smallvec::SmallVec;
use std::sync::Arc;
use vestibule_plugin::units::Rate;
use vestibule_plugin::{ClientAddress, Facts, RequestHead};
use vestibule_store::quotas::{Charge, Demand, Force, Limit, TopRefused};

/// A named limit.
pub(crate) struct Policy {
    pub(crate) limit: Limit,
    /// The limit as written.
    pub(crate) rate: Rate,
    pub(crate) key: KeySpec,
    /// Units of a request, where its route does not multiply them.
    pub(crate) cost: u64,
    pub(crate) force: Force,
    pub(crate) metrics: PolicyMetrics,
    pub(crate) refusals: Arc<TopRefused>,
}

impl Policy {
    pub(crate) fn is_enforced(&self) -> bool {
        self.force == Force::Enforced
    }
}

/// The policies of one tier on one route, in order.
pub(crate) struct Plan {
    /// At most [`MAX_CHARGES`](vestibule_store::quotas::MAX_CHARGES).
    entries: Vec<PlanEntry>,
    /// The different keys among them.
    keys: Vec<KeySpec>,
    /// `RateLimit-Policy`; `None` when none is enforced.
    pub(crate) policy_field: Option<HeaderValue>,
}

/// A policy in a plan.
pub(crate) struct PlanEntry {
    pub(crate) policy: Arc<Policy>,
    /// Index in `Plan::keys`.
    key: usize,
    cost: u64,
}

/// The key texts of one request, in the order of its plan's keys: one behind the other, so that they are one allocation.
#[derive(Default)]
pub(crate) struct KeyTexts {
    text: String,
    ends: SmallVec<[usize; 2]>,
}

/// Bytes that most key texts of a request fit in.
const USUAL_BYTES: usize = 48;

impl KeyTexts {
    fn get(&self, key: usize) -> &str {
        let begin = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[key]]
    }
}

impl Plan {
    /// `None` when there is nothing to decide. `policies` are at most [`MAX_CHARGES`](vestibule_store::quotas::MAX_CHARGES), each once.
    pub(crate) fn new(policies: &[Arc<Policy>], route_cost: u64) -> Option<Self> {
        if policies.is_empty() {
            return None;
        }
        let mut keys: Vec<KeySpec> = Vec::new();
        let entries = policies
            .iter()
            .map(|policy| {
                let key = keys.iter().position(|key| *key == policy.key).unwrap_or_else(|| {
                    keys.push(policy.key.clone());
                    keys.len() - 1
                });
                PlanEntry { policy: Arc::clone(policy), key, cost: policy.cost.saturating_mul(route_cost) }
            })
            .collect();
        let enforced = policies.iter().filter(|policy| policy.is_enforced());
        let policy_field = headers::policy(enforced.map(|policy| &policy.limit));
        Some(Self { entries, keys, policy_field })
    }

    /// The policies, in order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.entries.iter().map(|entry| &*entry.policy)
    }

    /// Who is counted.
    pub(crate) fn key_texts(&self, request: &RequestHead<'_>, facts: &Facts) -> KeyTexts {
        let mut texts = KeyTexts { text: String::with_capacity(USUAL_BYTES), ..KeyTexts::default() };
        for key in &self.keys {
            key.write(&mut texts.text, request, facts);
            texts.ends.push(texts.text.len());
        }
        texts
    }

    /// The key text of the policy at this place in the order.
    pub(crate) fn key_text<'a>(&self, place: usize, texts: &'a KeyTexts) -> &'a str {
        texts.get(self.entries[place].key)
    }

    /// Units that a request costs under the policy at this place.
    pub(crate) fn cost(&self, place: usize) -> u64 {
        self.entries[place].cost
    }

    /// What a request with these key texts asks for.
    pub(crate) fn demand<'a>(&'a self, texts: &'a KeyTexts, address: ClientAddress) -> Demand<'a> {
        let charges = self.entries.iter().map(|entry| Charge {
            limit: &entry.policy.limit,
            key: texts.get(entry.key),
            cost: entry.cost,
            force: entry.policy.force,
        });
        Demand { charges: charges.collect(), address }
    }
}
