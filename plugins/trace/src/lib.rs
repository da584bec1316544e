#![doc = include_str!("../README.md")]

pub mod b3;
pub mod baggage;
mod config;
mod hex;
mod hooks;
mod ids;
mod incoming;
mod metrics;
mod names;
mod sampling;
#[cfg(test)]
mod tests;
pub mod traceparent;
pub mod tracestate;

pub use config::{Config, Format};

use config::Checked;
use hooks::{Exchange, Shared, Trust};
use metrics::Contexts;
use std::sync::Arc;
use vestibule_plugin::{
    Build, BuildErrors, Deps, Facts, Hooks, KeyPath, NoRoute, Plugin, RequestHead, RouteId, Routes, Stage,
};

/// Gives every exchange its place in a trace.
pub struct Trace {
    /// `None` when it is switched off.
    shared: Option<Arc<Shared>>,
}

impl Plugin for Trace {
    fn attach(&self, _request: &RequestHead<'_>, _route: RouteId) -> Option<Box<dyn Hooks>> {
        let shared = self.shared.as_ref()?;
        Some(Box::new(Exchange::new(Arc::clone(shared))))
    }

    fn explain(&self, request: &RequestHead<'_>, _: RouteId, facts: &mut Facts) -> Option<String> {
        let mut exchange = Exchange::new(Arc::clone(self.shared.as_ref()?));
        Some(exchange.explain(&*request.fields, *facts.trace()).to_owned())
    }
}

impl Build for Trace {
    const NAME: &'static str = "trace";
    const STAGE: Stage = Stage::Trace;
    const ON_BY_DEFAULT: bool = true;
    type Config = Config;
    type Route = NoRoute;
    type Store = ();

    fn warnings(config: &Config, _: &Routes<NoRoute>) -> BuildErrors {
        let mut warnings = BuildErrors::default();
        if !config.otlp.endpoint.is_empty() {
            let label = "only the audit trail's sink `otlp` uses it";
            warnings.error(KeyPath::table(["otlp"]), "spans are not exported", label);
        }
        warnings
    }

    fn build(config: Config, _routes: &Routes<NoRoute>, (): (), deps: &Deps) -> Result<Self, BuildErrors> {
        let Checked { response_header, share } = config.check()?;
        let contexts = Contexts::new(&deps.meter);
        let trust = if config.trust_incoming { Trust::Callers } else { Trust::Nobody };
        let shared = || Arc::new(Shared { formats: config.propagate, trust, response_header, share, contexts });
        Ok(Self { shared: config.enabled.then(shared) })
    }
}
