//! What the schema refused, so that later stages look at the rest and blame nothing on what is missing.

use crate::config::schema_walk::{Finding, Slip};
use crate::config::tree::{Node, Value};

/// Paths that were refused, from some table down; an empty path is that table itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    found: Vec<(Vec<String>, Slip)>,
}

impl Refused {
    /// By these findings.
    pub(super) fn new(findings: &[Finding]) -> Self {
        Self { found: findings.iter().map(|finding| (finding.path.clone(), finding.slip)).collect() }
    }

    /// As seen from the table at `path`.
    pub(super) fn below(&self, path: &[&str]) -> Self {
        let below = self.found.iter().filter_map(|(found, slip)| {
            let shared = found.iter().zip(path).all(|(a, b)| a == b);
            shared.then(|| (found.get(path.len()..).unwrap_or_default().to_vec(), *slip))
        });
        Self { found: below.collect() }
    }

    /// These, and those of `base` where `over` has no key of its own.
    pub(super) fn over(mut self, base: &Self, over: &Node) -> Self {
        let unhidden = |(path, _): &&(Vec<String>, Slip)| path.first().is_none_or(|key| over.get(key).is_none());
        self.found.extend(base.found.iter().filter(unhidden).cloned());
        self
    }

    /// Whether the table itself was refused.
    pub(super) fn whole(&self) -> bool {
        self.found.iter().any(|(path, _)| path.is_empty())
    }

    /// Whether anything of this key of `table` was refused, or it may stand there under a misspelt name.
    pub(super) fn has(&self, table: &Node, key: &str) -> bool {
        let named = |(path, _): &(Vec<String>, Slip)| path.first().is_none_or(|first| first == key);
        self.found.iter().any(named) || self.doubts(table, &[key])
    }

    /// Whether something was written for `path` that the pruned `table` no longer holds. The default that stands in
    /// for it is not what was meant, so nothing said about it would help.
    pub(super) fn doubts<S: AsRef<str>>(&self, table: &Node, path: &[S]) -> bool {
        let mut here = table;
        for (depth, step) in path.iter().enumerate() {
            match here.step(step.as_ref()) {
                Some(next) => here = next,
                None => {
                    return self.whole() || self.found.iter().any(|(found, slip)| explains(found, *slip, path, depth));
                }
            }
        }
        self.whole()
    }

    /// The keys at the top of this table that are no keys.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = &str> {
        let names = self.found.iter().filter(|(path, slip)| path.len() == 1 && *slip == Slip::Name);
        names.filter_map(|(path, _)| path.first()).map(String::as_str)
    }

    /// Takes everything out of `tree` that was refused.
    pub(super) fn prune(&self, tree: &mut Node) {
        self.prune_below(tree, &mut Vec::new());
    }

    fn prune_below(&self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Table(entries) => entries.retain_mut(|(key, value)| self.keeps(key.text.clone(), value, path)),
            Value::Array(items) => {
                let mut index = 0..;
                items.retain_mut(|item| {
                    let index = index.next().unwrap_or(usize::MAX).to_string();
                    // A route keeps its number.
                    let route = path.len() == 1 && path[0] == "routes";
                    let kept = self.keeps(index, item, path);
                    if route && !kept {
                        item.value = Value::Table(Vec::new());
                    }
                    kept || route
                });
            }
            Value::Scalar(_) => {}
        }
    }

    /// Whether a value stays, after what is below it was pruned. A list of which nothing is left goes, too: an empty
    /// one was not written.
    fn keeps(&self, step: String, node: &mut Node, path: &mut Vec<String>) -> bool {
        path.push(step);
        let had_items = !node.items().is_empty();
        self.prune_below(node, path);
        let refused = self.found.iter().any(|(found, _)| found == path);
        path.pop();
        !(refused || had_items && node.items().is_empty())
    }
}

/// Whether a finding is why the step at `depth` of `path` is not there.
fn explains<S: AsRef<str>>(found: &[String], slip: Slip, path: &[S], depth: usize) -> bool {
    let agree = found.iter().zip(path).take_while(|(a, b)| **a == b.as_ref()).count();
    // The name that was meant may be any that is not written; tables at the top of the file have too little in common.
    agree > depth || (slip == Slip::Name && agree == depth && found.len() == depth + 1)
}
