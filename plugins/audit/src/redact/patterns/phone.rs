//! Telephone numbers in international form (ITU-T E.164): `+` and 8 to 15 digits.

use super::{escaped_separator, gap, run};
use std::ops::Range;

const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// `+` or `%2B` with a digit or a bracket right behind, and as many whole groups of digits as fit, up to three blanks,
/// dashes, dots, slashes or brackets between two of them.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(skipped) = bytes[at..].iter().position(|byte| matches!(byte, b'+' | b'%')) {
        let start = at + skipped;
        at = start + 1;
        let plus = match bytes[start..] {
            [b'+', ..] => 1,
            [b'%', b'2', b'B' | b'b', ..] => 3,
            _ => continue,
        };
        if let Some(end) = number(bytes, start + plus) {
            return Some(start..end);
        }
    }
    None
}

/// The end of the longest number of whole groups. Looks at sixteen digits at most.
fn number(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + usize::from(bytes.get(start) == Some(&b'('));
    let (mut digits, mut longest) = (0, None);
    loop {
        let most = (at + DIGITS.end() + 1).min(bytes.len());
        let group = run(&bytes[at..most], u8::is_ascii_digit);
        digits += group;
        if group == 0 || digits > *DIGITS.end() {
            return longest;
        }
        at += group;
        longest = (digits >= *DIGITS.start()).then_some(at);
        at += gap(&bytes[at..], separator);
    }
}

fn separator(bytes: &[u8]) -> usize {
    match bytes {
        [b' ' | b'\t' | b'\r' | b'\n' | b'-' | b'.' | b'(' | b')' | b'/', ..] => 1,
        _ => escaped_separator(bytes),
    }
}
