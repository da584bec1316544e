//! PEM blocks (RFC 7468), whole or cut at either end.

use super::run;
use std::ops::Range;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";
/// With which both begin.
pub(super) const DASHES: usize = 5;

/// From a BEGIN to its END or, without one, to the end of the text; from the last place known to an END without BEGIN.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut begun = None;
    let mut at = from;
    while let Some(dash) = bytes[at..].iter().position(|byte| *byte == b'-') {
        at += dash;
        if begun.is_none() && bytes[at..].starts_with(BEGIN) {
            begun = Some(at);
        } else if bytes[at..].starts_with(END) {
            let label = at + END.len();
            let dashes = label + run(&bytes[label..], is_label);
            return Some(begun.unwrap_or(from)..dashes + run(&bytes[dashes..], |byte| *byte == b'-'));
        }
        at += 1;
    }
    begun.map(|start| start..bytes.len())
}

fn is_label(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' '
}
