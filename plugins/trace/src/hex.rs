//! Lower-case hexadecimal numbers of fixed width.

/// The number these digits spell; `None` when one of them is not `0`–`9` or `a`–`f`, or there are more than 32.
pub(crate) fn parse(digits: &[u8]) -> Option<u128> {
    if digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// A number of exactly `WIDTH` digits that is not 0.
pub(crate) fn id<const WIDTH: usize>(digits: &[u8]) -> Option<u128> {
    if digits.len() == WIDTH { parse(digits).filter(|id| *id != 0) } else { None }
}

/// An id of 16 digits that is not 0.
pub(crate) fn span_id(digits: &[u8]) -> Option<u64> {
    id::<16>(digits).and_then(|id| u64::try_from(id).ok())
}

/// Fills `digits` with the low end of `number`, most significant digit first.
pub(crate) fn write(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}
