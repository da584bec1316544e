//! What the schema refused, by table, so that later stages look at the rest.

use crate::config::schema_walk::Finding;
use crate::config::section::Section;
use crate::config::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Keys that were refused; an empty name stands for the whole table.
#[derive(Default)]
pub(super) struct Refused {
    tables: BTreeMap<String, BTreeSet<String>>,
    routes: BTreeMap<usize, BTreeSet<String>>,
    route_upstreams: BTreeMap<usize, BTreeSet<String>>,
}

impl Refused {
    /// By these findings.
    pub(super) fn new(findings: &[Finding]) -> Self {
        let mut refused = Self::default();
        for finding in findings {
            let path: Vec<&str> = finding.path.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["routes", index, rest @ ..] => refused.add_route(index.parse().unwrap_or(usize::MAX), rest),
                [table, rest @ ..] => {
                    let key = rest.first().copied().unwrap_or_default();
                    refused.tables.entry((*table).to_owned()).or_default().insert(key.to_owned());
                }
                [] => {}
            }
        }
        refused
    }

    fn add_route(&mut self, index: usize, path: &[&str]) {
        match path {
            ["upstream", key, ..] => self.route_upstreams.entry(index).or_default().insert((*key).to_owned()),
            [key, ..] => self.routes.entry(index).or_default().insert((*key).to_owned()),
            [] => self.routes.entry(index).or_default().insert(String::new()),
        };
    }

    /// Whether anything in this table was refused.
    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// A table of the host.
    pub(super) fn section<'a>(&self, name: &str, node: &'a Node) -> Section<'a> {
        Section::new(node, self.tables.get(name).cloned().unwrap_or_default())
    }

    /// An entry of `[[routes]]`.
    pub(super) fn route<'a>(&self, index: usize, node: &'a Node) -> Section<'a> {
        Section::new(node, self.routes.get(&index).cloned().unwrap_or_default())
    }

    /// Keys refused in the `upstream` of an entry.
    pub(super) fn route_upstream(&self, index: usize) -> BTreeSet<String> {
        self.route_upstreams.get(&index).cloned().unwrap_or_default()
    }
}
