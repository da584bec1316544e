#![doc = include_str!("../README.md")]

mod admin;
mod build;
pub mod config;
mod explain;
mod headers;
mod hooks;
mod key;
mod metrics;
mod nearest;
mod policy;
mod shared;
mod stamp;
mod tiers;

use config::{Config, Route};
use hooks::Exchange;
use http::HeaderName;
use shared::Shared;
use std::sync::Arc;
use vestibule_plugin::{
    AdminCall, AdminReply, Build, BuildErrors, Deps, Facts, Hooks, Plugin, RequestHead, RouteId, Routes, Soon, Stage,
};
use vestibule_store::Quotas;

/// Decides how often each caller may ask, and says so.
pub struct RateLimit {
    shared: Arc<Shared>,
}

impl Plugin for RateLimit {
    fn attach(&self, _: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        if self.shared.is_free(route) {
            return None;
        }
        Some(Box::new(Exchange::new(Arc::clone(&self.shared))))
    }

    fn reads(&self) -> Vec<HeaderName> {
        self.shared.policies.values().flat_map(|policy| policy.key.headers()).cloned().collect()
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> Option<String> {
        Some(explain::lines(&self.shared, request, route, facts))
    }

    fn on_install(&self, _: Option<&dyn Plugin>) {
        self.shared.install();
    }

    fn admin_paths(&self) -> &'static [&'static str] {
        &["{policy}", "{policy}/{key}"]
    }

    fn admin<'a>(&'a self, call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
        admin::answer(&self.shared, call)
    }
}

impl Build for RateLimit {
    const NAME: &'static str = "rate_limit";
    const STAGE: Stage = Stage::Limit;
    type Config = Config;
    type Route = Route;
    type Store = Arc<dyn Quotas>;

    fn resolved(config: Config) -> Config {
        config.resolved()
    }

    fn oversized(config: &Config, memory_max: u64) -> BuildErrors {
        build::oversized(config, memory_max)
    }

    fn warnings(config: &Config, _: &Routes<Route>) -> BuildErrors {
        build::warnings(config)
    }

    fn build(config: Config, routes: &Routes<Route>, store: Arc<dyn Quotas>, deps: &Deps) -> Result<Self, BuildErrors> {
        Ok(Self { shared: Arc::new(build::build(&config, routes, store, deps)?) })
    }
}

#[cfg(test)]
mod tests;
