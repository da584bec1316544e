//! Entity tags and 304 for an application that sends none.

mod config;

pub use config::{Config, Overrides, RouteKey, Strength};

use config::Policy;
use vestibule_plugin::{Build, BuildErrors, Deps, Hooks, Plugin, RequestHead, RouteId, Routes, Stage};

/// The plugin.
pub struct ETag {
    routes: Vec<Option<Policy>>,
}

impl Build for ETag {
    const NAME: &'static str = "etag";
    const STAGE: Stage = Stage::Validate;
    type Config = Config;
    type Route = RouteKey;
    type Store = ();

    fn build(config: Config, routes: &Routes<RouteKey>, (): (), _deps: &Deps) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        config.check(&mut errors);
        let routes = routes.table(|entry| match entry {
            Some(entry) => config.on_route(entry, &mut errors),
            None => Some(config.policy()),
        });
        errors.or(|| Self { routes })
    }
}

impl Plugin for ETag {
    fn attach(&self, _request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let _policy = self.routes.get(route.index())?.as_ref()?;
        None
    }
}
