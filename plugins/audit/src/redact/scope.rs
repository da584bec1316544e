//! Where in a text the reader is, and how much may still be kept.

use super::fold::fold;
use super::{MOST_STRING_BYTES, REDACTED, Redactor, TRUNCATED, cut, json, patterns};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::cell::Cell;

/// How deep containers nest; a deeper one goes.
pub(super) const MOST_DEPTH: u8 = 16;
/// Members of objects and elements of arrays, all containers together, also those within strings.
pub(super) const MOST_MEMBERS: u16 = 1000;
/// How often a string that is JSON may hold another.
const LEVELS: u8 = 2;

/// How many members may still be kept.
pub(super) struct Budget(Cell<u16>);

/// A place in a text.
#[derive(Clone, Copy)]
pub(super) struct Scope<'r> {
    pub(super) redactor: &'r Redactor,
    pub(super) budget: &'r Budget,
    levels: u8,
    depth: u8,
    /// Set if the value here is a string that names something hidden.
    pub(super) label: Option<&'r Cell<bool>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MOST_MEMBERS))
    }
}

impl Budget {
    pub(super) fn scope<'r>(&'r self, redactor: &'r Redactor) -> Scope<'r> {
        Scope { redactor, budget: self, levels: LEVELS, depth: 0, label: None }
    }

    /// Takes one member, if any is left.
    pub(super) fn take(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

impl<'r> Scope<'r> {
    /// The value of a member that may name what its sibling holds.
    pub(super) fn labelling(self, hides_sibling: &'r Cell<bool>) -> Self {
        Self { label: Some(hides_sibling), ..self }
    }

    /// What is kept of a string: redacted, then cut, and both again until nothing changes, since a cut or a placeholder
    /// can make what is beside it look like a secret. Only the first round sees more than [`MOST_STRING_BYTES`], and
    /// each replaces characters that are in no placeholder and adds none, so they end.
    pub(super) fn text<'a>(self, text: &'a str) -> Cow<'a, str> {
        if text.len() <= MOST_STRING_BYTES && patterns::is_plain(text) {
            return Cow::Borrowed(text);
        }
        let left = self.budget.0.get();
        let mut kept = match self.once(text) {
            unchanged @ Cow::Borrowed(_) if text.len() <= MOST_STRING_BYTES => return unchanged,
            first => cut(first, MOST_STRING_BYTES),
        };
        loop {
            self.budget.0.set(left);
            match self.once(&kept) {
                Cow::Owned(again) if again != *kept => kept = cut(Cow::Owned(again), MOST_STRING_BYTES),
                _ => return kept,
            }
        }
    }

    /// What is kept of a value under a name.
    pub(super) fn named<'a>(self, name: &str, value: &'a str) -> Cow<'a, str> {
        if self.redactor.hides_name(name) { Cow::Borrowed(REDACTED) } else { self.text(value) }
    }

    /// One container further in; `None` where it goes.
    pub(super) fn within(self) -> Option<Self> {
        (self.depth < MOST_DEPTH).then_some(Self { depth: self.depth + 1, label: None, ..self })
    }

    /// What a string that is short enough becomes, looked at by everything there is.
    pub(super) fn once<'a>(self, text: &'a str) -> Cow<'a, str> {
        if let Some(inside) = self.json_in_string(text) {
            return Cow::Owned(inside);
        }
        if let Cow::Owned(folded) = fold(text)
            && let Some(inside) = self.json_in_string(&folded)
        {
            return Cow::Owned(inside);
        }
        patterns::replace(text)
    }

    /// What is kept of a string that is itself a JSON object or array, or a string as JSON writes it: what was encoded
    /// twice. `None` if it is none of them.
    fn json_in_string(self, text: &str) -> Option<String> {
        let trimmed = text.trim_ascii();
        if !trimmed.starts_with(['{', '[', '"']) || !trimmed.ends_with(['}', ']', '"']) {
            return None;
        }
        let Some(levels) = self.levels.checked_sub(1) else {
            return serde_json::from_str::<IgnoredAny>(text).is_ok().then(|| TRUNCATED.to_owned());
        };
        let left = self.budget.0.get();
        match json::redact(Self { levels, depth: 0, label: None, ..self }, text) {
            Ok(kept) => Some(kept.to_string()),
            Err(_) => {
                self.budget.0.set(left);
                // Other readers take what this one refuses (`1e999`, half a surrogate, single quotes), and find the names.
                let names_something = trimmed.contains(['"', '\'']) && trimmed.contains(':');
                (names_something && !trimmed.starts_with('"')).then(|| REDACTED.to_owned())
            }
        }
    }
}
