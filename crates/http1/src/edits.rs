//! Changes to the fields of a head, kept apart from its bytes.

use crate::table::{Field, FieldTable};
use http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;

/// What is set, appended and removed. A name is set or removed at most once here, before what is appended to it.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    changes: SmallVec<[(HeaderName, Change); 8]>,
    /// A bit for each length of a name in `changes`, 63 and longer sharing one: most fields are not changed.
    lengths: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// Instead of all lines of this name, in the place of the first.
    Set(HeaderValue),
    /// Behind all lines.
    Append(HeaderValue),
    /// No line of this name.
    Remove,
}

impl Edits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One line of this name, whatever there was. It takes the place and the spelling of the first of them.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.forget(&name);
        self.push(name, Change::Set(value));
    }

    /// One line more, behind all others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.push(name, Change::Append(value));
    }

    /// No line of this name.
    pub fn remove(&mut self, name: HeaderName) {
        self.forget(&name);
        self.push(name, Change::Remove);
    }

    fn push(&mut self, name: HeaderName, change: Change) {
        self.lengths |= length_bit(name.as_str().len());
        self.changes.push((name, change));
    }

    fn forget(&mut self, name: &HeaderName) {
        self.changes.retain(|(changed, _)| changed != name);
    }

    /// What becomes of the lines of `name`; `None` when they stay.
    fn replacement(&self, name: &[u8]) -> Option<&Change> {
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        let is_it = |changed: &HeaderName| changed.as_str().as_bytes().eq_ignore_ascii_case(name);
        let decides = |change: &Change| !matches!(change, Change::Append(_));
        self.changes.iter().find(|(changed, change)| decides(change) && is_it(changed)).map(|(_, change)| change)
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// A head's fields with its edits.
#[derive(Clone, Copy, Debug)]
pub struct Edited<'a> {
    /// The fields as they came.
    pub fields: &'a FieldTable,
    /// The bytes they came in.
    pub bytes: &'a [u8],
    /// What has changed since.
    pub edits: &'a Edits,
}

impl<'a> Edited<'a> {
    /// Every line, in the order in which it is written.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.lines_with_fields().map(|(_, name, value)| (name, value))
    }

    /// The values of all lines whose name is `name`.
    pub fn lines(self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let sent = self.fields.lines(self.bytes, name.as_str().as_bytes());
        let change = self.edits.replacement(name.as_str().as_bytes());
        let set = change.and_then(|change| match change {
            Change::Set(value) => Some(value.as_bytes()),
            _ => None,
        });
        let appended = self.edits.changes.iter().filter_map(move |(changed, change)| match change {
            Change::Append(value) if changed == name => Some(value.as_bytes()),
            _ => None,
        });
        sent.filter(move |_| change.is_none()).chain(set).chain(appended)
    }

    /// The value of the first line whose name is `name`.
    pub fn get(self, name: &'a HeaderName) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// As [`Self::iter`], each with the field it came from, or `None` for one that was added.
    pub(crate) fn lines_with_fields(self) -> impl Iterator<Item = (Option<&'a Field>, &'a [u8], &'a [u8])> {
        let Self { fields, bytes, edits } = self;

        let entries = fields.entries();
        let kept = entries.iter().enumerate().filter_map(move |(at, field)| {
            let name = field.name.of(bytes);
            match edits.replacement(name) {
                None => Some((Some(field), name, field.value.of(bytes))),
                Some(Change::Set(value)) if !has_line(&entries[..at], bytes, name) => {
                    Some((None, name, value.as_bytes()))
                }
                Some(_) => None,
            }
        });
        let added = edits.changes.iter().filter_map(move |(name, change)| match change {
            Change::Append(value) => Some((None, name.as_str().as_bytes(), value.as_bytes())),
            Change::Set(value) if !has_line(entries, bytes, name.as_str().as_bytes()) => {
                Some((None, name.as_str().as_bytes(), value.as_bytes()))
            }
            _ => None,
        });
        kept.chain(added)
    }
}

fn has_line(entries: &[Field], bytes: &[u8], name: &[u8]) -> bool {
    entries.iter().any(|field| field.name.of(bytes).eq_ignore_ascii_case(name))
}
