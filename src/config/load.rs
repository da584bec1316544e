//! The stages of loading, in order. Each looks only at what the stages before it found sound.

use crate::config::address::arrives;
use crate::config::effective::Effective;
use crate::config::env::{Unfilled, fill};
use crate::config::log::LogFile;
use crate::config::nearest::nearest;
use crate::config::plugin::{Assembled, Built, Entry, Parts};
use crate::config::refused::Refused;
use crate::config::report::Report;
use crate::config::routes::{self, Base, Draft};
use crate::config::schema::{self, View};
use crate::config::schema_walk::{Finding, Slip, walk};
use crate::config::secret_keys::{self, Why};
use crate::config::section::Section;
use crate::config::server::ServerFile;
use crate::config::settings::{Server, Settings, StorePlace, Target, Upstream};
use crate::config::source::Unreadable;
use crate::config::store::StoreFile;
use crate::config::tree::{self, Broken, Node, Place, Value};
use crate::config::upstream::UpstreamFile;
use crate::config::{Diagnostics, Generation, HostDeps, Source, own, url};
use crate::stores::Stores;
use serde::Serialize;
use std::sync::Arc;
use toml::Value as Toml;
use vestibule_plugin::{
    BuildError, Deps, KeyPath, RouteEntry, RouteId, Secret, ServerName, StoreKind, StoreTerms, Telemetry,
};

/// Reads, checks and builds a configuration for these plugins.
pub(super) fn load(source: &Source, host: &HostDeps, plugins: &[Entry]) -> Result<Generation, Diagnostics> {
    let file = source.path().display().to_string();
    match source.read() {
        Ok(text) => load_text(source, &text, host, plugins),
        Err(Unreadable::Other(error)) => {
            let mut report = Report::new(file, "");
            report.error(&Place::Nowhere, "cannot read the configuration", error.to_string());
            Err(report.finish())
        }
        Err(Unreadable::NotUtf8 { before }) => {
            let mut report = Report::new(file, &before);
            let schema = schema::of(plugins);
            report.quoting().unparsed(secret_keys::harmless(View::whole(&schema)));
            let at = Place::File(before.len()..before.len());
            report.error(&at, "cannot read the configuration", "the next byte is not UTF-8");
            Err(report.finish())
        }
    }
}

/// As [`load`], with this text in place of the file's.
pub(super) fn load_text(
    source: &Source,
    text: &str,
    host: &HostDeps,
    plugins: &[Entry],
) -> Result<Generation, Diagnostics> {
    let mut report = Report::new(source.path().display().to_string(), text);
    let schema = schema::of(plugins);
    let Some((tree, refused)) = read_tree(text, source, View::whole(&schema), &mut report) else {
        return Err(report.finish());
    };
    let generation = Stages { tree: &tree, refused: &refused, plugins, host }.settle(View::whole(&schema), &mut report);
    let has_errors = report.has_errors();
    let diagnostics = report.finish();
    if has_errors { Err(diagnostics) } else { Ok(Generation { warnings: diagnostics.0, ..generation }) }
}

/// The tree with everything filled in and without what the schema refuses, and what that was; `None` when the text is no TOML.
fn read_tree(text: &str, source: &Source, schema: View<'_>, report: &mut Report<'_>) -> Option<(Node, Refused)> {
    let (mut tree, is_whole) = match tree::parse(text) {
        Ok(tree) => (tree, true),
        Err(broken) => {
            let Broken { errors, rest } = *broken;
            report.quoting().unparsed(secret_keys::harmless(schema));
            for (label, place) in errors {
                report.error(&place, "invalid TOML", label);
            }
            // Its own keys are judged; what they mean together cannot be known.
            (rest?, false)
        }
    };
    for (table, key, flag, value) in
        [("upstream", "url", "--upstream", &source.upstream), ("server", "listen", "--listen", &source.listen)]
    {
        if let (Some(value), Some(table)) = (value, tree.table_mut(table)) {
            table.set(key, Node::string(value, Place::Flag(flag)));
        }
    }
    let mut findings = Vec::new();
    fill_in(&mut tree, &mut Vec::new(), source, report, &mut findings);
    let unfilled: Vec<Vec<String>> = findings.iter().map(|finding| finding.path.clone()).collect();
    secret_keys::visit(&mut tree, schema, &mut |why, node| {
        node.each_scalar(&mut |scalar, place| {
            let value = scalar.as_str().filter(|_| why == Why::Secret);
            report.quoting().hide(place, value);
        });
    });
    // What could not be filled in is not looked at further.
    findings.extend(walk(&tree, schema).into_iter().filter(|finding| !unfilled.contains(&finding.path)));
    for finding in &findings {
        report.error(&finding.place, &finding.message, &finding.label);
    }
    let refused = Refused::new(&findings);
    refused.prune(&mut tree);
    is_whole.then_some((tree, refused))
}

/// Replaces `${NAME}` in every string below `node`.
fn fill_in(
    node: &mut Node,
    path: &mut Vec<String>,
    source: &Source,
    report: &mut Report<'_>,
    findings: &mut Vec<Finding>,
) {
    match &mut node.value {
        Value::Table(entries) => {
            for (key, value) in entries {
                path.push(key.text.clone());
                fill_in(value, path, source, report, findings);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                fill_in(item, path, source, report, findings);
                path.pop();
            }
        }
        Value::Scalar(Toml::String(text)) => {
            let (message, label) = match fill(text, |name| source.variable(name)) {
                Ok(None) => return,
                Ok(Some(filled)) => {
                    report.quoting().filled(node.place.clone(), filled.values);
                    *text = filled.text;
                    return;
                }
                Err(Unfilled::Unset(name)) => (
                    format!("the environment variable `{name}` is not set"),
                    format!("set it, or write `${{{name}:-fallback}}`"),
                ),
                Err(Unfilled::Malformed) => (
                    "this names no environment variable".to_owned(),
                    "expected `${NAME}` or `${NAME:-fallback}`".to_owned(),
                ),
            };
            findings.push(Finding { place: node.place.clone(), path: path.clone(), slip: Slip::Value, message, label });
        }
        Value::Scalar(_) => {}
    }
}

/// Whether a plugin runs.
enum Switch {
    On,
    Off,
}

/// What the later stages look at.
struct Stages<'a> {
    tree: &'a Node,
    refused: &'a Refused,
    plugins: &'a [Entry],
    host: &'a HostDeps,
}

impl Stages<'_> {
    /// The generation; only good when `report` has no errors afterwards.
    fn settle(&self, schema: View<'_>, report: &mut Report<'_>) -> Generation {
        let nothing = Node::empty();
        let [server_node, upstream_node, store_node, log_node] =
            ["server", "upstream", "store", "log"].map(|name| self.tree.get(name).unwrap_or(&nothing));
        let mut effective = Effective::default();

        let section = self.section("server", server_node);
        let file: ServerFile = section.read(report);
        show(&mut effective, "server", &file, report);
        let server = file.settle(&section, report);
        let methods_are_sound = section.sound(&["methods"]);
        let listeners_are_sound = section.sound(&["listen", "admin"]);

        let section = self.section("upstream", upstream_node);
        let file: UpstreamFile = section.read(report);
        show(&mut effective, "upstream", &file, report);
        let upstream = file.settle(&section, report);
        let url_is_sound = section.sound(&["url"]) && listeners_are_sound;
        if url_is_sound {
            forbid_loop(&upstream, &section.place(&["url"]), &server, report);
        }
        let refused_upstream = section.refused().clone();

        let section = self.section("store", store_node);
        let file: StoreFile = section.read(report);
        show(&mut effective, "store", &file, report);
        let has_secret = !(file.secret.is_empty() && file.secret_file.is_empty());
        let store = file.settle(&section, self.host.drawn_secret, report);
        let at_ca_file = section.place(&["ca_file"]);
        let memory_max = if section.sound(&["memory_max"]) { store.memory_max } else { u64::MAX };

        let file: LogFile = self.section("log", log_node).read(report);
        show(&mut effective, "log", &file, report);
        let log = file.settle();

        let entries = self.tree.get("routes").map_or(&[][..], Node::items);
        let drafts: Vec<Draft<'_>> = entries
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let section = Section::new(node, self.refused.below(&["routes", &index.to_string()]));
                let file = section.read_only(&routes::HOST_KEYS, report);
                Draft { section, file, node }
            })
            .collect();
        let base = Base { upstream: upstream_node, refused: &refused_upstream, methods_are_sound };
        let routes = routes::settle(&drafts, &base, &server, report);
        for (draft, route) in drafts.iter().zip(&routes) {
            if let Some(own) = route.upstream.as_ref().filter(|_| url_is_sound && draft.section.sound(&["upstream"])) {
                forbid_loop(own, &draft.section.place(&["upstream", "url"]), &server, report);
            }
        }
        let around =
            own::Around { tree: self.tree, refused: self.refused, drafts: &drafts, server: &server, methods_are_sound };
        let own = own::settle(self.plugins, &around, report);
        let settings = Settings { server, upstream, store, log, routes: routes.into_iter().chain(own).collect() };

        let route_names: Arc<[String]> = std::iter::once("unmatched".to_owned())
            .chain(settings.routes.iter().map(|route| route.name.clone()))
            .collect();
        // One that will not run leaves nothing behind: its plugins are only built to hear what else is wrong.
        let throwaway;
        let host = match report.has_errors() {
            true => {
                throwaway = HostDeps::throwaway();
                &throwaway
            }
            false => self.host,
        };
        let deps = Deps {
            clock: Arc::clone(&host.clock),
            meter: Arc::clone(&host.meter),
            route_names: Arc::clone(&route_names),
            upstreams: std::iter::once(None)
                .chain(settings.routes.iter().map(|route| route.upstream.as_ref()))
                .map(|own| server_name(&own.unwrap_or(&settings.upstream).target))
                .collect(),
            secret: Arc::new(Secret::new(settings.store.secret)),
            store: StoreTerms {
                namespace: Arc::clone(&settings.store.namespace),
                timeout: settings.store.timeout,
                kind: match settings.store.place {
                    StorePlace::Memory => StoreKind::Memory,
                    StorePlace::Redis(_) => StoreKind::Shared,
                },
            },
            telemetry: self.telemetry(),
            ipv6_prefix: settings.server.ipv6_prefix,
        };
        let stores = host.stores(&settings.store).unwrap_or_else(|why| {
            report.error(&at_ca_file, "the store cannot be used", why);
            host.memory().clone()
        });
        let (mut plugins, mut switched_off) = (Vec::new(), Vec::new());
        for entry in self.plugins {
            match self.plugin(entry, &drafts, (&stores, &deps, memory_max), &mut effective, report) {
                Some((built, Switch::On)) => plugins.push(built),
                Some((built, Switch::Off)) => switched_off.push(built),
                None => {}
            }
        }
        if !drafts.is_empty() {
            effective.add("routes", Toml::Array(drafts.iter().map(Draft::effective).collect()));
        }

        let token = settings.server.admin_token.as_ref().map(|token| token.0.as_bytes());
        let key = Some(&settings.store.secret[..]).filter(|_| has_secret);
        let hash = effective.hash(token.into_iter().chain(key));
        let effective = effective.masked(schema);
        Generation { settings, plugins, switched_off, stores, effective, hash, warnings: Vec::new(), route_names }
    }

    /// Where `[trace]` sends telemetry; what is wrong there is told when its own plugin reads it.
    fn telemetry(&self) -> Telemetry {
        let Some(trace) = self.tree.get("trace") else { return Telemetry::default() };
        let read = |key: &str| trace.get(key).map(Node::to_toml);
        Telemetry {
            otlp: read("otlp").and_then(|table| table.try_into().ok()).unwrap_or_default(),
            service_name: read("service_name").and_then(|name| name.try_into().ok()).unwrap_or_default(),
        }
    }

    /// Builds a plugin that is on.
    fn plugin(
        &self,
        entry: &Entry,
        drafts: &[Draft<'_>],
        (stores, deps, memory_max): (&Stores, &Deps, u64),
        effective: &mut Effective,
        report: &mut Report<'_>,
    ) -> Option<(Built, Switch)> {
        let table = self.tree.get(entry.name);
        let refused = self.refused.below(&[entry.name]);
        if refused.whole() {
            return None;
        }
        if table.is_none() && !entry.on_by_default {
            // Its table may be there under a misspelt name, which was reported.
            if !self.refused.misspelt().any(|name| nearest(name, [entry.name]).is_some()) {
                forbid_orphans(entry, drafts, report);
            }
            return None;
        }
        let routes = drafts.iter().zip(1..).map(|(draft, id)| RouteEntry {
            id: RouteId(id),
            name: draft.file.name.clone(),
            path: draft.file.path.clone(),
            key: draft.node.get(entry.name).map(Node::to_toml),
        });
        let Assembled { plugin, effective: shown, errors, warnings } = (entry.assemble)(Parts {
            table: table.map(Node::to_toml),
            routes: routes.collect(),
            stores,
            deps,
            memory_max,
        });
        let told = |one: &&BuildError| !one.about.iter().chain([&one.at]).any(|path| self.doubts(entry, drafts, path));
        for BuildError { at, message, label, about: _ } in errors.iter().filter(told) {
            report.error(&self.locate(entry, drafts, at), message, label);
        }
        for BuildError { at, message, label, about: _ } in warnings.iter().filter(told) {
            report.warning(&self.locate(entry, drafts, at), message, label);
        }
        let enabled = shown.as_ref().and_then(|table| table.get("enabled")).and_then(Toml::as_bool);
        if let Some(shown) = shown {
            effective.add(entry.name, shown);
        }
        // One that is switched off by its own key is checked like any other, and learns that it does not run.
        let switch = if enabled == Some(false) { Switch::Off } else { Switch::On };
        Some((Built { name: entry.name, stage: entry.stage, plugin: plugin? }, switch))
    }

    /// Whether what stands at `at` may not be what was meant.
    fn doubts(&self, entry: &Entry, drafts: &[Draft<'_>], at: &KeyPath) -> bool {
        match at {
            KeyPath::Table(path) => {
                let table = self.tree.get(entry.name);
                table.is_some_and(|table| self.refused.below(&[entry.name]).doubts(table, path))
            }
            KeyPath::Route(id, path) => {
                let draft = id.index().checked_sub(1).and_then(|index| drafts.get(index));
                draft.is_some_and(|draft| {
                    let key: Vec<&str> = std::iter::once(entry.name).chain(path.iter().map(String::as_str)).collect();
                    draft.section.refused().doubts(draft.node, &key)
                })
            }
        }
    }

    fn section<'n>(&self, name: &str, node: &'n Node) -> Section<'n> {
        Section::new(node, self.refused.below(&[name]))
    }

    fn locate(&self, entry: &Entry, drafts: &[Draft<'_>], at: &KeyPath) -> Place {
        match at {
            KeyPath::Table(path) => self.tree.get(entry.name).map_or(Place::Nowhere, |table| table.place_of(path)),
            KeyPath::Route(id, path) => {
                let draft = id.index().checked_sub(1).and_then(|index| drafts.get(index));
                let Some(draft) = draft else { return Place::Nowhere };
                draft.node.get(entry.name).map_or(draft.node.place.clone(), |key| key.place_of(path))
            }
        }
    }
}

fn show(effective: &mut Effective, name: &str, file: &impl Serialize, report: &mut Report<'_>) {
    match Toml::try_from(file) {
        Ok(table) => effective.add(name, table),
        Err(error) => report.error(&Place::Nowhere, format!("[{name}] cannot be shown"), error.to_string()),
    }
}

/// An upstream that is one of our own listeners: each request would come back, or reach the admin listener.
fn forbid_loop(upstream: &Upstream, at: &Place, server: &Server, report: &mut Report<'_>) {
    // One that is no url was reported as that; what stands in for it is not what was meant.
    let Ok(Target::Tcp { host, port, .. }) = &url::target(&upstream.url) else { return };
    let own = server.listen.iter().map(|listener| ("listen", listener));
    for (key, listener) in own.chain(server.admin.iter().map(|admin| ("admin", admin))) {
        if arrives(host, *port, *listener) {
            let label = format!("[server] {key} is `{listener}`; name the application's address");
            return report.error(at, "the upstream is this proxy itself", label);
        }
    }
}

/// A key for a plugin that is off would silently do nothing; `false` and `"off"` ask for just that.
fn forbid_orphans(entry: &Entry, drafts: &[Draft<'_>], report: &mut Report<'_>) {
    for draft in drafts {
        let asks_for_nothing = |key: &Node| match &key.value {
            Value::Scalar(Toml::Boolean(on)) => !on,
            Value::Scalar(Toml::String(word)) => word == "off",
            _ => false,
        };
        let key = draft.node.get(entry.name).filter(|key| !asks_for_nothing(key));
        if let Some(key) = key {
            let name = entry.name;
            report.error(
                &key.place,
                format!("`{name}` is off"),
                format!("it is on when the file has a table [{name}]"),
            );
        }
    }
}

/// An upstream as the file names it.
fn server_name(target: &Target) -> ServerName {
    match target {
        Target::Tcp { host, port, .. } => ServerName { address: host.clone(), port: Some(*port) },
        Target::Unix(path) => ServerName { address: path.display().to_string(), port: None },
    }
}
