//! Request fields that must not be forged. Pure.

use crate::edge::rules::dashed_twin;
use http::header::HeaderName;
use std::collections::{BTreeMap, BTreeSet};
use vestibule_plugin::Guard;

/// What applications read themselves: a client says it under these names alone, whatever plugins are on.
const FIXED: [HeaderName; 2] = [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-api-key")];
/// So it is with every name that begins like this.
const FIXED_START: &str = "x-auth-";

/// The fields that plugins guard, with the fixed ones.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// By name, as a client could send it in one spelling or another.
    names: BTreeMap<String, Guard>,
    /// First bytes of these names: most fields are settled by theirs.
    starts: BTreeSet<u8>,
}

impl Guarded {
    /// Of these fields and the fixed ones; of two guards of one field the stricter holds.
    pub fn new(fields: impl IntoIterator<Item = (HeaderName, Guard)>) -> Self {
        let mut guarded = Self { names: BTreeMap::new(), starts: BTreeSet::from([FIXED_START.as_bytes()[0]]) };
        for (name, guard) in FIXED.map(|name| (name, Guard::Exact)).into_iter().chain(fields) {
            // A name of ours may itself be written with `_`: it counts as the same name.
            let name = name.as_str().replace('_', "-");
            guarded.starts.insert(name.as_bytes()[0]);
            let held = guarded.names.entry(name).or_insert(guard);
            if guard == Guard::Ours {
                *held = guard;
            }
        }
        guarded
    }

    /// Whether a name that begins with this byte may be one that is to be removed.
    pub fn may_begin_with(&self, byte: u8) -> bool {
        self.starts.contains(&byte)
    }

    /// Whether a field that a client sent under this name, in lower case, is to be removed.
    pub fn forbids(&self, sent: &str) -> bool {
        match dashed_twin(sent) {
            Some(twin) => twin.starts_with(FIXED_START) || self.names.contains_key(&twin),
            None => self.names.get(sent) == Some(&Guard::Ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    #[test]
    fn what_is_ours_goes_in_every_spelling_and_what_is_theirs_in_every_other() {
        let guarded = Guarded::new([
            (name("x-auth-subject"), Guard::Ours),
            (name("x_tenant"), Guard::Ours),
            (name("x-key"), Guard::Exact),
        ]);
        for sent in ["x-auth-subject", "x_auth_subject", "x_auth-subject", "x_key", "x-tenant", "x_tenant"] {
            assert!(guarded.forbids(sent), "{sent}");
        }
        for sent in ["x-key", "x-auth", "x_auth", "x_keys", "authorization", "x-other"] {
            assert!(!guarded.forbids(sent), "{sent}");
        }
    }

    #[test]
    fn a_credential_has_one_spelling_though_no_plugin_looks_for_it() {
        let guarded = Guarded::new([]);
        for sent in ["idempotency_key", "x_api_key", "x-api_key", "x_auth_user", "x-auth_user"] {
            assert!(guarded.forbids(sent), "{sent}");
        }
        for sent in ["idempotency-key", "x-api-key", "x-auth-user", "x_authority"] {
            assert!(!guarded.forbids(sent), "{sent}");
        }
    }

    #[test]
    fn the_stricter_guard_holds() {
        for guards in [[Guard::Ours, Guard::Exact], [Guard::Exact, Guard::Ours]] {
            assert!(Guarded::new(guards.map(|guard| (name("x-who"), guard))).forbids("x-who"));
        }
    }
}
