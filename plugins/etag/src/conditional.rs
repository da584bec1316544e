//! Whether a reply may be a 304 (RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2).

use crate::list::TagField;
use crate::{date, reply};
use http::StatusCode;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use std::time::SystemTime;
use vestibule_plugin::Fields;

/// What the client has, as it said before anything was edited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Nothing that could be judged.
    None,
    /// Content with these tags. A date beside them is not looked at.
    NoneMatch(TagField),
    /// Content of this moment.
    ModifiedSince(SystemTime),
}

impl Precondition {
    /// The precondition of a request.
    pub(crate) fn of(request: &Fields) -> Self {
        match TagField::of(request, &IF_NONE_MATCH) {
            Some(none_match) => Self::NoneMatch(none_match),
            None => date::single(request, &IF_MODIFIED_SINCE).map_or(Self::None, Self::ModifiedSince),
        }
    }

    /// Whether the client has what this reply would bring. `fields` hold the tag that was minted, if one was.
    pub(crate) fn is_met(&self, status: StatusCode, fields: &Fields) -> bool {
        match self {
            Self::None => false,
            Self::NoneMatch(none_match) => reply::may_become_304(status, fields) && matches(none_match, fields),
            Self::ModifiedSince(then) => {
                reply::may_become_304(status, fields)
                    && date::single(fields, &LAST_MODIFIED).is_some_and(|modified| modified <= *then)
            }
        }
    }
}

fn matches(none_match: &TagField, fields: &Fields) -> bool {
    let Some(tag) = reply::tag(fields) else { return false };
    match none_match {
        TagField::Any => true,
        TagField::Tags(tags) => tags.contain(&tag),
        TagField::Malformed => false,
    }
}
