//! Names of fields: what two of them rarely have in common, and whether two are one. Pure.

/// Length, first and last letter of a name, in one word: what two names rarely have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(u32);

impl Shape {
    pub(super) const fn of(name: &[u8]) -> Self {
        let [first, .., last] = name else { return Self(if let [only] = name { fold(*only) } else { 0 }) };
        Self((name.len() as u32) << 16 | fold(*first) << 8 | fold(*last))
    }

    /// One of 64 bits, by all three.
    pub(super) const fn bit(self) -> u64 {
        let Self(shape) = self;
        1 << ((shape >> 16 ^ shape >> 7 ^ shape) % 64)
    }
}

const fn fold(byte: u8) -> u32 {
    byte.to_ascii_lowercase() as u32
}

/// Names that are looked for together.
#[derive(Debug)]
pub struct Names<const N: usize> {
    names: [&'static str; N],
    /// The bits of their [`Shape`]s.
    shapes: u64,
}

impl<const N: usize> Names<N> {
    /// These.
    pub const fn new(names: [&'static str; N]) -> Self {
        let (mut shapes, mut at) = (0, 0);
        while at < N {
            shapes |= Shape::of(names[at].as_bytes()).bit();
            at += 1;
        }
        Self { names, shapes }
    }

    /// All of them.
    pub const fn all(&self) -> &[&'static str; N] {
        &self.names
    }

    /// `false` when none of them has one of the bits `shapes`.
    pub(super) const fn may_be_among(&self, shapes: u64) -> bool {
        self.shapes & shapes != 0
    }
}

/// Compares two names, letters folded: eight bytes at a time.
pub(super) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(last), Some(its)) = (one.last_chunk(), other.last_chunk()) else {
        return one.eq_ignore_ascii_case(other);
    };
    // The last word overlaps the one before, so that no byte is left over.
    let mut words = one.as_chunks().0.iter().zip(other.as_chunks().0);
    words.all(|(one, other)| is_same_word(*one, *other)) && is_same_word(*last, *its)
}

fn is_same_word(one: [u8; 8], other: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let (one, other) = (u64::from_le_bytes(one), u64::from_le_bytes(other));
    let differs = one ^ other;
    if differs == 0 {
        return true;
    }
    // A letter and its capital differ by 0x20. Of a byte of seven bits, each sum below sets the eighth where the byte is not below
    // the bound, and carries into no other.
    let lower = (one | (ONES * 0x20)) & (ONES * 0x7f);
    let at_least = |bound: u8| lower + ONES * (0x80 - u64::from(bound));
    let is_letter = (at_least(b'a') ^ at_least(b'z' + 1)) & !one;
    differs & !(ONES * 0x20) == 0 && (differs << 2) & !is_letter & (ONES * 0x80) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_the_same_where_letters_are_folded(one in "[ -~]{0,20}", other in "[ -~]{0,20}", upper in any::<u32>(), swap in 0u8..=255) {
            prop_assert_eq!(is_same_name(one.as_bytes(), other.as_bytes()), one.eq_ignore_ascii_case(&other));

            let flips = |at: usize| upper >> (at % 32) & 1 == 1;
            let flip = |(at, byte): (usize, &u8)| if flips(at) { byte ^ 0x20 } else { *byte };
            let mut flipped: Vec<u8> = one.as_bytes().iter().enumerate().map(flip).collect();
            prop_assert_eq!(is_same_name(one.as_bytes(), &flipped), one.as_bytes().eq_ignore_ascii_case(&flipped));
            if let Some(last) = flipped.last_mut() {
                *last = swap;
            }
            prop_assert_eq!(is_same_name(&flipped, one.as_bytes()), flipped.eq_ignore_ascii_case(one.as_bytes()));
        }
    }
}
