//! `[[routes]]`: names, paths and methods, and that no two of them are the same.

use crate::config::methods;
use crate::config::refused::Refused;
use crate::config::report::Report;
use crate::config::section::Section;
use crate::config::settings::{PathCase, Route, Server, Upstream};
use crate::config::template::{refusal, shape};
use crate::config::tree::Node;
use crate::config::upstream::UpstreamFile;
use http::Method;
use matchit::{InsertError, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use toml::Value as Toml;

/// Requests that are treated differently.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteFile {
    /// Unique name, of a-z, 0-9, _ and -: the label in metrics, logs and errors.
    #[serde(default)]
    pub(super) name: String,
    /// {name} is one segment, {*name} the rest; the most specific path wins.
    #[serde(default)]
    pub(super) path: String,
    /// Methods it is for; default: all. The entry that names the method wins over one that names none.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub(super) methods: Vec<String>,
    /// Whether WebSocket upgrades pass.
    #[serde(default)]
    pub(super) upgrade: bool,
}

/// The host's own keys of an entry; the others are tables of their own or belong to plugins.
pub(super) const HOST_KEYS: [&str; 4] = ["name", "path", "methods", "upgrade"];

/// Most characters of a name.
const MAX_NAME: usize = 64;

/// A checked entry.
pub(super) struct Draft<'a> {
    pub(super) section: Section<'a>,
    pub(super) file: RouteFile,
    pub(super) node: &'a Node,
}

impl Draft<'_> {
    /// The entry as it is shown: as written, with the host's defaults.
    pub(super) fn effective(&self) -> Toml {
        let mut shown = self.node.to_toml();
        if let Toml::Table(table) = &mut shown {
            table.insert("upgrade".to_owned(), Toml::Boolean(self.file.upgrade));
            // Tables come last, or what follows them would be read as theirs.
            let (tables, plain): (Vec<_>, Vec<_>) =
                std::mem::take(table).into_iter().partition(|(_, value)| value.is_table());
            table.extend(plain.into_iter().chain(tables));
        }
        shown
    }
}

/// What routes build on.
pub(super) struct Base<'a> {
    /// `[upstream]` as written.
    pub(super) upstream: &'a Node,
    /// What was refused of it.
    pub(super) refused: &'a Refused,
    /// Whether `[server] methods` is what was meant.
    pub(super) methods_are_sound: bool,
}

/// The routes.
pub(super) fn settle(drafts: &[Draft<'_>], base: &Base<'_>, server: &Server, report: &mut Report<'_>) -> Vec<Route> {
    names(drafts, report);
    let routes: Vec<Route> = drafts
        .iter()
        .map(|draft| Route {
            name: draft.file.name.clone(),
            path: draft.file.path.clone(),
            methods: route_methods(draft, base, server, report),
            upgrade: draft.file.upgrade,
            upstream: own_upstream(draft, base, report),
            owner: None,
        })
        .collect();
    paths(drafts, &routes, server, report);
    routes
}

fn names(drafts: &[Draft<'_>], report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for draft in drafts.iter().filter(|draft| draft.section.sound(&["name"])) {
        let name = draft.file.name.as_str();
        let at = draft.section.place(&["name"]);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name == "unmatched" {
            report.error(&at, "a route cannot be named `unmatched`", "that is a request that matches no entry");
        } else if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
            let label = format!("expected 1 to {MAX_NAME} of a-z, 0-9, `_` and `-`");
            report.error(&at, format!("`{name}` is no name of a route"), label);
        } else if !seen.insert(name) {
            report.error(&at, format!("there are two routes named `{name}`"), "names of routes are unique");
        }
    }
}

fn route_methods(draft: &Draft<'_>, base: &Base<'_>, server: &Server, report: &mut Report<'_>) -> Vec<Method> {
    let parsed = methods::parse(&draft.file.methods, &["methods"], &draft.section, report);
    for (index, name) in draft.file.methods.iter().enumerate() {
        let served = |method: &&Method| method.as_str() == name && !server.methods.contains(method);
        if base.methods_are_sound && parsed.iter().any(|method| served(&method)) {
            let at = draft.section.place(&["methods", &index.to_string()]);
            report.error(&at, format!("`{name}` is not served"), "add it to [server] methods");
        }
    }
    parsed
}

/// `[upstream]` with the keys of the route laid over it. A url of its own brings its own `server_name`: the one of
/// another host would be verified against the wrong certificate.
fn own_upstream(draft: &Draft<'_>, base: &Base<'_>, report: &mut Report<'_>) -> Option<Upstream> {
    let over = draft.node.get("upstream")?;
    let mut node = base.upstream.clone();
    if over.get("url").is_some() {
        node.retain(|key| key != "server_name");
    }
    let merged = node.overlaid(over);
    let refused = draft.section.refused().below(&["upstream"]).over(base.refused, over);
    let section = Section::new(&merged, refused);
    let file: UpstreamFile = section.read(report);
    Some(file.settle(&section, report))
}

/// Templates, and entries that match the same requests.
fn paths(drafts: &[Draft<'_>], routes: &[Route], server: &Server, report: &mut Report<'_>) {
    let mut usable = Vec::new();
    for (draft, route) in drafts.iter().zip(routes).filter(|(draft, _)| draft.section.sound(&["path"])) {
        match refusal(&route.path) {
            Some(label) => {
                report.error(&draft.section.place(&["path"]), format!("`{}` is no path of a route", route.path), label);
            }
            // Methods that were refused could be what tells it from another entry.
            None if !draft.section.sound(&["methods"]) => {}
            None => usable.push((draft, route, shape(&route.path, server.path_case))),
        }
    }
    let mut claimed: BTreeMap<(&str, Option<&Method>), &str> = BTreeMap::new();
    let mut routers: BTreeMap<Option<&Method>, Router<()>> = BTreeMap::new();
    for (draft, route, shape) in &usable {
        let all = [None];
        let named: Vec<_> = route.methods.iter().map(Some).collect();
        for method in if named.is_empty() { &all[..] } else { &named } {
            if let Some(other) = claimed.insert((shape, *method), &route.name) {
                let message = format!("`{}` has the path of route `{other}`", route.path);
                let label = match method {
                    Some(method) => format!("both are for {method}"),
                    None if server.path_case == PathCase::Insensitive => {
                        "both are for any method; paths are folded".into()
                    }
                    None => "both are for any method; name different `methods`, or remove one".to_owned(),
                };
                report.error(&draft.section.place(&["path"]), message, label);
                break;
            }
            let router = routers.entry(*method).or_default();
            if let Err(InsertError::Conflict { with }) = router.insert(shape.as_str(), ()) {
                let with = usable
                    .iter()
                    .find(|(_, _, other)| *other == with)
                    .map_or(with.as_str(), |(_, route, _)| &route.path);
                let message = format!("`{}` and `{with}` match the same paths", route.path);
                report.error(&draft.section.place(&["path"]), message, "neither is more specific");
                break;
            }
        }
    }
}
