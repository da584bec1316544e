//! Rate limits.

pub mod config;

use config::{Config, Route};
use std::sync::Arc;
use vestibule_plugin::{Build, BuildErrors, Deps, Hooks, Plugin, RequestHead, RouteId, Routes, Stage};
use vestibule_store::Quotas;

/// The plugin.
pub struct RateLimit {}

impl Plugin for RateLimit {
    fn attach(&self, _request: &RequestHead<'_>, _route: RouteId) -> Option<Box<dyn Hooks>> {
        None
    }
}

impl Build for RateLimit {
    const NAME: &'static str = "rate_limit";
    const STAGE: Stage = Stage::Limit;
    type Config = Config;
    type Route = Route;
    type Store = Arc<dyn Quotas>;

    fn build(config: Config, _: &Routes<Route>, store: Arc<dyn Quotas>, _: &Deps) -> Result<Self, BuildErrors> {
        store.reserve(config.capacity);
        Ok(Self {})
    }
}
