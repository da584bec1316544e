//! Spellings of a character that a reader takes for the ASCII one, and characters nobody sees.
//!
//! What could delimit JSON is left as it is: the fold of valid JSON is valid JSON.

use std::borrow::Cow;

/// Where the decimal digits of other scripts begin, each ten in a row.
const ZEROS: [u32; 19] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0e50, 0x0ed0,
    0x0f20, 0x1040, 0x17e0, 0x1810, 0xff10,
];
/// Mathematical digits, five alphabets of ten.
const MATHEMATICAL: std::ops::RangeInclusive<u32> = 0x1d7ce..=0x1d7ff;
/// From a full-width form to its ASCII one.
const FULL_WIDTH: u32 = 0xff01 - 0x21;

/// The text with such characters replaced or dropped; borrowed when there are none.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| folded(c) == Some(c)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter_map(folded).collect())
    }
}

/// `None` for what is not seen.
fn folded(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' | ' '..='~' => Some(c),
        '\0'..='\u{9f}' if c.is_control() => None,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => None,
        '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fffd}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Some('-'),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' | '＠' | '＋' | '－' | '．' | '＿' | '／' | '％' | '＝' | '（' | '）' => {
            char::from_u32(u32::from(c) - FULL_WIDTH)
        }
        _ if c.is_whitespace() => Some(' '),
        _ => Some(digit(u32::from(c)).unwrap_or(c)),
    }
}

fn digit(code: u32) -> Option<char> {
    let value = if MATHEMATICAL.contains(&code) {
        (code - MATHEMATICAL.start()) % 10
    } else {
        ZEROS.iter().find_map(|zero| code.checked_sub(*zero).filter(|value| *value < 10))?
    };
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one() {
        for (text, expected) in [
            ("４１１１", "4111"),
            ("٤١١١", "4111"),
            ("४१११", "4111"),
            ("𝟒𝟙𝟣𝟏", "4111"),
            ("4\u{200b}1\u{feff}1\u{0}1", "4111"),
            ("4111\u{2011}1111\u{a0}1111\u{3000}1111", "4111-1111 1111 1111"),
            ("ａ＠ｂ．ｃｏ", "a@b.co"),
            ("＋１ （５）", "+1 (5)"),
            ("a\tb\r\nc", "a\tb\r\nc"),
        ] {
            assert_eq!(fold(text), expected);
        }
    }

    #[test]
    fn what_delimits_json_and_other_letters_stay() {
        for text in ["", "plain", "é ß 漢字 пароль", "｛＂ａ＂：１｝".replace('ａ', "a").replace('１', "1").as_str()]
        {
            assert!(matches!(fold(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
