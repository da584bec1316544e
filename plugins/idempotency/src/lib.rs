#![doc = include_str!("../README.md")]

mod admin;
mod answers;
mod claim;
pub mod config;
mod decoder;
mod explain;
mod fail;
mod fate;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod key;
mod line;
mod metrics;
mod names;
mod notes;
mod policy;
mod principal;
mod replay;
mod seal;
mod shared;
mod stored;
mod undo;
mod word;

use config::{Config, RouteKey};
use decoder::Decoders;
use hooks::Exchange;
use http::HeaderName;
use metrics::Requests;
use names::Names;
use policy::Policy;
use shared::Shared;
use std::collections::BTreeSet;
use std::sync::Arc;
use vestibule_plugin::{
    AdminCall, AdminReply, Build, BuildErrors, Deps, Facts, Guard, Hooks, KeyPath, Notice, Plugin, RequestHead,
    RouteId, Routes, Soon, Stage,
};
use vestibule_store::Ledger;

/// Answers a repeated write with its first reply.
pub struct Idempotency {
    shared: Arc<Shared>,
}

impl Plugin for Idempotency {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let policy = self.shared.policy(route)?;
        if !hooks::concerns(policy, request.method, request) {
            return None;
        }
        Some(Box::new(Exchange::new(Arc::clone(&self.shared), Arc::clone(policy), route)))
    }

    fn reads(&self) -> Vec<HeaderName> {
        let policies = &self.shared.policies;
        let keys = policies.iter().map(|policy| policy.header.clone());
        let principals = policies.iter().flat_map(|policy| policy.principal.iter().filter_map(principal::Kind::reads));
        let mut all: Vec<HeaderName> = keys.chain(principals).collect();
        let mut seen = BTreeSet::new();
        all.retain(|name| seen.insert(name.as_str().to_owned()));
        all
    }

    fn guards(&self) -> Vec<(HeaderName, Guard)> {
        self.shared.policies.iter().map(|policy| (policy.header.clone(), Guard::Exact)).collect()
    }

    fn keeps_to_itself(&self) -> Vec<HeaderName> {
        vec![word::FIELD]
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> Option<String> {
        let policy = self.shared.policy(route)?;
        Some(explain::line(&self.shared, policy, request, route, facts))
    }

    fn on_install(&self, _: Option<&dyn Plugin>) {
        self.shared.install();
    }

    fn admin_paths(&self) -> &'static [&'static str] {
        &["{principal}/{key}"]
    }

    fn admin<'a>(&'a self, call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
        admin::answer(&self.shared, call)
    }
}

impl Build for Idempotency {
    const NAME: &'static str = "idempotency";
    const STAGE: Stage = Stage::Replay;
    type Config = Config;
    type Route = RouteKey;
    type Store = Arc<Ledger>;

    fn warnings(config: &Config, routes: &Routes<RouteKey>) -> BuildErrors {
        let mut warnings = BuildErrors::default();
        policy::warn(&config.as_written(), &in_table, &mut warnings);
        for entry in routes.iter() {
            if let Some(key) = &entry.key {
                policy::warn(&key.overrides(), &on_route(entry.id), &mut warnings);
            }
        }
        warnings
    }

    fn build(config: Config, routes: &Routes<RouteKey>, ledger: Arc<Ledger>, deps: &Deps) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        let keys = policy::check(&config.as_written(), &in_table, deps, &mut errors);
        let policies: Vec<Option<Policy>> = routes.table(|entry| {
            let Some((entry, written)) = entry.and_then(|entry| Some((entry, entry.key.as_ref()?.overrides()))) else {
                return Policy::new(&config, keys.clone());
            };
            let on_route = on_route(entry.id);
            let own_keys = policy::check(&written, &on_route, deps, &mut errors);
            let keys = if written.encryption_keys_file.is_some() { own_keys } else { keys.clone() };
            Policy::new(&config.with(&written), keys)
        });
        errors.or(|| Self {
            shared: Arc::new(Shared {
                ledger,
                clock: Arc::clone(&deps.clock),
                names: Names::new(&deps.secret, &deps.store.namespace),
                requests: Requests::new(&deps.meter, &deps.route_names),
                route_names: Arc::clone(&deps.route_names),
                store: deps.store.kind,
                ipv6_prefix: deps.ipv6_prefix,
                decoders: Decoders::default(),
                bypasses: Notice::default(),
                // Where nothing was wrong, every policy is there.
                policies: policies.into_iter().flatten().map(Arc::new).collect(),
            }),
        })
    }
}

/// Where a key of the table stands.
fn in_table(keys: &[&str]) -> KeyPath {
    KeyPath::Table(keys.iter().map(|&key| key.to_owned()).collect())
}

/// Where a key of a route's own table stands.
fn on_route(route: RouteId) -> impl Fn(&[&str]) -> KeyPath {
    move |keys| KeyPath::Route(route, keys.iter().map(|&key| key.to_owned()).collect())
}

#[cfg(test)]
mod tests;
