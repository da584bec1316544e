//! Paths that plugins serve themselves: each is a route behind those of the file, and none of the file's may be the same.

use crate::config::plugin::Entry;
use crate::config::refused::Refused;
use crate::config::report::Report;
use crate::config::routes::Draft;
use crate::config::settings::{Route, Server};
use crate::config::template::shape;
use crate::config::tree::{Node, Place};
use vestibule_plugin::OwnRoute;

/// What such routes are judged by.
pub(super) struct Around<'a> {
    pub(super) tree: &'a Node,
    pub(super) refused: &'a Refused,
    pub(super) drafts: &'a [Draft<'a>],
    pub(super) server: &'a Server,
    /// Whether `[server] methods` is what was meant.
    pub(super) methods_are_sound: bool,
}

/// The routes that the plugins which are on have of their own.
pub(super) fn settle(plugins: &[Entry], around: &Around<'_>, report: &mut Report<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    for entry in plugins {
        let table = around.tree.get(entry.name);
        let refused = around.refused.below(&[entry.name]);
        if refused.whole() || (table.is_none() && !entry.on_by_default) {
            continue;
        }
        for own in (entry.own_routes)(table.map(Node::to_toml)) {
            let at = |key: &str| table.map_or(Place::Nowhere, |table| table.place_of(&[key]));
            let sound = |key: &str| table.is_none_or(|table| !refused.doubts(table, &[key]));
            if sound(own.path_key) {
                forbid_twins(&own, entry.name, around, report);
            }
            for method in own.needs.iter().filter(|method| !around.server.methods.contains(method)) {
                if around.methods_are_sound && sound(own.switch) {
                    let message = format!("`{}` needs the method {method}, which is not served", own.switch);
                    report.error(&at(own.switch), message, "add it to [server] methods");
                }
            }
            routes.push(Route {
                name: own.name.to_owned(),
                path: own.path,
                methods: Vec::new(),
                upgrade: false,
                upstream: None,
                owner: Some(entry.name),
            });
        }
    }
    routes
}

fn forbid_twins(own: &OwnRoute, owner: &str, around: &Around<'_>, report: &mut Report<'_>) {
    let folded = |path: &str| shape(path, around.server.path_case);
    for draft in around.drafts {
        let Draft { section, file, .. } = draft;
        if section.sound(&["path"]) && folded(&file.path) == folded(&own.path) {
            let message = format!("`{}` is served by [{owner}]", file.path);
            let label = format!("name another path here, or another [{owner}] {}", own.path_key);
            report.error(&section.place(&["path"]), message, label);
        }
        if section.sound(&["name"]) && file.name == own.name {
            let label = format!("the path that [{owner}] serves has this name; choose another one");
            report.error(&section.place(&["name"]), format!("a route cannot be named `{}`", own.name), label);
        }
    }
}
