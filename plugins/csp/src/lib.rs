#![doc = include_str!("../README.md")]

mod admin;
mod answers;
mod build;
mod clean;
pub mod config;
mod directive;
mod explain;
mod fold;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod hooks;
mod intake;
mod kept;
mod metrics;
mod noise;
mod policy;
mod rate;
mod record;
mod report;
mod sinks;
mod stamp;

use config::{Config, Route};
use header::{Policy, Scheme};
use hooks::{Delivery, Page};
use http::Method;
use intake::Intake;
use kept::Kept;
use metrics::Metrics;
use sinks::Sink;
use stamp::Stamp;
use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use vestibule_plugin::{
    AdminCall, AdminReply, Build, BuildErrors, Clock, Deps, Facts, Hooks, OwnRoute, Plugin, RequestHead, RouteId,
    Routes, Soon, Stage,
};
use vestibule_store::{OnDemand, Streams};

/// The route of reports.
const REPORTS: &str = "csp-reports";

/// Adds policies, and takes reports.
pub struct Csp {
    config: Config,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    route_names: Arc<[String]>,
    /// By route; where it is `None` nothing is added.
    policies: Vec<Option<Arc<Policy>>>,
    /// Where reports are taken, if they are.
    reports: Option<(RouteId, Arc<Intake>)>,
    sinks: Vec<Sink>,
    /// Absent until this is about to serve.
    kept: OnceLock<Arc<Kept>>,
}

impl Csp {
    fn policy(&self, route: RouteId) -> Option<&Arc<Policy>> {
        // The path of reports has what the table says.
        self.policies.get(route.index()).unwrap_or(&self.policies[0]).as_ref()
    }

    fn intake(&self, route: RouteId) -> Option<&Arc<Intake>> {
        self.reports.as_ref().filter(|(own, _)| *own == route).map(|(_, intake)| intake)
    }
}

impl Plugin for Csp {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let page = self.policy(route).map(|policy| Page::new(policy, request));
        match self.intake(route) {
            Some(intake) => Some(Box::new(Delivery::new(intake, page))),
            None => page.map(|page| Box::new(page) as _),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        Some(&self.config.sink_token_file).filter(|path| !path.is_empty()).map(PathBuf::from).into_iter().collect()
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, _: &mut Facts) -> Option<String> {
        let Config { rate, max_body, sample, report_path, .. } = &self.config;
        Some(match self.intake(route) {
            Some(_) => explain::reports(request.method, *rate, *max_body, *sample, &self.sinks),
            None => {
                let name = self.route_names.get(route.index()).map_or("unmatched", String::as_str);
                let policy = self.policy(route).map(|policy| &**policy);
                explain::page(policy, name, Scheme::of(request.scheme), report_path)
            }
        })
    }

    fn prepare(&self, before: Option<&dyn Plugin>) -> Result<(), String> {
        for sink in &self.sinks {
            if let Sink::File(path) = sink
                && self.reports.is_some()
            {
                sinks::check_file(path).map_err(|error| format!("cannot write to `{}`: {error}", path.display()))?;
            }
        }
        let before = before.and_then(|before| (before as &dyn Any).downcast_ref::<Self>());
        let kept = match before.and_then(|before| before.kept.get()) {
            Some(kept) => Arc::clone(kept),
            None => Kept::start(self.config.rate, &self.clock, &self.metrics)?,
        };
        if let Some((_, intake)) = &self.reports {
            intake.install(&kept);
        }
        // Once: whoever prepares twice keeps the first.
        let _ = self.kept.set(kept);
        Ok(())
    }

    fn on_install(&self, _: Option<&dyn Plugin>) {
        if let Some(kept) = self.kept.get() {
            kept.limit_to(self.config.rate);
            kept.deliver_to(if self.reports.is_some() { &self.sinks } else { &[] });
        }
    }

    fn on_stop(&self) -> Soon<'_, ()> {
        match self.kept.get() {
            Some(kept) => Soon::later(kept.put_away()),
            None => Soon::Now(()),
        }
    }

    fn admin<'a>(&'a self, call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
        let kept = self.kept.get().filter(|_| call.segments.is_empty())?;
        if *call.method != Method::GET {
            return Some(Soon::Now(AdminReply::MethodNotAllowed("GET, HEAD")));
        }
        Some(Soon::Now(match admin::Query::parse(call.query) {
            Ok(query) => AdminReply::Json(admin::page(kept, Stamp::of(self.clock.wall()), &query)),
            Err(why) => AdminReply::BadRequest(why),
        }))
    }
}

impl Build for Csp {
    const NAME: &'static str = "csp";
    const STAGE: Stage = Stage::Answer;
    type Config = Config;
    type Route = Route;
    type Store = Option<OnDemand<dyn Streams>>;

    fn own_routes(config: &Config) -> Vec<OwnRoute> {
        let own = OwnRoute {
            name: REPORTS,
            path: config.report_path.clone(),
            path_key: "report_path",
            needs: vec![Method::POST, Method::OPTIONS],
            switch: "reports",
        };
        config.reports.then_some(own).into_iter().collect()
    }

    fn warnings(config: &Config, routes: &Routes<Route>) -> BuildErrors {
        build::warnings(config, routes)
    }

    fn build(
        config: Config,
        routes: &Routes<Route>,
        streams: Option<OnDemand<dyn Streams>>,
        deps: &Deps,
    ) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        let policies = build::policies(&config, routes, &mut errors);
        let terms = build::terms(&config, &mut errors);
        let token = build::read_token(&config, &mut errors);
        let sinks = build::sinks(&config, token.as_ref(), streams.as_ref(), &mut errors);
        errors.or(|| {
            let metrics = Arc::new(Metrics::new(&deps.meter));
            let own = deps.route_names.iter().rposition(|name| name == REPORTS).filter(|_| config.reports);
            let own = own.and_then(|at| u16::try_from(at).ok()).map(RouteId);
            Self {
                reports: own.map(|own| (own, Arc::new(Intake::new(terms, &deps.clock, &metrics)))),
                clock: Arc::clone(&deps.clock),
                route_names: Arc::clone(&deps.route_names),
                kept: OnceLock::new(),
                config,
                metrics,
                policies,
                sinks,
            }
        })
    }
}

#[cfg(test)]
mod tests;
