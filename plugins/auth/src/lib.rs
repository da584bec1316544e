#![doc = include_str!("../README.md")]

mod algorithm;
mod answers;
mod api_keys;
mod build;
mod check;
mod claims;
pub mod config;
mod credential;
mod door;
mod explain;
mod failures;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod json;
mod judge;
mod jwk;
mod key;
mod memory;
mod metrics;
mod remote;
mod shared;
mod tell;
mod token;
mod verify;

use config::{Config, Route};
use hooks::Exchange;
use http::HeaderName;
use http::header::AUTHORIZATION;
use shared::Shared;
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use vestibule_plugin::{Build, BuildErrors, Deps, Facts, Guard, Hooks, Plugin, RequestHead, RouteId, Routes, Stage};

/// Says who is calling.
pub struct Auth {
    shared: Arc<Shared>,
}

impl Plugin for Auth {
    fn attach(&self, _: &RequestHead<'_>, _: RouteId) -> Option<Box<dyn Hooks>> {
        Some(Box::new(Exchange::new(Arc::clone(&self.shared))))
    }

    fn reads(&self) -> Vec<HeaderName> {
        vec![AUTHORIZATION, self.shared.api_key_field.clone()]
    }

    fn guards(&self) -> Vec<(HeaderName, Guard)> {
        let told = self.shared.verifier.told.iter().map(|(_, field)| (field.clone(), Guard::Ours));
        told.chain([(self.shared.api_key_field.clone(), Guard::Exact)]).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.shared.files.clone()
    }

    fn unready(&self) -> Option<&'static str> {
        self.shared.lacks_keys().then_some("auth_keys")
    }

    fn explain(&self, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> Option<String> {
        Some(explain::line(&self.shared, request, route, facts))
    }

    fn on_install(&self, before: Option<&dyn Plugin>) {
        let before = before.and_then(|before| (before as &dyn Any).downcast_ref::<Self>());
        self.shared.install(before.map(|before| &*before.shared));
    }
}

impl Build for Auth {
    const NAME: &'static str = "auth";
    const STAGE: Stage = Stage::Authenticate;
    type Config = Config;
    type Route = Route;
    type Store = ();

    fn warnings(config: &Config, _: &Routes<Route>) -> BuildErrors {
        build::warnings(config)
    }

    fn build(config: Config, routes: &Routes<Route>, (): (), deps: &Deps) -> Result<Self, BuildErrors> {
        Ok(Self { shared: Arc::new(build::build(config, routes, deps)?) })
    }
}
