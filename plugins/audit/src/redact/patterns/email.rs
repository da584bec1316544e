//! E-mail addresses (RFC 5321), also international ones (RFC 6531) and those whose `@` is still percent-encoded.

use super::run;
use std::ops::Range;

/// Most bytes of a quoted local part, its quotes included (RFC 5321 section 4.5.3.1.1, and some).
const MOST_QUOTED: usize = 128;

/// A local part, `@` or `%40`, and a domain of at least two labels whose last has a letter: `lodash@4.17.21` is none.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut local = from;
    let mut at = from;
    while at < bytes.len() {
        let sign = match bytes[at..] {
            [b'@', ..] => 1,
            [b'%', b'4', b'0', ..] => 3,
            _ => 0,
        };
        if sign > 0 {
            let start = quoted(&bytes[from..at]).map_or(local, |quote| from + quote);
            if let Some(domain) = (start < at).then(|| domain(&bytes[at + sign..])).flatten() {
                return Some(start..at + sign + domain);
            }
        }
        if !is_local(&bytes[at]) {
            local = at + 1;
        }
        at += 1;
    }
    None
}

/// Where the quoted string begins with which these bytes end.
fn quoted(before: &[u8]) -> Option<usize> {
    let (b'"', before) = before.split_last()? else { return None };
    let earliest = before.len().saturating_sub(MOST_QUOTED);
    before[earliest..].iter().rposition(|byte| *byte == b'"').map(|quote| earliest + quote)
}

/// How long the domain at the start is.
fn domain(bytes: &[u8]) -> Option<usize> {
    let mut end = run(bytes, is_label);
    let mut last = 0..end;
    while last.end > last.start && bytes.get(end) == Some(&b'.') {
        let label = run(&bytes[end + 1..], is_label);
        if label == 0 {
            break;
        }
        last = end + 1..end + 1 + label;
        end = last.end;
    }
    (last.start > 0 && bytes[last].iter().any(|byte| !byte.is_ascii_digit() && !matches!(byte, b'-' | b'_')))
        .then_some(end)
}

fn is_label(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || !byte.is_ascii()
}

/// RFC 5322's atext and the dot, without `/`, `?`, `&`, braces, bar and backquote, which around an address are more
/// often delimiters than part of it.
fn is_local(byte: &u8) -> bool {
    is_label(byte) || b".!#$%'*+=^~".contains(byte)
}
