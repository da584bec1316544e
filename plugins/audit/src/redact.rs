//! What hides secrets before an event is queued.
//!
//! Values in, values out. Whatever comes in, the cost is linear in its length, the recursion bounded, every string that
//! leaves at most [`MOST_STRING_BYTES`] long, and what leaves comes out of a second pass unchanged.

mod cut;
mod fields;
mod fold;
mod json;
mod names;
mod patterns;
mod query;
mod scope;
#[cfg(test)]
mod tests;

pub use cut::cut;

use names::{Name, Names};
use scope::Budget;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use vestibule_plugin::{Fields, media};

/// Most bytes of a JSON body that is read.
pub const MOST_BODY_BYTES: usize = 64 << 10;
/// Most bytes of a string that leaves, its marker included.
pub const MOST_STRING_BYTES: usize = 256;

/// In place of a value hidden by name, of a token, or of a credential.
pub const REDACTED: &str = "[redacted]";
/// In place of an e-mail address.
pub const EMAIL: &str = "[email]";
/// In place of a card number.
pub const CARD: &str = "[card]";
/// In place of a telephone number.
pub const PHONE: &str = "[phone]";
/// In place of what is beyond a bound.
pub const TRUNCATED: &str = "[truncated]";

/// What hides secrets, built from `[audit] redact`.
#[derive(Clone, Debug)]
pub struct Redactor {
    names: Names,
    /// Which of the header fields that are kept have such a name.
    fields: [bool; fields::COUNT],
}

/// Why a request has no body in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// Bodies are not captured here.
    Off,
    /// The request does not say that it is JSON.
    NotJson,
    /// Over [`MOST_BODY_BYTES`].
    TooLarge,
    /// It has a content coding.
    Encoded,
    /// It says that it is JSON, and is not.
    Invalid,
}

impl Redactor {
    /// One that hides names in which an entry occurs, and what looks like a secret.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let names = Names::new(entries);
        let fields = fields::KEPT.each_ref().map(|field| names.hide(&Name::of(field.as_str())));
        Self { names, fields }
    }

    /// Whether the value of this name goes whole: lower-cased and stripped to letters and digits it contains an entry
    /// treated alike.
    pub fn hides_name(&self, name: &str) -> bool {
        self.names.hide(&Name::of(name))
    }

    /// A string with what looks like a secret replaced, and then cut to [`MOST_STRING_BYTES`]. One that is JSON (object,
    /// array, or string in quotes) is redacted inside, and so are such strings in it; what is JSON deeper down goes.
    #[cfg(test)]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Budget::default().scope(self).text(text)
    }

    /// A value under a name: [`REDACTED`] by name, else by pattern.
    pub fn named<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        Budget::default().scope(self).named(name, value)
    }

    /// The JSON of a request, from its `content-type`, its `content-encoding` and all its bytes.
    ///
    /// Containers nest at most 16 deep and have at most 1,000 members together; a string [`TRUNCATED`] (in an object: a
    /// member of that name) stands for what is beyond.
    pub fn body(
        &self,
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
        body: &[u8],
    ) -> Result<Value, Omitted> {
        if !content_type.is_some_and(media::is_json) {
            return Err(Omitted::NotJson);
        }
        if content_encoding.is_some_and(fields::is_coded) {
            return Err(Omitted::Encoded);
        }
        if body.len() > MOST_BODY_BYTES {
            return Err(Omitted::TooLarge);
        }
        let text = str::from_utf8(body).map_err(|_| Omitted::Invalid)?;
        json::redact(Budget::default().scope(self), text).map_err(|_| Omitted::Invalid)
    }

    /// The first 32 pairs of a query, decoded once and then judged like members of an object: names to a string, or to
    /// an array of strings where a name occurs more than once. A member [`TRUNCATED`] stands for further pairs. A
    /// canonical JSON object.
    pub fn query(&self, query: &str) -> Vec<u8> {
        query::redact(Budget::default().scope(self), query)
    }

    /// `content-type`, `accept`, and the origins in `origin` and `referer`, as far as they are there. No other field is
    /// ever kept. A canonical JSON object.
    pub fn headers(&self, headers: &Fields) -> Vec<u8> {
        fields::redact(Budget::default().scope(self), headers)
    }
}

impl Omitted {
    /// As it stands in `body_omitted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
