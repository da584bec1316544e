//! `[rate_limit.tiers]` and the tiers callers fall back to.

use super::limits::Drafts;
use super::{check_name, missing};
use crate::config::{ANONYMOUS, Config, FREE, TierEntry};
use crate::tiers::Tiers;
use std::sync::Arc;
use vestibule_plugin::{BuildErrors, KeyPath};

/// A tier without policies of its own.
const UNLIMITED: &str = "unlimited";

/// A tier: its name and the names of its policies, in order, each once.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) policies: Vec<String>,
}

/// The tiers of the file, and `anonymous`.
pub(super) fn entries(config: &Config, drafts: &Drafts, errors: &mut BuildErrors) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, entry) in &config.tiers {
        check_name("tier", name, KeyPath::table(["tiers", name]), errors);
        let policies = match entry {
            TierEntry::Word(word) if word == UNLIMITED => Vec::new(),
            TierEntry::Word(word) => {
                errors.error(
                    KeyPath::table(["tiers", name]),
                    format!("tier `{name}` is `{word}`"),
                    "expected a list of policies or \"unlimited\"",
                );
                Vec::new()
            }
            TierEntry::Policies(policies) => {
                known(policies, drafts, |i| KeyPath::table(["tiers", name, &i.to_string()]), errors)
            }
        };
        entries.push(Entry { name: name.clone(), policies });
    }
    if !config.tiers.contains_key(ANONYMOUS) {
        entries.push(Entry { name: ANONYMOUS.to_owned(), policies: vec![ANONYMOUS.to_owned()] });
    }
    entries
}

/// Those of `names` that exist, each once; the others are errors.
pub(super) fn known(
    names: &[String],
    drafts: &Drafts,
    at: impl Fn(usize) -> KeyPath,
    errors: &mut BuildErrors,
) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if !drafts.contains_key(name) {
            let label = missing("policies", name, drafts.keys().map(String::as_str));
            let about = vec![KeyPath::table(["policies", name])];
            errors.error_about(at(i), about, format!("unknown policy `{name}`"), label);
        } else if known.contains(name) {
            errors.error(at(i), format!("policy `{name}` stands here twice"), "remove it");
        } else {
            known.push(name.clone());
        }
    }
    known
}

/// Who is in which tier; `None` when a tier that callers fall back to does not exist.
pub(super) fn tiers(config: &Config, entries: &[Entry], errors: &mut BuildErrors) -> Option<Tiers> {
    let exists = |name: &str| entries.iter().any(|entry| entry.name == name);
    let mut require = |key: &str, name: &str| {
        if !exists(name) {
            let names = entries.iter().map(|entry| entry.name.as_str());
            let near = crate::nearest::nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
            let label = format!("no `{name}` in [rate_limit.tiers]{}", near.unwrap_or_default());
            let about = vec![KeyPath::table(["tiers", name])];
            errors.error_about(KeyPath::table([key]), about, format!("unknown tier `{name}`"), label);
        }
    };
    require("anonymous_tier", &config.anonymous_tier);
    let default = match &config.default_tier {
        Some(written) => {
            require("default_tier", written);
            written.as_str()
        }
        None if exists(FREE) => FREE,
        None => &config.anonymous_tier,
    };
    let names = entries.iter().map(|entry| Arc::from(entry.name.as_str())).collect();
    Tiers::new(names, &config.anonymous_tier, default)
}
