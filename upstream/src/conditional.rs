//! Entity tags and preconditions of RFC 9110 section 13, values in and values out.
//!
//! An item's tag is strong and made of two numbers, so an item is a pure function of what its tag names.

use std::fmt;

/// A strong entity tag `"R.V"`: the revision of the representation and the version of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) revision: u32,
    pub(crate) version: i64,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}.{}\"", self.revision, self.version)
    }
}

/// What a request wants to be true before it is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preconditions {
    /// `If-Match`; `None` when the field is absent.
    pub(crate) if_match: Option<TagList>,
    /// `If-None-Match`; `None` when the field is absent.
    pub(crate) if_none_match: Option<TagList>,
}

impl Preconditions {
    /// Whether an unsafe method may be applied to the item that carries `tag`.
    pub(crate) fn permit_write(&self, tag: Tag) -> bool {
        self.if_match.as_ref().is_none_or(|list| list.matches_strongly(tag)) && !self.excludes(tag)
    }

    /// Whether the sender has the item that carries `tag` already, so that a GET needs no body.
    pub(crate) fn excludes(&self, tag: Tag) -> bool {
        self.if_none_match.as_ref().is_some_and(|list| list.matches_weakly(tag))
    }
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagList {
    /// `*`: any item that exists.
    Any,
    /// The members that parse; others match nothing, so they are not kept.
    Listed(Vec<Member>),
}

/// One entity tag of a list, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    Strong(Vec<u8>),
    Weak(Vec<u8>),
}

impl TagList {
    /// Reads the whole list: all field lines, joined by commas in their order.
    pub(crate) fn parse(joined: &[u8]) -> Self {
        if joined.trim_ascii() == b"*" {
            return Self::Any;
        }
        let mut members = Vec::new();
        let mut rest = joined;
        while !rest.is_empty() {
            let (member, after) = next_member(rest);
            members.extend(member);
            rest = after;
        }
        Self::Listed(members)
    }

    fn matches_strongly(&self, tag: Tag) -> bool {
        self.matches(tag, |member| match member {
            Member::Strong(opaque) => Some(opaque),
            Member::Weak(_) => None,
        })
    }

    fn matches_weakly(&self, tag: Tag) -> bool {
        self.matches(tag, |(Member::Strong(opaque) | Member::Weak(opaque))| Some(opaque))
    }

    fn matches(&self, tag: Tag, comparable: impl Fn(&Member) -> Option<&Vec<u8>>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(members) => {
                let quoted = tag.to_string();
                let wanted = quoted.trim_matches('"').as_bytes();
                members.iter().filter_map(comparable).any(|opaque| opaque == wanted)
            }
        }
    }
}

/// Takes one member off the front; a member that does not parse is `None` and ends at the next comma.
fn next_member(list: &[u8]) -> (Option<Member>, &[u8]) {
    let start = list.trim_ascii_start();
    match entity_tag(start) {
        Some((member, rest)) => match rest.trim_ascii_start() {
            [] => (Some(member), &[]),
            [b',', after @ ..] => (Some(member), after),
            garbage => (None, after_comma(garbage)),
        },
        None => (None, after_comma(start)),
    }
}

/// `[ %s"W/" ] DQUOTE *etagc DQUOTE`, RFC 9110 section 8.8.3.
fn entity_tag(text: &[u8]) -> Option<(Member, &[u8])> {
    let (weak, quoted) = match text.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let inside = quoted.strip_prefix(b"\"")?;
    let end = inside.iter().position(|byte| *byte == b'"')?;
    let opaque = &inside[..end];
    if !opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
        return None;
    }
    let member = if weak { Member::Weak(opaque.to_vec()) } else { Member::Strong(opaque.to_vec()) };
    Some((member, &inside[end + 1..]))
}

fn after_comma(text: &[u8]) -> &[u8] {
    match text.iter().position(|byte| *byte == b',') {
        Some(comma) => &text[comma + 1..],
        None => &[],
    }
}

#[cfg(test)]
mod tests;
