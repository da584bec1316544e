#![doc = include_str!("../README.md")]

mod config;
mod hooks;
mod labels;
mod series;
mod table;
#[cfg(test)]
mod tests;

pub use config::Config;

use hooks::{Exchange, Shared};
use series::Series;
use std::sync::Arc;
use vestibule_plugin::meter::{Limits, Registry, process};
use vestibule_plugin::{Build, BuildErrors, Deps, Facts, Hooks, NoRoute, Plugin, RequestHead, RouteId, Routes, Stage};

/// Counts and times every exchange.
pub struct Metrics {
    meter: Arc<Registry>,
    limits: Limits,
    /// `None` when it is switched off.
    shared: Option<Arc<Shared>>,
}

impl Plugin for Metrics {
    fn attach(&self, _request: &RequestHead<'_>, _route: RouteId) -> Option<Box<dyn Hooks>> {
        let shared = self.shared.as_ref()?;
        Some(Box::new(Exchange::new(Arc::clone(shared))))
    }

    fn explain(&self, _: &RequestHead<'_>, _: RouteId, _: &mut Facts) -> Option<String> {
        self.shared.as_ref().map(|_| "counts and times the request".to_owned())
    }

    /// Here and not where it is built: a reload that fails changes nothing.
    fn on_install(&self, _: Option<&dyn Plugin>) {
        self.meter.set_limits(self.limits);
    }
}

impl Build for Metrics {
    const NAME: &'static str = "metrics";
    const STAGE: Stage = Stage::Measure;
    const ON_BY_DEFAULT: bool = true;
    type Config = Config;
    type Route = NoRoute;
    type Store = ();

    fn build(config: Config, _routes: &Routes<NoRoute>, (): (), deps: &Deps) -> Result<Self, BuildErrors> {
        let limits = config.limits()?;
        deps.meter.prepare(limits);
        process::register(&deps.meter);
        let shared = || {
            Arc::new(Shared { series: Series::new(deps), exemplars: limits.exemplars, clock: Arc::clone(&deps.clock) })
        };
        Ok(Self { meter: Arc::clone(&deps.meter), limits, shared: limits.enabled.then(shared) })
    }
}
