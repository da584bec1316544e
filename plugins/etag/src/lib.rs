#![doc = include_str!("../README.md")]

mod conditional;
mod config;
mod date;
mod explain;
mod forward;
mod hooks;
mod list;
mod metrics;
mod reply;
mod tag;
#[cfg(test)]
mod tests;

pub use config::{Config, Overrides, RouteKey, Strength};

use config::Policy;
use hooks::{Conditional, RequestBody, Shared};
use http::{Method, header};
use metrics::Responses;
use std::sync::Arc;
use vestibule_plugin::{Build, BuildErrors, Deps, Facts, Hooks, Plugin, RequestHead, RouteId, Routes, Stage};

/// The plugin: one row a route, `None` where it is off.
pub struct ETag {
    routes: Vec<Option<Arc<Shared>>>,
}

impl Build for ETag {
    const NAME: &'static str = "etag";
    const STAGE: Stage = Stage::Validate;
    type Config = Config;
    type Route = RouteKey;
    type Store = ();

    fn build(config: Config, routes: &Routes<RouteKey>, (): (), deps: &Deps) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        config.check(&mut errors);
        let policies: Vec<Option<Policy>> = routes.table(|entry| match entry {
            Some(entry) => config.on_route(entry, &mut errors),
            None => Some(config.policy()),
        });
        errors.or(|| {
            let responses = Responses::new(&deps.meter);
            let share = |policy| Arc::new(Shared { policy, responses: responses.clone() });
            Self { routes: policies.into_iter().map(|policy| policy.map(share)).collect() }
        })
    }
}

impl Plugin for ETag {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let shared = self.routes.get(route.index())?.as_ref()?;
        let reads = matches!(*request.method, Method::GET | Method::HEAD);
        // A request that may become a tunnel cannot be held.
        if !reads || request.fields.map().contains_key(header::UPGRADE) {
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
