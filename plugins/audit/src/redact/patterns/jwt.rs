//! JSON Web Tokens (RFC 7519), signed, encrypted or neither, whole or cut after their first dot.

use super::run;
use std::ops::Range;

/// How base64url writes `{"`, `{ `, `{` and a line end, `{` and a tab: the beginning of a header.
const HEADS: [&[u8]; 5] = [b"eyJ", b"eyA", b"ewo", b"ew0", b"ewk"];
/// Least length of a header: `{"a":1}` has ten.
const LEAST_HEADER: usize = 10;

/// A header, and all that hangs on it by dots. What stands before the header does not matter: a token may be glued to
/// anything.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let end = at + run(&bytes[at..], is_base64url);
        if bytes.get(end) == Some(&b'.')
            && let Some(skipped) = header(&bytes[at..end])
        {
            let rest = end + run(&bytes[end..], |byte| is_base64url(byte) || matches!(byte, b'.' | b'='));
            if bytes[end..rest].iter().any(is_base64url) {
                return Some(at + skipped..rest);
            }
        }
        at = end + 1;
    }
    None
}

/// Where the first header begins that reaches to the end of this segment.
fn header(segment: &[u8]) -> Option<usize> {
    let last = segment.len().checked_sub(LEAST_HEADER)?;
    segment[..last + HEADS[0].len()].windows(HEADS[0].len()).position(|three| HEADS.contains(&three))
}

fn is_base64url(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
