//! Numbers as text, without the machinery of formatting: an access line holds a dozen of them.

/// Appends `number` in decimal.
pub fn push(out: &mut String, number: u64) {
    push_padded(out, number, 1);
}

/// Appends `number` in decimal with at least `width` digits.
pub fn push_padded(out: &mut String, mut number: u64, width: usize) {
    // 20 digits hold every u64.
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    at = at.min(digits.len() - width.min(digits.len()));
    push_ascii(out, &digits[at..]);
}

/// Appends the lowest `width` hexadecimal digits of `number`, at most 32.
pub fn push_hex(out: &mut String, number: u128, width: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    let (bytes, width) = (number.to_be_bytes(), width.min(digits.len()));
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
    push_ascii(out, &digits[digits.len() - width..]);
}

fn push_ascii(out: &mut String, digits: &[u8]) {
    // Digits are text.
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_look_as_the_standard_library_prints_them(number: u64, wide: u128, width in 1_usize..12) {
            let mut text = String::new();
            push(&mut text, number);
            push_padded(&mut text, number, width);
            push_padded(&mut text, number % 1000, width);
            push_hex(&mut text, wide, 32);
            push_hex(&mut text, wide & 0xff, 2);
            let expected = format!("{number}{number:0width$}{:0width$}{wide:032x}{:02x}", number % 1000, wide & 0xff);
            prop_assert_eq!(text, expected);
        }
    }

    #[test]
    fn zero_is_a_digit() {
        let mut text = String::new();
        push(&mut text, 0);
        assert_eq!(text, "0");
    }
}
