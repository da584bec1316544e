//! Byte classes of HTTP/1 (RFC 9110 section 5.6, RFC 9112 section 3).

/// `tchar` (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether `byte` may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Length of the token at the start of `bytes`.
pub(crate) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(bytes.len())
}

/// Whether all of `bytes` is one token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// Whether a field value or a reason phrase holds a control other than tab.
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    // No early exit, so that it runs sixteen bytes at a time: nearly every value is clean.
    bytes.iter().fold(false, |found, &byte| found | ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f))
}

/// Whether a request target holds what none may: a space, a control, DEL or `#`.
pub(crate) fn has_bad_target_byte(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | (byte <= 0x20) | (byte == 0x7f) | (byte == b'#'))
}

/// Optional white space (RFC 9110 section 5.6.3).
pub(crate) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without the white space around it.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_white(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_white(*last)
    {
        bytes = rest;
    }
    bytes
}
