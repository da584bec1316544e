//! One generation of the configuration, built and ready to serve.

use crate::config::settings::{self, Settings};
use crate::config::{Built, Generation};
use crate::downstream::Head;
use crate::edge::connection_options::Protected;
use crate::edge::forwarded::Trust;
use crate::edge::guarded::Guarded;
use crate::exchange::{Attached, Request, Story};
use crate::proxy::wire::Via;
use crate::routes::Routes;
use crate::stores::Stores;
use crate::upstream::Upstream;
use futures::future::join_all;
use http::HeaderName;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vestibule_plugin::{Event, Fields, RequestHead, RouteId, Running};

/// A generation. Exchanges pin the one they began with.
pub struct Pipeline {
    number: u64,
    /// What the host runs by.
    pub settings: Settings,
    /// The plugins that are on, outermost first.
    pub plugins: Vec<Built>,
    switched_off: Vec<Built>,
    /// The stores that its plugins use.
    pub stores: Stores,
    /// Path templates.
    pub routes: Routes,
    /// Who may speak for a client.
    pub trust: Trust,
    /// Fields that Connection must not name.
    pub protected: Protected,
    /// Response fields that are for plugins alone.
    pub kept_back: Vec<HeaderName>,
    /// Request fields that must not be forged.
    pub guarded: Guarded,
    /// The entry in Via.
    pub via: Option<Via>,
    /// Upstreams by route.
    upstreams: Vec<Arc<Upstream>>,
    upgrades: Vec<bool>,
    /// By route: the plugin that serves it.
    owners: Vec<Option<&'static str>>,
    route_names: Arc<[String]>,
    /// The effective configuration as TOML, secrets masked.
    pub effective: String,
    /// Differs when the configuration does.
    pub hash: String,
    /// When it began to serve.
    pub since: SystemTime,
}

impl Pipeline {
    /// Makes a loaded configuration ready. `known` are upstreams of the generation before: an unchanged one is kept,
    /// with what it knows about addresses and health.
    pub fn new(
        number: u64,
        generation: Generation,
        known: &[Arc<Upstream>],
        host: &crate::host::Lent,
    ) -> Result<Self, String> {
        let Generation { settings, plugins, switched_off, stores, effective, hash, route_names, warnings: _ } =
            generation;
        let routes = Routes::new(&settings.routes, &settings.server.methods, settings.server.path_case)?;
        let mut upstreams: Vec<Arc<Upstream>> = Vec::with_capacity(settings.routes.len() + 1);
        let own = settings.routes.iter().map(|route| route.upstream.as_ref());
        for wanted in std::iter::once(None).chain(own) {
            let wanted: &settings::Upstream = wanted.unwrap_or(&settings.upstream);
            let same = |upstream: &&Arc<Upstream>| upstream.settings == *wanted;
            let upstream = match upstreams.iter().chain(known).find(same) {
                Some(upstream) => Arc::clone(upstream),
                None => Upstream::new(wanted.clone(), host),
            };
            upstreams.push(upstream);
        }
        let upgrades = std::iter::once(false).chain(settings.routes.iter().map(|route| route.upgrade)).collect();
        let owners = std::iter::once(None).chain(settings.routes.iter().map(|route| route.owner)).collect();
        Ok(Self {
            number,
            routes,
            trust: Trust {
                proxies: settings.server.trusted_proxies.clone(),
                field: settings.server.forwarding_field,
                ipv6_prefix: settings.server.ipv6_prefix,
            },
            protected: Protected {
                configured: plugins
                    .iter()
                    .flat_map(|built| {
                        let guards = built.plugin.guards().into_iter().map(|(name, _)| name);
                        guards.chain(built.plugin.reads())
                    })
                    .collect(),
            },
            guarded: Guarded::new(plugins.iter().flat_map(|built| built.plugin.guards())),
            kept_back: plugins.iter().flat_map(|built| built.plugin.keeps_to_itself()).collect(),
            via: Via::new(&settings.server.via),
            upstreams,
            upgrades,
            owners,
            route_names,
            effective,
            hash,
            since: SystemTime::now(),
            plugins,
            switched_off,
            stores,
            settings,
        })
    }

    /// Counts configurations that have served, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The name of a route.
    pub fn route_name(&self, route: RouteId) -> &str {
        self.route_names.get(route.index()).map_or("unmatched", String::as_str)
    }

    /// Where requests of a route go.
    pub fn upstream(&self, route: RouteId) -> &Arc<Upstream> {
        self.upstreams.get(route.index()).unwrap_or(&self.upstreams[0])
    }

    /// All upstreams; one that several routes share stands there for each.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Whether WebSocket upgrades pass on a route.
    pub fn allows_upgrade(&self, route: RouteId) -> bool {
        self.upgrades.get(route.index()).copied().unwrap_or(false)
    }

    /// The plugin that serves a route, if it is not the application.
    pub fn owner(&self, route: RouteId) -> Option<&'static str> {
        self.owners.get(route.index()).copied().flatten()
    }

    /// Whether a plugin is asked about requests of a route: beside the owner of one only those that watch are.
    pub fn concerns(&self, built: &Built, route: RouteId) -> bool {
        self.owner(route).is_none_or(|owner| owner == built.name || built.stage.observes())
    }

    /// How lines are written.
    pub fn log(&self) -> settings::Log {
        self.settings.log
    }

    /// Tells every plugin that this configuration serves from now on, also those that are switched off.
    /// `before` is the one that served until now.
    pub fn install(&self, before: Option<&Self>) {
        self.stores.bound(self.settings.store.memory_max);
        for built in self.plugins.iter().chain(&self.switched_off) {
            let same = |other: &&Built| other.name == built.name;
            let before = before.and_then(|before| before.plugins.iter().find(same));
            built.plugin.on_install(before.map(|before| &*before.plugin));
        }
    }

    /// Has every plugin take what it needs before this configuration serves; what stands in the way, if anything does.
    pub fn prepare(&self, before: Option<&Self>) -> Result<(), String> {
        for built in &self.plugins {
            let before = before.and_then(|before| before.plugins.iter().find(|other| other.name == built.name));
            built
                .plugin
                .prepare(before.map(|before| &*before.plugin))
                .map_err(|why| format!("[{}]: {why}", built.name))?;
        }
        Ok(())
    }

    /// Tells every plugin what happened.
    pub fn tell(&self, event: &Event<'_>) {
        for built in &self.plugins {
            built.plugin.on_event(event);
        }
    }

    /// Tells those plugins what happened that `after` does not have.
    pub fn tell_those_without(&self, after: &Self, event: &Event<'_>) {
        let stays = |built: &&Built| after.plugins.iter().any(|other| other.name == built.name);
        for built in self.plugins.iter().filter(|built| !stays(built)) {
            built.plugin.on_event(event);
        }
    }

    /// Lets every plugin put what it still has in hand where it belongs; at most `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.tell(&Event::Stopped(self.running()));
        let stops = self.plugins.iter().map(|built| built.plugin.on_stop().get());
        if tokio::time::timeout(patience, join_all(stops)).await.is_err() {
            tracing::warn!(target: "listener", "stopped before every plugin had put away what it had in hand");
        }
    }

    /// As events name it.
    pub fn running(&self) -> Running<'_> {
        Running { version: crate::build::VERSION, generation: self.number, config_hash: &self.hash }
    }

    /// Asks every plugin whether it takes part in this exchange.
    pub fn attach(&self, request: &Request, head: &mut Head, story: &mut Story) {
        let head = request.head(&mut head.fields);
        let route = story.facts.route();
        for built in self.plugins.iter().filter(|built| self.concerns(built, route)) {
            if let Some(hooks) = built.plugin.attach(&head, route) {
                story.hooks.push(Attached::new(built.name, built.stage, hooks));
            }
        }
    }
}

impl Request {
    /// The head as plugins see it; `fields` are those of the message this request was read from.
    pub fn head<'a>(&'a self, fields: &'a mut Fields) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            path: self.path(),
            authority: self.authority_text(),
            scheme: self.scheme,
            version: self.version,
            body_length: self.body_length,
            fields,
        }
    }
}
