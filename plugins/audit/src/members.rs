//! A JSON object, written member after member. Who writes it keeps the members in the order of their names.

use vestibule_chain::canonical;

/// An object that is being written.
pub(crate) struct Members<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Members<'a> {
    /// With no member yet.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// A member whose name holds nothing to escape.
    pub(crate) fn with(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        self.out.extend_from_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value(self.out);
    }

    /// Any text, under any name.
    pub(crate) fn under(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        canonical::string(self.out, name);
        self.out.push(b':');
        value(self.out);
    }

    /// Any text.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.with(name, |out| canonical::string(out, value));
    }

    /// Digits, hyphens and the like: nothing to escape, so nobody looks.
    pub(crate) fn plain(&mut self, name: &'static str, value: &str) {
        self.with(name, |out| {
            out.push(b'"');
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
        });
    }

    /// JSON as it stands, canonical.
    pub(crate) fn json(&mut self, name: &'static str, value: &[u8]) {
        self.with(name, |out| out.extend_from_slice(value));
    }

    /// Larger than every reader keeps exact: a string.
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.with(name, |out| {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(value);
            match value {
                ..=canonical::MAX_INTEGER => out.extend_from_slice(digits.as_bytes()),
                _ => canonical::string(out, digits),
            }
        });
    }

    /// There are no more.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}
