//! Trace context.

mod config;

pub use config::{Config, Format};
use vestibule_plugin::{
    Build, BuildErrors, Deps, Hooks, NoRoute, Plugin, RequestHead, RouteId, Routes, Stage,
};

/// Gives every exchange its place in a trace.
pub struct Trace;

impl Plugin for Trace {
    fn attach(&self, _request: &RequestHead<'_>, _route: RouteId) -> Option<Box<dyn Hooks>> {
        None
    }
}

impl Build for Trace {
    const NAME: &'static str = "trace";
    const STAGE: Stage = Stage::Trace;
    const ON_BY_DEFAULT: bool = true;
    type Config = Config;
    type Route = NoRoute;
    type Store = ();

    fn build(_config: Config, _routes: &Routes<NoRoute>, _store: (), _deps: &Deps) -> Result<Self, BuildErrors> {
        Ok(Self)
    }
}
