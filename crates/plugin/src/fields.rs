//! The fields of a message, behind a narrow door: read by name or in order, edited by three verbs.
//!
//! How they are kept is the host's: a table over the bytes as they came, or a map. Whoever wants to keep a field copies it.

use http::header::{HeaderMap, HeaderName, HeaderValue, Iter, ValueIter};

/// The header fields of a message.
pub trait Fields: Send + Sync {
    /// The value of the first line of `name`.
    fn get(&self, name: &HeaderName) -> Option<&[u8]>;
    /// The values of all lines of `name`, in their order.
    fn lines<'a>(&'a self, name: &HeaderName) -> Lines<'a>;
    /// Every line: its name, in any case, and its value. Lines of one name are in their order.
    fn all(&self) -> AllLines<'_>;

    /// Makes `value` the only line of `name`.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Adds a line of `name` behind those there are.
    fn append(&mut self, name: HeaderName, value: HeaderValue);
    /// Removes every line of `name`; whether there was one.
    fn remove(&mut self, name: &HeaderName) -> bool;
    /// Makes room for so many more lines at once, where growing once is cheaper than growing twice.
    fn reserve(&mut self, _lines: usize) {}

    /// Whether there is a line of `name`.
    fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// The value of `name` if it has exactly one line; `Err` when it has several.
    ///
    /// # Errors
    ///
    /// [`Repeated`] when there is more than one line.
    fn only(&self, name: &HeaderName) -> Result<Option<&[u8]>, Repeated> {
        let mut lines = self.lines(name);
        let first = lines.next();
        if lines.next().is_some() { Err(Repeated) } else { Ok(first) }
    }
}

/// A field that belongs there once has several lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the field has several lines")]
pub struct Repeated;

impl dyn Fields + '_ {
    /// The first line of `name`, if it is visible ASCII.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        let value = self.get(name).filter(|value| value.iter().all(is_visible))?;
        std::str::from_utf8(value).ok()
    }

    /// A copy of the first line of `name`.
    pub fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.get(name)?).ok()
    }

    /// All lines of `name`, joined as they may be (RFC 9110 section 5.3); `None` when there are none.
    pub fn joined(&self, name: &HeaderName) -> Option<Vec<u8>> {
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
        let valid = self.all().filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
        });
        valid.collect()
    }
}

/// Values of the lines of one name.
#[derive(Debug)]
pub struct Lines<'a>(ValueIter<'a, HeaderValue>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().map(HeaderValue::as_bytes)
    }
}

/// Every line of a message.
#[derive(Debug)]
pub struct AllLines<'a>(Iter<'a, HeaderValue>);

impl<'a> Iterator for AllLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name, value) = self.0.next()?;
        Some((name.as_str().as_bytes(), value.as_bytes()))
    }
}

impl Fields for HeaderMap {
    fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        HeaderMap::get(self, name).map(HeaderValue::as_bytes)
    }
    fn lines<'a>(&'a self, name: &HeaderName) -> Lines<'a> {
        Lines(self.get_all(name).iter())
    }
    fn all(&self) -> AllLines<'_> {
        AllLines(self.iter())
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }
    fn remove(&mut self, name: &HeaderName) -> bool {
        HeaderMap::remove(self, name).is_some()
    }
    fn reserve(&mut self, lines: usize) {
        HeaderMap::reserve(self, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE, HOST};

    fn some() -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in [(ACCEPT, &b"a"[..]), (ACCEPT, b"b"), (HOST, b"h"), (COOKIE, b"\xe9")] {
            fields.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        fields
    }

    #[test]
    fn a_field_is_read_by_its_lines() {
        let map = some();
        let fields: &dyn Fields = &map;
        assert_eq!(fields.get(&ACCEPT), Some(&b"a"[..]));
        assert_eq!(fields.lines(&ACCEPT).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.joined(&ACCEPT).as_deref(), Some(&b"a, b"[..]));
        assert_eq!((fields.only(&ACCEPT), fields.only(&HOST)), (Err(Repeated), Ok(Some(&b"h"[..]))));
        assert!(fields.has(&HOST) && !fields.has(&http::header::ETAG));
        assert_eq!((fields.text(&HOST), fields.text(&COOKIE)), (Some("h"), None), "visible ASCII");
        assert_eq!(fields.value(&COOKIE), map.get(COOKIE).cloned());
    }

    #[test]
    fn a_copy_has_every_line_in_its_order() {
        let mut map = some();
        let fields: &mut dyn Fields = &mut map;
        fields.set(HOST, HeaderValue::from_static("i"));
        assert!(fields.remove(&COOKIE) && !fields.remove(&COOKIE));
        assert_eq!(fields.all().count(), 3);
        assert_eq!(fields.to_map(), map);
    }
}
