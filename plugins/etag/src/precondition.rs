//! Whether a write rests on what there is (RFC 9110 sections 13.1.1, 13.1.2, 13.1.4 and 13.2.2). Values in, values out.

use crate::date;
use crate::list::{Ours, TagField};
use crate::tag::EntityTag;
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use std::time::SystemTime;
use vestibule_plugin::Fields;

/// What a write says that it rests on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preconditions {
    /// `If-Match`.
    pub(crate) matches: Option<TagField>,
    /// `If-Unmodified-Since`, if it is a date: another one is ignored (RFC 9110 section 13.1.4).
    unmodified_since: Option<SystemTime>,
    /// `If-None-Match`.
    pub(crate) none_match: Option<TagField>,
}

/// What its target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// Content.
    Content {
        /// Its tag, if it could be given one.
        tag: Option<EntityTag<'a>>,
        /// When it was last changed, as the application says.
        modified: Option<SystemTime>,
    },
    /// Nothing that a GET shows.
    Nothing,
}

/// Whether the write may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It rests on something else.
    Fails,
    /// It may, and the application sees what it can judge itself.
    Passes,
    /// It may; `If-Match` named one of our tags, which the application cannot judge, and a date beside it counts for
    /// nothing.
    PassesByOurTag,
}

impl Preconditions {
    /// Those of a request.
    pub(crate) fn of(fields: &Fields) -> Self {
        Self {
            matches: TagField::of(fields, &IF_MATCH),
            unmodified_since: date::single(fields, &IF_UNMODIFIED_SINCE),
            none_match: TagField::of(fields, &IF_NONE_MATCH),
        }
    }

    /// Whether there is nothing to judge.
    pub(crate) fn is_empty(&self) -> bool {
        self.matches.is_none() && self.unmodified_since.is_none() && self.none_match.is_none()
    }

    /// Whether every tag of `If-Match` was minted here, and there is one.
    pub(crate) fn rests_on_ours_alone(&self) -> bool {
        matches!(&self.matches, Some(TagField::Tags(tags)) if tags.ours() == Ours::All)
    }

    /// Judges them in the order of RFC 9110 section 13.2.2.
    pub(crate) fn judge(&self, target: Target<'_>) -> Verdict {
        let exists = matches!(target, Target::Content { .. });
        let (tag, modified) = match target {
            Target::Content { tag, modified } => (tag, modified),
            Target::Nothing => (None, None),
        };
        let mut verdict = Verdict::Passes;
        match &self.matches {
            Some(TagField::Any) if !exists => return Verdict::Fails,
            Some(TagField::Malformed) => return Verdict::Fails,
            Some(TagField::Tags(tags)) => {
                if !tag.is_some_and(|tag| tags.contain_strongly(&tag)) {
                    return Verdict::Fails;
                }
                if tags.ours() != Ours::None {
                    verdict = Verdict::PassesByOurTag;
                }
            }
            // A date is looked at only where there is no tag.
            None => {
                let changed = self.unmodified_since.zip(modified).is_some_and(|(then, modified)| modified > then);
                if changed {
                    return Verdict::Fails;
                }
            }
            Some(TagField::Any) => {}
        }
        match &self.none_match {
            Some(TagField::Any) if exists => Verdict::Fails,
            Some(TagField::Tags(tags)) if tag.is_some_and(|tag| tags.contain(&tag)) => Verdict::Fails,
            _ => verdict,
        }
    }
}

#[cfg(test)]
#[path = "precondition/tests.rs"]
mod tests;
