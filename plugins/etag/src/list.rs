//! `If-None-Match` and `If-Match`, read as a whole or not at all (RFC 9110 sections 13.1.1 and 13.1.2).
//!
//! A field that does not match the grammar matches no tag: the cost of being wrong is bytes, never a stale page. One
//! pass over the field, whatever stands in it.

use crate::tag::EntityTag;
use http::header::HeaderName;
use std::borrow::Cow;
use vestibule_plugin::Fields;

/// Most bytes of the field, its lines joined.
const MOST_BYTES: usize = 8 << 10;
/// Most tags in it; empty members do not count.
const MOST_TAGS: usize = 100;

/// What one of these fields says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TagField {
    /// `*`.
    Any,
    /// A list of tags.
    Tags(Tags),
    /// Not a list, or too long: equal to no tag.
    Malformed,
}

/// A list that matches the grammar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    text: Box<[u8]>,
    ours: usize,
    others: usize,
}

/// Which tags of a list were minted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// None, or it has no tags.
    None,
    /// Some, with others between them.
    Some,
    /// All.
    All,
}

impl TagField {
    /// What `name` says among these fields; `None` when it is not there.
    pub(crate) fn of(fields: &Fields, name: &HeaderName) -> Option<Self> {
        let mut lines = fields.lines(name);
        let first = lines.next()?;
        Some(join(first, lines).map_or(Self::Malformed, |text| Self::parse(&text)))
    }

    /// Reads the joined lines.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = text.trim_ascii();
        if text == b"*" {
            return Self::Any;
        }
        if text.len() > MOST_BYTES {
            return Self::Malformed;
        }
        let (mut ours, mut others) = (0, 0);
        for member in Members(text) {
            match member {
                Ok(tag) if tag.is_ours() => ours += 1,
                Ok(_) => others += 1,
                Err(NotATag) => return Self::Malformed,
            }
            if ours + others > MOST_TAGS {
                return Self::Malformed;
            }
        }
        Self::Tags(Tags { text: text.into(), ours, others })
    }
}

impl Tags {
    /// Whether one of them equals `tag` by weak comparison.
    pub(crate) fn contain(&self, tag: &EntityTag<'_>) -> bool {
        self.iter().any(|member| member.weakly_equals(tag))
    }

    /// Whether one of them equals `tag` by strong comparison (RFC 9110 section 8.8.3.2).
    pub(crate) fn contain_strongly(&self, tag: &EntityTag<'_>) -> bool {
        self.iter().any(|member| member.strongly_equals(tag))
    }

    /// Which of them were minted here.
    pub(crate) fn ours(&self) -> Ours {
        match (self.ours, self.others) {
            (0, _) => Ours::None,
            (_, 0) => Ours::All,
            _ => Ours::Some,
        }
    }

    /// Those not minted here, as sent and in their order.
    pub(crate) fn without_ours(&self) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.text.len());
        for tag in self.iter().filter(|tag| !tag.is_ours()) {
            if !kept.is_empty() {
                kept.extend_from_slice(b", ");
            }
            kept.extend_from_slice(tag.text);
        }
        kept
    }

    fn iter(&self) -> impl Iterator<Item = EntityTag<'_>> {
        Members(&self.text).filter_map(Result::ok)
    }
}

/// All lines with commas between them (RFC 9110 section 5.3); `None` when that is too long.
fn join<'a>(first: &'a [u8], rest: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut joined = Cow::Borrowed(first);
    for line in rest {
        if joined.len() > MOST_BYTES {
            return None;
        }
        let all = joined.to_mut();
        all.push(b',');
        all.extend_from_slice(line);
    }
    (joined.len() <= MOST_BYTES).then_some(joined)
}

/// The members of a list, empty ones left out; after an error nothing more.
struct Members<'a>(&'a [u8]);

struct NotATag;

impl<'a> Iterator for Members<'a> {
    type Item = Result<EntityTag<'a>, NotATag>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let member = std::mem::take(&mut self.0).get(start..)?;
        let Some((tag, after)) = EntityTag::split_first(member) else { return Some(Err(NotATag)) };
        let end = after.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(after.len());
        match after[end..].first() {
            None | Some(b',') => {
                self.0 = &after[end..];
                Some(Ok(tag))
            }
            Some(_) => Some(Err(NotATag)),
        }
    }
}

#[cfg(test)]
#[path = "list/tests.rs"]
mod tests;
