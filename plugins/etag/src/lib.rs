#![doc = include_str!("../README.md")]

mod answers;
mod conditional;
mod config;
mod date;
mod explain;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod if_match;
mod list;
mod metrics;
mod name;
mod precondition;
mod reply;
mod serialize;
mod tag;
#[cfg(test)]
mod tests;
mod write;

pub use config::{Concurrency, Config, Overrides, RouteKey, Strength};

use config::Policy;
use hooks::{Conditional, RequestBody, Shared};
use http::{Method, header};
use metrics::Responses;
use name::Names;
use precondition::Preconditions;
use serialize::Serialized;
use std::sync::Arc;
use vestibule_plugin::{Build, BuildErrors, Deps, Facts, Hooks, Plugin, RequestHead, RouteId, Routes, Stage};
use vestibule_store::{Locks, OnDemand};
use write::Write;

/// The plugin: one row a route, `None` where it is off.
pub struct ETag {
    routes: Vec<Option<Arc<Shared>>>,
    names: Names,
    /// Where a route serializes writes.
    locks: Option<Arc<Locks>>,
}

impl Build for ETag {
    const NAME: &'static str = "etag";
    const STAGE: Stage = Stage::Validate;
    type Config = Config;
    type Route = RouteKey;
    type Store = OnDemand<Locks>;

    fn build(
        config: Config,
        routes: &Routes<RouteKey>,
        store: OnDemand<Locks>,
        deps: &Deps,
    ) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        config.check(&mut errors);
        let policies: Vec<Option<Policy>> = routes.table(|entry| match entry {
            Some(entry) => config.on_route(entry, &mut errors),
            None => Some(config.policy()),
        });
        errors.or(|| {
            let responses = Responses::new(&deps.meter);
            let share = |policy| Arc::new(Shared { policy, responses: responses.clone() });
            let serializes = policies.iter().flatten().any(|policy| policy.concurrency == Concurrency::Serialize);
            Self {
                routes: policies.into_iter().map(|policy| policy.map(share)).collect(),
                names: Names::new(&deps.secret),
                locks: serializes.then(|| store.get()),
            }
        })
    }
}

impl Plugin for ETag {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let shared = self.routes.get(route.index())?.as_ref()?;
        match *request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS | Method::TRACE | Method::CONNECT => return None,
            _ => return self.attach_to_write(request, shared),
        }
        // A request that may become a tunnel cannot be held.
        if request.fields.has(&header::UPGRADE) {
            return None;
        }
        let body = if request.body_length == Some(0) { RequestBody::Absent } else { RequestBody::Present };
        Some(Box::new(Conditional::new(Arc::clone(shared), request.method.clone(), body)))
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, _: &mut Facts) -> Option<String> {
        let shared = self.routes.get(route.index())?.as_ref()?;
        Some(explain::line(&shared.policy, request))
    }
}

impl ETag {
    fn attach_to_write(&self, request: &RequestHead<'_>, shared: &Arc<Shared>) -> Option<Box<dyn Hooks>> {
        let preconditions = Preconditions::of(&*request.fields);
        let policy = &shared.policy;
        match (policy.concurrency, &self.locks) {
            (Concurrency::Serialize, Some(locks)) if write::is_change(request.method) => {
                let name = self.names.of(request);
                Some(Box::new(Serialized::new(Arc::clone(shared), Arc::clone(locks), name, preconditions)))
            }
            _ if preconditions.matches.is_some() || policy.require_if_match => {
                Some(Box::new(Write::new(Arc::clone(shared), preconditions)))
            }
            _ => None,
        }
    }
}
