//! Request fields that must not be forged. Pure.

use crate::edge::rules::dashed_twin;
use http::header::HeaderName;
use std::collections::{BTreeMap, BTreeSet};
use vestibule_plugin::Guard;

/// The fields that plugins guard, with the fixed ones.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    /// By name, as a client could send it in one spelling or another.
    names: BTreeMap<String, Guard>,
    /// First bytes of these names: most fields are settled by theirs.
    starts: BTreeSet<u8>,
}

impl Guarded {
    /// Of these fields; of two guards of one field the stricter holds.
    pub fn new(fields: impl IntoIterator<Item = (HeaderName, Guard)>) -> Self {
        let mut guarded = Self::default();
        for (name, guard) in fields {
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

    /// Whether a field that a client sent under this name is to be removed.
    pub fn forbids(&self, sent: &HeaderName) -> bool {
        if !self.starts.contains(&sent.as_str().as_bytes()[0]) {
            return false;
        }
        match dashed_twin(sent) {
            Some(twin) => self.names.contains_key(&twin),
            None => self.names.get(sent.as_str()) == Some(&Guard::Ours),
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
            (name("x-api-key"), Guard::Exact),
        ]);
        for sent in
            ["x-auth-subject", "x_auth_subject", "x_auth-subject", "x_api_key", "x-api_key", "x-tenant", "x_tenant"]
        {
            assert!(guarded.forbids(&name(sent)), "{sent}");
        }
        for sent in ["x-api-key", "x-auth", "x_auth_sub", "authorization", "x-other"] {
            assert!(!guarded.forbids(&name(sent)), "{sent}");
        }
    }

    #[test]
    fn the_stricter_guard_holds() {
        for guards in [[Guard::Ours, Guard::Exact], [Guard::Exact, Guard::Ours]] {
            assert!(Guarded::new(guards.map(|guard| (name("x-who"), guard))).forbids(&name("x-who")));
        }
    }
}
