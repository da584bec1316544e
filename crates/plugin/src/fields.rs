//! The fields of a message: a list of lines in the order in which they came, over the bytes of the head that they came in.
//!
//! Heads are short and most names are asked for once, so a line is found by looking at all of them: at a word each, and at
//! none where no line has a name of that shape. Changes are made in place; what is added is kept behind the head. Whoever wants
//! to keep a field copies it.
//!
//! Names are asked for in any case.

mod names;
mod writing;

pub use names::Names;
pub use writing::Spelling;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use names::{Shape, is_same_name};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;

/// The header fields of a message.
#[derive(Clone, Default)]
pub struct Fields {
    /// The head as it came.
    sent: Bytes,
    /// Lines that were added since, and values that were changed.
    added: Vec<u8>,
    lines: Vec<Line>,
    /// A bit for each [`Shape`] that a line has or had.
    shapes: u64,
}

/// Bytes of names and values that are usually added to a head: room for them is made at once.
const ADDED_ROOM: usize = 384;
/// Between a name and its value.
const SEPARATOR: &[u8] = b": ";
/// Behind a value.
const LINE_END: &[u8] = b"\r\n";

/// One field line.
#[derive(Clone, Copy)]
struct Line {
    name: Part,
    value: Part,
    shape: Shape,
}

/// A part of the head, or of what was added.
#[derive(Clone, Copy)]
struct Part {
    source: Source,
    start: u32,
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Sent,
    Added,
}

impl Fields {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// None, with room for so many lines.
    pub fn with_capacity(lines: usize) -> Self {
        Self { lines: Vec::with_capacity(lines), ..Self::default() }
    }

    /// Those of a head that is `sent`: each line is the ranges of its name and value there, which a strict reader has found
    /// to be what they must be. There is room for `more` lines.
    pub fn of_head(sent: Bytes, lines: impl ExactSizeIterator<Item = (Range<u32>, Range<u32>)>, more: usize) -> Self {
        let (mut list, mut shapes) = (Vec::with_capacity(lines.len() + more), 0);
        let part =
            |range: Range<u32>| Part { source: Source::Sent, start: range.start, length: range.end - range.start };
        list.extend(lines.map(|(name, value)| {
            let shape = Shape::of(&sent[name.start as usize..name.end as usize]);
            shapes |= shape.bit();
            Line { name: part(name), value: part(value), shape }
        }));
        Self { added: Vec::new(), lines: list, shapes, sent }
    }

    /// Field lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// `true` without a line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The value of the first line of `name`.
    #[inline(always)]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let at = self.find(name.as_ref())?;
        Some(self.bytes(self.lines[at].value))
    }

    /// The values of all lines of `name`, in their order.
    #[inline(always)]
    pub fn lines(&self, name: impl AsRef<[u8]>) -> Lines<'_> {
        self.lines_from(self.find(name.as_ref()))
    }

    /// Every line: its name, in any case, and its value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| (self.bytes(line.name), self.bytes(line.value)))
    }

    /// Whether there is a line of `name`.
    #[inline(always)]
    pub fn has(&self, name: impl AsRef<[u8]>) -> bool {
        self.find(name.as_ref()).is_some()
    }

    /// The value of `name` if it has exactly one line.
    ///
    /// # Errors
    ///
    /// [`Repeated`] when there is more than one.
    pub fn only(&self, name: impl AsRef<[u8]>) -> Result<Option<&[u8]>, Repeated> {
        let mut lines = self.lines(name);
        let Some(first) = lines.next() else { return Ok(None) };
        if lines.next().is_some() { Err(Repeated) } else { Ok(Some(first)) }
    }

    /// The first line of `name`, if it is visible ASCII.
    #[inline(always)]
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<&str> {
        visible(self.get(name)?)
    }

    /// A copy of the first line of `name`.
    #[inline(always)]
    pub fn value(&self, name: impl AsRef<[u8]>) -> Option<HeaderValue> {
        self.value_at(self.find(name.as_ref())?)
    }

    /// All lines of `name`, joined as they may be (RFC 9110 section 5.3); `None` when there are none.
    pub fn joined(&self, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut lines = self.lines(name);
        let mut joined = lines.next()?.to_vec();
        for line in lines {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line);
        }
        Some(joined)
    }

    /// A copy of all of them.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    /// Makes `value` the only line of `name`, in the place of the first there is.
    #[inline(always)]
    pub fn set(&mut self, name: impl Borrow<HeaderName>, value: impl Borrow<HeaderValue>) {
        self.put(name.borrow().as_str().as_bytes(), &[value.borrow().as_bytes()]);
    }

    /// The same of a value in `parts`. Bytes that no value may have become spaces (RFC 9110 section 5.5).
    pub fn set_parts(&mut self, name: impl Borrow<HeaderName>, parts: &[&[u8]]) {
        let value = self.put(name.borrow().as_str().as_bytes(), parts);
        let added = &mut self.added[value.range()];
        // No early exit, so that it runs sixteen bytes at a time.
        if added.iter().fold(false, |found, byte| found | is_no_value_byte(*byte)) {
            added.iter_mut().filter(|byte| is_no_value_byte(**byte)).for_each(|byte| *byte = b' ');
        }
    }

    /// Adds a line of `name` behind those there are.
    #[inline(always)]
    pub fn append(&mut self, name: impl Borrow<HeaderName>, value: impl Borrow<HeaderValue>) {
        let name = name.borrow().as_str().as_bytes();
        self.push(name, Shape::of(name), &[value.borrow().as_bytes()]);
    }

    /// Removes every line of `name`; whether there was one.
    #[inline(always)]
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let Some(at) = self.find(name.as_ref()) else { return false };
        self.remove_from(at, name.as_ref());
        true
    }

    /// Makes room for so many more lines at once, where growing once is cheaper than growing twice.
    pub fn reserve(&mut self, lines: usize) {
        self.lines.reserve(lines);
    }

    /// A copy with room for so many `more` lines.
    pub fn copy(&self, more: usize) -> Self {
        let mut lines = Vec::with_capacity(self.lines.len() + more);
        lines.extend_from_slice(&self.lines);
        Self { sent: self.sent.clone(), added: self.added.clone(), lines, shapes: self.shapes }
    }

    /// Removes every line of each of these names.
    pub fn remove_all<const N: usize>(&mut self, names: &Names<N>) {
        // Of most heads no line has one of them.
        if !names.may_be_among(self.shapes) {
            return;
        }
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| {
            let is_one = |name: &&str| is_same_name(self.bytes(line.name), name.as_bytes());
            !names.may_be_among(line.shape.bit()) || !names.all().iter().any(is_one)
        });
        self.lines = lines;
    }

    /// Where the first line of `name` is.
    #[inline(always)]
    fn find(&self, name: &[u8]) -> Option<usize> {
        // Of a name that is known when this is compiled, so is the shape.
        let shape = Shape::of(name);
        if self.shapes & shape.bit() == 0 {
            return None;
        }
        self.look(name, shape)
    }

    #[inline(always)]
    fn put(&mut self, name: &[u8], value: &[&[u8]]) -> Part {
        match self.find(name) {
            None => self.push(name, Shape::of(name), value),
            Some(at) => self.replace(at, name, value),
        }
    }

    /// Adds a line as it is written, so that many are written at once.
    fn push(&mut self, name: &[u8], shape: Shape, value: &[&[u8]]) -> Part {
        let length: usize = value.iter().map(|part| part.len()).sum();
        self.make_room(name.len() + SEPARATOR.len() + length + LINE_END.len());
        let name = self.add(&[name]);
        self.added.extend_from_slice(SEPARATOR);
        let value = self.add(value);
        self.added.extend_from_slice(LINE_END);

        self.lines.push(Line { name, value, shape });
        self.shapes |= shape.bit();
        value
    }

    fn replace(&mut self, at: usize, name: &[u8], value: &[&[u8]]) -> Part {
        self.make_room(value.iter().map(|part| part.len()).sum());
        let value = self.add(value);
        self.lines[at].value = value;
        self.remove_from(at + 1, name);
        value
    }

    fn lines_from(&self, first: Option<usize>) -> Lines<'_> {
        let rest = &self.lines[first.unwrap_or(self.lines.len())..];
        Lines { fields: self, first: rest.first(), rest: rest.iter() }
    }

    fn value_at(&self, at: usize) -> Option<HeaderValue> {
        let part = self.lines[at].value;
        match part.source {
            Source::Sent => HeaderValue::from_maybe_shared(self.sent.slice(part.range())).ok(),
            Source::Added => HeaderValue::from_bytes(&self.added[part.range()]).ok(),
        }
    }

    fn look(&self, name: &[u8], shape: Shape) -> Option<usize> {
        self.lines.iter().position(|line| line.shape == shape && is_same_name(self.bytes(line.name), name))
    }

    fn remove_from(&mut self, at: usize, name: &[u8]) {
        let shape = Shape::of(name);
        let mut kept = at;
        for next in at..self.lines.len() {
            let line = self.lines[next];
            if line.shape == shape && is_same_name(self.bytes(line.name), name) {
                continue;
            }
            self.lines[kept] = line;
            kept += 1;
        }
        self.lines.truncate(kept);
    }

    fn make_room(&mut self, bytes: usize) {
        if self.added.capacity() - self.added.len() < bytes {
            self.added.reserve(bytes.max(ADDED_ROOM));
        }
    }

    /// Adds what there is room for.
    fn add(&mut self, parts: &[&[u8]]) -> Part {
        let start = self.added.len();
        for part in parts {
            self.added.extend_from_slice(part);
        }
        Part { source: Source::Added, start: start as u32, length: (self.added.len() - start) as u32 }
    }

    fn bytes(&self, part: Part) -> &[u8] {
        &self.source(part.source)[part.range()]
    }

    fn source(&self, source: Source) -> &[u8] {
        match source {
            Source::Sent => &self.sent,
            Source::Added => &self.added,
        }
    }
}

impl Part {
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

/// `value` as text, if it is visible ASCII.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| is_visible)
}

/// Controls but the tab (RFC 9110 section 5.5).
fn is_no_value_byte(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        map.iter().collect()
    }
}

impl<N: Borrow<HeaderName>, V: Borrow<HeaderValue>> Extend<(N, V)> for Fields {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, lines: I) {
        lines.into_iter().for_each(|(name, value)| self.append(name, value));
    }
}

impl<N: Borrow<HeaderName>, V: Borrow<HeaderValue>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let lines = lines.into_iter();
        let mut fields = Self::with_capacity(lines.size_hint().0);
        fields.extend(lines);
        fields
    }
}

/// The same lines in the same order; names in any case.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.iter().zip(other.iter());
        self.len() == other.len() && pairs.all(|(mine, its)| mine.0.eq_ignore_ascii_case(its.0) && mine.1 == its.1)
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        f.debug_map().entries(texts).finish()
    }
}

/// A field that belongs there once has several lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the field has several lines")]
pub struct Repeated;

/// Values of the lines of one name.
#[derive(Clone)]
pub struct Lines<'a> {
    fields: &'a Fields,
    /// One that has the name.
    first: Option<&'a Line>,
    rest: std::slice::Iter<'a, Line>,
}

impl Lines<'_> {
    fn is_one(&self, line: &Line) -> bool {
        let name = |line: &Line| self.fields.bytes(line.name);
        self.first.is_some_and(|first| first.shape == line.shape && is_same_name(name(first), name(line)))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.rest.next()?;
            if self.is_one(line) {
                return Some(self.fields.bytes(line.value));
            }
        }
    }
}

impl DoubleEndedIterator for Lines<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.rest.next_back()?;
            if self.is_one(line) {
                return Some(self.fields.bytes(line.value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, AGE, COOKIE, ETAG, HOST};

    /// `Accept: a`, `accept: b`, `Host: h` as they came.
    fn sent() -> Fields {
        let head = Bytes::from_static(b"Accept: a\r\naccept: b\r\nHost: h\r\n");
        Fields::of_head(head, [(0..6, 8..9), (11..17, 19..20), (22..26, 28..29)].into_iter(), 2)
    }

    fn written(fields: &Fields, spelling: Spelling) -> String {
        let mut out = Vec::new();
        fields.write(spelling, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_field_is_read_by_its_lines_in_any_case() {
        let mut fields = sent();
        fields.append(&COOKIE, HeaderValue::from_bytes(b"\xe9").expect("a value"));
        assert_eq!(fields.get(&ACCEPT), Some(&b"a"[..]));
        assert_eq!(fields.lines(&ACCEPT).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.lines(&ACCEPT).rev().collect::<Vec<_>>(), [b"b", b"a"]);
        assert_eq!(fields.joined(&ACCEPT).as_deref(), Some(&b"a, b"[..]));
        assert_eq!((fields.only(&ACCEPT), fields.only(&HOST)), (Err(Repeated), Ok(Some(&b"h"[..]))));
        assert!(fields.has(&HOST) && !fields.has(&ETAG));
        assert_eq!((fields.text(&HOST), fields.text(&COOKIE)), (Some("h"), None), "visible ASCII");
        assert_eq!(fields.value(&HOST), Some(HeaderValue::from_static("h")));
        assert_eq!(fields.value(&COOKIE), HeaderValue::from_bytes(b"\xe9").ok());
    }

    #[test]
    fn a_change_keeps_the_place_and_the_spelling_of_what_came() {
        let mut fields = sent();
        fields.set(&ACCEPT, HeaderValue::from_static("c"));
        fields.set(&AGE, HeaderValue::from_static("1"));
        assert_eq!(written(&fields, Spelling::Small), "Accept: c\r\nHost: h\r\nage: 1\r\n");
        assert_eq!(written(&fields, Spelling::Usual), "Accept: c\r\nHost: h\r\nAge: 1\r\n");

        assert!(fields.remove(&ACCEPT) && !fields.remove(&ACCEPT));
        fields.append(&HOST, HeaderValue::from_static("i"));
        fields.remove(&AGE);
        assert_eq!(written(&fields, Spelling::Small), "Host: h\r\nhost: i\r\n");
        assert_eq!(
            Fields::from(&fields.to_map()).iter().collect::<Vec<_>>(),
            [(&b"host"[..], &b"h"[..]), (b"host", b"i")]
        );
    }

    #[test]
    fn a_value_in_parts_is_one_that_a_field_may_have() {
        let mut fields = sent();
        fields.set_parts(ACCEPT, &[b"a\r\nx: 1", b", ", b"\0\x7f\t\xe9"]);
        fields.set_parts(AGE, &[]);
        assert_eq!(fields.get(&ACCEPT), Some(&b"a  x: 1,   \t\xe9"[..]));
        assert_eq!((fields.len(), fields.get(&AGE)), (3, Some(&b""[..])));
    }

    #[test]
    fn names_are_removed_together() {
        const DOOMED: Names<3> = Names::new(["te", "accept", "aCCEPX"]);
        let mut fields = sent();
        fields.append(HeaderName::from_static("te"), HeaderValue::from_static("trailers"));
        fields.append(HeaderName::from_static("tx"), HeaderValue::from_static("1"));
        fields.remove_all(&DOOMED);
        assert_eq!(written(&fields, Spelling::Small), "Host: h\r\ntx: 1\r\n");
    }

    #[test]
    fn a_copy_changes_by_itself() {
        let first = sent();
        let mut second = first.clone();
        second.set(&HOST, HeaderValue::from_static("other"));
        assert_eq!((first.text(&HOST), second.text(&HOST)), (Some("h"), Some("other")));
    }
}
