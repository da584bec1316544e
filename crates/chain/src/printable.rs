//! Text that somebody else chose, on the terminal of an operator.

use std::fmt::{self, Write as _};

/// Shows text so that nothing in it moves a cursor, changes a colour, or turns the direction of reading: what is neither
/// printable nor a plain space is shown by its number.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                // `escape_debug` would quote these, which do no harm.
                '"' | '\'' => f.write_char(letter)?,
                // Marks that join the letter before are part of it, but for those that only change how others show.
                letter if is_shown(letter) => f.write_char(letter)?,
                letter => write!(f, "{}", letter.escape_default())?,
            }
        }
        Ok(())
    }
}

/// Whether it shows and does nothing else. A backslash counts as hidden: it would look like one of ours.
fn is_shown(letter: char) -> bool {
    letter != '\\' && letter.escape_debug().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        for (text, shown) in [
            ("plain \"text\" with 'quotes', naïve 日本", "plain \"text\" with 'quotes', naïve 日本"),
            ("a\x1b[31mb\x07\r\n\t", "a\\u{1b}[31mb\\u{7}\\r\\n\\t"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("\u{202e}txt.exe\u{2066}\u{200b}\u{feff}", "\\u{202e}txt.exe\\u{2066}\\u{200b}\\u{feff}"),
            ("a\u{2028}b\u{a0}c", "a\\u{2028}b\\u{a0}c"),
            ("\\u{1b}", "\\\\u{1b}"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }
}
