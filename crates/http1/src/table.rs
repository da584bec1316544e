//! The fields of a head: where each name and value lies in the bytes as they came.

use crate::known::Known;
use crate::syntax::trim;
use smallvec::SmallVec;
use std::ops::Range;

/// Fields that need no allocation; a browser sends twelve to twenty.
const INLINE: usize = 32;
/// In [`FieldTable::first`]: the head has no such field.
const NONE: u16 = u16::MAX;

/// One field line, as offsets into the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Option<Known>,
}

/// A part of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Of a head that the limits keep below 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// The field lines of a head, in order. Its methods want the bytes that the head was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTable {
    fields: SmallVec<[Field; INLINE]>,
    /// By [`Known`]: the index of its first line.
    first: [u16; Known::COUNT],
}

impl Default for FieldTable {
    fn default() -> Self {
        Self { fields: SmallVec::new(), first: [NONE; Known::COUNT] }
    }
}

impl FieldTable {
    pub(crate) fn push(&mut self, field: Field) {
        if let Some(known) = field.known {
            let first = &mut self.first[known as usize];
            if *first == NONE {
                *first = self.fields.len() as u16;
            }
        }
        self.fields.push(field);
    }

    /// Field lines.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether there is a line of this name.
    pub fn has(&self, known: Known) -> bool {
        self.first[known as usize] != NONE
    }

    /// Every line as it came: name and value, in order.
    pub fn iter<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + use<'_, 'b> {
        self.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)))
    }

    /// Where every line lies in the bytes: its name and value, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (Range<u32>, Range<u32>)> {
        self.fields.iter().map(|field| (field.name.start..field.name.end, field.value.start..field.value.end))
    }

    /// The value of the first line of this name.
    pub fn get<'b>(&self, bytes: &'b [u8], known: Known) -> Option<&'b [u8]> {
        match self.first[known as usize] {
            NONE => None,
            at => Some(self.fields[usize::from(at)].value.of(bytes)),
        }
    }

    /// The values of all lines of this name, in order.
    pub fn all<'b>(&self, bytes: &'b [u8], known: Known) -> Lines<'_, 'b> {
        let from = match self.first[known as usize] {
            NONE => self.fields.len(),
            at => usize::from(at),
        };
        Lines { fields: &self.fields[from..], bytes, wanted: Wanted::Known(known) }
    }

    /// The values of all lines whose name is `name` with letters folded.
    pub fn lines<'t, 'b>(&'t self, bytes: &'b [u8], name: &'t [u8]) -> Lines<'t, 'b> {
        match Known::of(name) {
            Some(known) => self.all(bytes, known),
            None => Lines { fields: &self.fields, bytes, wanted: Wanted::Name(name) },
        }
    }

    /// The members of all lines of this name as one list, empty ones left out (RFC 9110 section 5.6.1). Quoted commas
    /// are not expected: no list that frames a message has them.
    pub fn members<'b>(&self, bytes: &'b [u8], known: Known) -> impl Iterator<Item = &'b [u8]> + use<'_, 'b> {
        self.all(bytes, known).flat_map(|line| line.split(|byte| *byte == b',')).map(trim).filter(|m| !m.is_empty())
    }
}

/// Values of the lines of one name.
#[derive(Clone, Debug)]
pub struct Lines<'t, 'b> {
    fields: &'t [Field],
    bytes: &'b [u8],
    wanted: Wanted<'t>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted<'t> {
    Known(Known),
    Name(&'t [u8]),
}

impl<'b> Iterator for Lines<'_, 'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        while let [field, rest @ ..] = self.fields {
            self.fields = rest;

            let is_wanted = match self.wanted {
                Wanted::Known(known) => field.known == Some(known),
                Wanted::Name(name) => field.known.is_none() && field.name.of(self.bytes).eq_ignore_ascii_case(name),
            };
            if is_wanted {
                return Some(field.value.of(self.bytes));
            }
        }
        None
    }
}
