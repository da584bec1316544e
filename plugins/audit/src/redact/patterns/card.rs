//! Card numbers: 13 to 19 digits that pass Luhn's check (ISO/IEC 7812-1), in one group or in several.

use super::{escaped_separator, gap, run};
use std::ops::Range;

const LENGTHS: std::ops::RangeInclusive<usize> = LEAST_DIGITS..=19;
/// A text with fewer holds none.
pub(super) const LEAST_DIGITS: usize = 13;
/// Longest group that a dot may join to another; a longer one has to do with a decimal fraction.
const MOST_DOTTED: usize = 6;

/// Whole groups of digits that together are a card number, up to three blanks, dashes, dots or underscores between two
/// of them. Where several such spans overlap, all of them: which one was meant cannot be known.
pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
        } else if let Some(end) = starts_token(bytes, at).then(|| identifier(&bytes[at..])).flatten() {
            at += end;
        } else if !bytes[at].is_ascii_digit() {
            at += 1;
        } else {
            if let Some(end) = number(bytes, at) {
                return Some(at..widest(bytes, at, end));
            }
            at += run(&bytes[at..], u8::is_ascii_digit);
        }
    }
    None
}

/// Whether there is a card number in the text.
pub(in super::super) fn holds_card(text: &str) -> bool {
    next(text, 0).is_some()
}

/// The end of the longest card number whose first group begins at `start`. Looks at twenty digits at most.
fn number(bytes: &[u8], start: usize) -> Option<usize> {
    if is_fraction(bytes, start) {
        return None;
    }
    let mut luhn = Luhn::default();
    let mut longest = None;
    let mut at = start;
    loop {
        let most = (at + LENGTHS.end() + 1).min(bytes.len());
        let group = &bytes[at..at + run(&bytes[at..most], u8::is_ascii_digit)];
        if group.is_empty() || luhn.digits + group.len() > *LENGTHS.end() {
            return longest;
        }
        group.iter().for_each(|digit| luhn.push(digit - b'0'));
        at += group.len();
        if LENGTHS.contains(&luhn.digits) && luhn.passes() {
            longest = Some(at);
        }
        let gap = gap(&bytes[at..], separator);
        if gap == 0 || bytes[at..at + gap].contains(&b'.') && !may_be_dotted(group.len(), &bytes[at + gap..]) {
            return longest;
        }
        at += gap;
    }
}

/// The end of all card numbers that overlap the one from `start` to `end`, or each other.
fn widest(bytes: &[u8], start: usize, mut end: usize) -> usize {
    let mut at = start;
    while at < end {
        at += run(&bytes[at..], u8::is_ascii_digit);
        at += run(&bytes[at..end.max(at)], |byte| !byte.is_ascii_digit());
        if at < end {
            end = end.max(number(bytes, at).unwrap_or(end));
        }
    }
    end
}

fn separator(bytes: &[u8]) -> usize {
    match bytes {
        [b' ' | b'\t' | b'\r' | b'\n' | b'-' | b'.' | b'_' | b'+', ..] => 1,
        _ => escaped_separator(bytes),
    }
}

fn may_be_dotted(group: usize, next: &[u8]) -> bool {
    group <= MOST_DOTTED && run(&next[..next.len().min(MOST_DOTTED + 1)], u8::is_ascii_digit) <= MOST_DOTTED
}

/// Whether these are the decimals of a number.
fn is_fraction(bytes: &[u8], start: usize) -> bool {
    let [.., whole, b'.'] = &bytes[..start] else { return false };
    whole.is_ascii_digit() && !may_be_dotted(0, &bytes[start..])
}

fn starts_token(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| !bytes[before].is_ascii_alphanumeric())
}

/// The length of a UUID, or of a hash or trace id in hexadecimal, at the start: their digits are no card, and audit
/// records need them whole. One in ten of their longer runs of digits would pass the check.
fn identifier(bytes: &[u8]) -> Option<usize> {
    let ends = |length: usize| bytes.get(length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let is_uuid = |uuid: &[u8]| {
        uuid.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    if bytes.get(..36).is_some_and(is_uuid) && ends(36) {
        return Some(36);
    }
    [32, 40, 64].into_iter().find(|length| {
        ends(*length) && bytes.get(..*length).is_some_and(|token| token.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Luhn's sum over the digits so far, and what it would be with one more behind them.
#[derive(Default)]
struct Luhn {
    digits: usize,
    sum: u32,
    shifted: u32,
}

impl Luhn {
    fn push(&mut self, digit: u8) {
        let digit = u32::from(digit);
        let doubled = digit * 2;
        (self.sum, self.shifted) = (self.shifted + digit, self.sum + doubled / 10 + doubled % 10);
        self.digits += 1;
    }

    fn passes(&self) -> bool {
        self.sum.is_multiple_of(10)
    }
}
