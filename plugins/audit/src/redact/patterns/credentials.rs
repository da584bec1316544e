//! `Bearer …` and `Basic …`, as in an `authorization` field.

use super::run;
use std::ops::Range;

const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// A scheme in any case, blanks, and all that follows up to a blank or a delimiter: tokens in the field are not all of
/// RFC 6750's alphabet. So `Basic plan` loses its plan, which is the lesser harm.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(skipped) = bytes[at..].iter().position(|byte| matches!(byte, b'b' | b'B')) {
        let start = at + skipped;
        let Some(scheme) = scheme(&bytes[start..]) else {
            at = start + 1;
            continue;
        };
        let secret = start + scheme + blanks(&bytes[start + scheme..]);
        if secret > start + scheme {
            let end = secret + run(&bytes[secret..], is_credential);
            if end > secret {
                return Some(start..end);
            }
        }
        at = secret;
    }
    None
}

fn scheme(bytes: &[u8]) -> Option<usize> {
    let lengths = SCHEMES
        .iter()
        .filter(|scheme| bytes.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme.as_bytes())));
    lengths.map(|scheme| scheme.len()).next()
}

/// Blanks, also as a form or a URL writes them.
fn blanks(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        match bytes[end..] {
            [b' ' | b'\t' | b'\r' | b'\n' | b'+', ..] => end += 1,
            [b'%', b'2', b'0', ..] => end += 3,
            _ => return end,
        }
    }
}

fn is_credential(byte: &u8) -> bool {
    !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !br#""'<>,;(){}[]\"#.contains(byte)
}
