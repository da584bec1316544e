//! Strings cut to a bound, after redaction and never before it.

use super::{CARD, EMAIL, PHONE, REDACTED, TRUNCATED};
use std::borrow::Cow;

/// The text if it has at most `most` bytes; else its beginning and [`TRUNCATED`], together at most `most` bytes (or the
/// marker alone). No character and no placeholder is cut in two.
pub fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most.saturating_sub(TRUNCATED.len()));
    let end = placeholder_over(&text, end).unwrap_or(end);
    Cow::Owned([&text[..end], TRUNCATED].concat())
}

/// Where the placeholder begins that reaches over `end`.
fn placeholder_over(text: &str, end: usize) -> Option<usize> {
    let start = text[..end].rfind('[')?;
    let over = [REDACTED, EMAIL, CARD, PHONE, TRUNCATED]
        .iter()
        .any(|placeholder| text[start..].starts_with(placeholder) && start + placeholder.len() > end);
    over.then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_left() {
        assert!(matches!(cut(Cow::Borrowed("four"), 4), Cow::Borrowed("four")));
    }

    #[test]
    fn the_marker_is_within_the_bound() {
        for (text, most, expected) in [
            ("abcdefghijklmnop", 15, "abcd[truncated]"),
            ("abcdefghijklmnop", 3, "[truncated]"),
            ("äöüäöüäöüä", 16, "äö[truncated]"),
            ("ab[email]cdefghij", 16, "ab[truncated]"),
            ("[email]cdefghijkl", 18, "[email]cdefghijkl"),
            ("[email]cdefghijklm", 18, "[email]cdefghijklm"),
            ("[email]cdefghijklmn", 18, "[email][truncated]"),
            ("a[b]cdefghijklmn", 14, "a[b[truncated]"),
        ] {
            assert_eq!(cut(Cow::Borrowed(text), most), expected);
            assert!(expected.len() <= most.max(TRUNCATED.len()));
        }
    }
}
