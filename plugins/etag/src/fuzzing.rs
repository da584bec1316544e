//! Lists of entity tags as functions of bytes, for fuzzing. No part of the API.

use crate::list::{Ours, TagField};
use crate::tag::EntityTag;

/// What a list says.
#[derive(Debug, PartialEq, Eq)]
pub enum List {
    Any,
    Tags {
        any_ours: bool,
        all_ours: bool,
        /// As sent to an application that did not mint ours.
        others: Vec<u8>,
    },
    Malformed,
}

pub fn list(text: &[u8]) -> List {
    match TagField::parse(text) {
        TagField::Any => List::Any,
        TagField::Malformed => List::Malformed,
        TagField::Tags(tags) => List::Tags {
            any_ours: tags.ours() != Ours::None,
            all_ours: tags.ours() == Ours::All,
            others: tags.without_ours(),
        },
    }
}

/// Whether the list names this tag, weakly and strongly; `None` when either is malformed.
pub fn names(list: &[u8], tag: &[u8]) -> Option<(bool, bool)> {
    let (TagField::Tags(tags), Some(tag)) = (TagField::parse(list), EntityTag::parse(tag)) else { return None };
    Some((tags.contain(&tag), tags.contain_strongly(&tag)))
}
