//! Metrics of every exchange.

mod config;

pub use config::Config;
use vestibule_plugin::{Build, BuildErrors, Deps, Hooks, NoRoute, Plugin, RequestHead, RouteId, Routes, Stage};

/// Counts and times every exchange.
pub struct Metrics;

impl Plugin for Metrics {
    fn attach(&self, _request: &RequestHead<'_>, _route: RouteId) -> Option<Box<dyn Hooks>> {
        None
    }
}

impl Build for Metrics {
    const NAME: &'static str = "metrics";
    const STAGE: Stage = Stage::Measure;
    const ON_BY_DEFAULT: bool = true;
    type Config = Config;
    type Route = NoRoute;
    type Store = ();

    fn build(_config: Config, _routes: &Routes<NoRoute>, _store: (), _deps: &Deps) -> Result<Self, BuildErrors> {
        Ok(Self)
    }
}
