//! What the upstream sees of a conditional request: it never learns of tags it did not mint.

use crate::conditional::Precondition;
use crate::list::{Ours, TagField, Tags};
use crate::tag::EntityTag;
use http::header::{HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use vestibule_plugin::Fields;

/// Takes our tags out of a fresh copy of the client's fields.
pub(crate) fn without_our_tags(fields: &mut Fields, precondition: &Precondition) {
    if let Precondition::NoneMatch(TagField::Tags(tags)) = precondition {
        take_ours_out(fields, IF_NONE_MATCH, tags);
        if tags.ours() == Ours::All {
            // Alone it would be judged, and a false 304 be answered: If-None-Match overrules it (RFC 9110 section
            // 13.1.3), and that field only we can judge.
            fields.remove(&IF_MODIFIED_SINCE);
        }
    }
    if if_range_is_ours(fields) {
        fields.remove(&IF_RANGE);
        fields.remove(&RANGE);
    }
}

/// Leaves of `name`, which holds these tags, those that were not minted here, and nothing where all were.
pub(crate) fn take_ours_out(fields: &mut Fields, name: HeaderName, tags: &Tags) {
    match tags.ours() {
        Ours::None => {}
        Ours::Some => {
            if let Ok(others) = HeaderValue::from_bytes(&tags.without_ours()) {
                fields.set(name, others);
            }
        }
        Ours::All => {
            fields.remove(&name);
        }
    }
}

fn if_range_is_ours(request: &Fields) -> bool {
    let line = request.only(&IF_RANGE).ok().flatten();
    line.and_then(EntityTag::parse).is_some_and(|tag| tag.is_ours())
}
