//! Options of the Connection field (RFC 9110 section 7.6.1).

use crate::known::Known;
use crate::table::FieldTable;

/// The options of all Connection lines together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Any but these, `te` and `http2-settings`: fields that go no further than here.
    pub names_others: bool,
}

impl ConnectionOptions {
    pub(crate) fn of(fields: &FieldTable, bytes: &[u8]) -> Self {
        let mut options = Self::default();
        for option in fields.members(bytes, Known::Connection) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("close") {
                options.close = true;
            } else if is("keep-alive") {
                options.keep_alive = true;
            } else if is("upgrade") {
                options.upgrade = true;
            } else if !is("te") && !is("http2-settings") {
                options.names_others = true;
            }
        }
        options
    }

    /// Whether the connection stays open behind a message of this version (RFC 9112 section 9.3).
    pub fn persists(self, version: http::Version) -> bool {
        !self.close && (self.keep_alive || version != http::Version::HTTP_10)
    }
}
