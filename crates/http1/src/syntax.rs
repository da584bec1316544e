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
    // Nearly every value is clean, and eight bytes at a time tell so; a tab is found out by the closer look.
    may_have_control(bytes) && bytes.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
}

/// Whether any byte is below 0x20 or DEL.
fn may_have_control(bytes: &[u8]) -> bool {
    let (words, _) = bytes.as_chunks::<WORD>();
    let Some(last) = bytes.last_chunk::<WORD>() else {
        return bytes.iter().any(|&byte| byte < 0x20 || byte == 0x7f);
    };
    // The last word overlaps the one before, so that no byte is left over.
    let found = words.iter().chain([last]).fold(0, |found, word| found | controls(u64::from_le_bytes(*word)));
    found != 0
}

/// Bytes of a word.
const WORD: usize = 8;
/// A word with 1 in each byte.
const ONES: u64 = u64::MAX / 0xff;

/// Marks: not 0 if a byte of `word` is below 0x20 or DEL; then the lowest such byte has its highest bit set. Bytes from 0x80 are
/// neither.
fn controls(word: u64) -> u64 {
    let below_space = word.wrapping_sub(ONES * 0x20);
    let is_del = (word ^ (ONES * 0x7f)).wrapping_sub(ONES);
    (below_space | is_del) & !word & (ONES * 0x80)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_byte_is_a_control_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let is_control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
            for length in 1..20 {
                for at in 0..length {
                    for around in [b'a', b'\t', b' ', 0x80, 0xff] {
                        let mut value = vec![around; length];
                        value[at] = byte;
                        assert_eq!(has_control(&value), is_control, "{value:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_value_is_judged_as_byte_by_byte(value in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(b'\t')], 0..70)) {
            let expected = value.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f);
            prop_assert_eq!(has_control(&value), expected);
        }
    }
}
