//! What looks like a secret wherever it stands in a text.
//!
//! Each pattern is a scanner that finds the next span at or after a place and looks at no byte more than a bounded
//! number of times, so a text costs time linear in its length whatever is in it.

mod card;
mod credentials;
mod email;
mod jwt;
mod pem;
mod phone;

use super::fold::fold;
use super::{CARD, EMAIL, PHONE, REDACTED};
use std::borrow::Cow;
use std::ops::Range;

pub(super) use card::holds_card;

/// The next span at or after a place: within the text, at character boundaries, not empty.
type Next = fn(&str, usize) -> Option<Range<usize>>;

/// What reaches furthest comes first. A card comes before a telephone number, whose greedy end could take its beginning
/// and leave the rest.
const PATTERNS: [(Next, &str); 6] = [
    (pem::next, REDACTED),
    (credentials::next, REDACTED),
    (jwt::next, REDACTED),
    (email::next, EMAIL),
    (card::next, CARD),
    (phone::next, PHONE),
];

/// Whether the text can hold no span, nor JSON, nor anything to fold: it has no byte that every `@`, `+`, blank, bracket
/// or escape of them needs, and fewer digits and dashes than the least of them.
pub(super) fn is_plain(text: &str) -> bool {
    let (mut digits, mut dashes) = (0, 0);
    text.bytes().all(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'*' | b':' | b';' | b',' | b'=' | b'_' | b'~' | b'!' => true,
        b'0'..=b'9' => {
            digits += 1;
            digits < card::LEAST_DIGITS
        }
        b'-' => {
            dashes += 1;
            dashes < pem::DASHES
        }
        _ => false,
    })
}

/// The text with every span replaced. A text with none is returned as it is; one that has some is returned folded.
pub(super) fn replace(text: &str) -> Cow<'_, str> {
    let folded = fold(text);
    let mut replaced: Option<String> = None;
    for (next, placeholder) in PATTERNS {
        let before = replaced.as_deref().unwrap_or(&folded);
        replaced = replace_one(before, next, placeholder).or(replaced);
    }
    replaced.map_or(Cow::Borrowed(text), Cow::Owned)
}

fn replace_one(text: &str, next: Next, placeholder: &str) -> Option<String> {
    let mut span = next(text, 0)?;
    let mut replaced = String::with_capacity(text.len());
    let mut kept = 0;
    loop {
        replaced.push_str(&text[kept..span.start]);
        replaced.push_str(placeholder);
        kept = span.end;
        match next(text, kept) {
            Some(further) => span = further,
            None => break,
        }
    }
    replaced.push_str(&text[kept..]);
    Some(replaced)
}

/// How many bytes at the start are of this kind.
fn run(bytes: &[u8], of: fn(&u8) -> bool) -> usize {
    let length = bytes.iter().position(|byte| !of(byte)).unwrap_or(bytes.len());
    #[cfg(test)]
    LOOKED_AHEAD.set(LOOKED_AHEAD.get() + length);
    length
}

#[cfg(test)]
thread_local! {
    /// How many bytes scanners of this thread have looked ahead: what would grow with the square of a text.
    pub(super) static LOOKED_AHEAD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many bytes of separators stand at the start, at most three separators; one is as long as `one` says, 0 for none.
fn gap(bytes: &[u8], one: fn(&[u8]) -> usize) -> usize {
    (0..3).fold(0, |end, _| end + one(&bytes[end..]))
}

/// The length of `%20` or `%2D` at the start: a blank or a dash that was encoded twice. 0 for neither.
fn escaped_separator(bytes: &[u8]) -> usize {
    if matches!(bytes, [b'%', b'2', b'0' | b'd' | b'D', ..]) { 3 } else { 0 }
}
