#![doc = include_str!("../README.md")]

mod build;
mod capture;
pub mod config;
mod deliver;
mod draft;
mod events;
mod explain;
mod fold;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod identity;
mod log;
mod members;
mod metadata;
mod metrics;
mod outcome;
mod redact;
mod shared;
mod status;
mod template;
#[cfg(test)]
mod tests;

use config::{Config, Route};
use hooks::Exchange;
use shared::Shared;
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use vestibule_plugin::{
    Build, BuildErrors, Deps, Event, Facts, Hooks, Plugin, RequestHead, RouteId, Routes, Soon, Stage,
};
use vestibule_store::{OnDemand, Streams};

/// Writes down what must be provable.
pub struct Audit {
    shared: Arc<Shared>,
}

impl Plugin for Audit {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        Some(Box::new(Exchange::new(&self.shared, request, route)?))
    }

    fn files(&self) -> Vec<PathBuf> {
        self.shared.files.clone()
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, _: &mut Facts) -> Option<String> {
        Some(explain::line(&self.shared, request, route))
    }

    fn prepare(&self, before: Option<&dyn Plugin>) -> Result<(), String> {
        let before = before.and_then(|before| (before as &dyn Any).downcast_ref::<Self>());
        self.shared.prepare(before.map(|before| &*before.shared))
    }

    fn on_install(&self, _: Option<&dyn Plugin>) {
        self.shared.install();
    }

    fn on_event(&self, event: &Event<'_>) {
        self.shared.hear(event);
    }

    fn on_stop(&self) -> Soon<'_, ()> {
        let Some(trail) = self.shared.trail.get() else { return Soon::Now(()) };
        Soon::later(async {
            trail.log.close().await;
            trail.delivery.end().await;
        })
    }

    fn status(&self) -> Option<serde_json::Value> {
        self.shared.trail.get().map(|trail| status::show(trail))
    }
}

impl Build for Audit {
    const NAME: &'static str = "audit";
    const STAGE: Stage = Stage::Audit;
    const RESTART: &'static [&'static str] = &["audit.dir"];
    type Config = Config;
    type Route = Route;
    type Store = Option<OnDemand<dyn Streams>>;

    fn warnings(config: &Config, _: &Routes<Route>) -> BuildErrors {
        build::warnings(config)
    }

    fn build(config: Config, routes: &Routes<Route>, streams: Self::Store, deps: &Deps) -> Result<Self, BuildErrors> {
        Ok(Self { shared: Arc::new(build::build(&config, routes, streams, deps)?) })
    }
}
