//! The key a client chose: one RFC 8941 String, or in lenient syntax a bare value (draft-ietf-httpapi-idempotency-key-header).

use crate::config::Syntax;
use sfv::{BareItem, Item, Parser};
use vestibule_plugin::Repeated;

/// Most characters of a key.
const MAX_LENGTH: usize = 255;

/// A key, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// 1 to 255 characters of %x20-7E.
    pub(crate) text: String,
    /// How it was written.
    pub(crate) form: Form,
}

/// How a key was written. Both forms of a value are the same key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `"k1"`
    Quoted,
    /// `k1`
    Bare,
}

/// There is a key, and it cannot be read; says what it had to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Invalid(pub(crate) &'static str);

impl Key {
    /// Reads the line of the field; `None` when there is none.
    pub(crate) fn read(line: Result<Option<&[u8]>, Repeated>, syntax: Syntax) -> Result<Option<Self>, Invalid> {
        let Some(line) = line.map_err(|Repeated| Invalid("send it once"))? else { return Ok(None) };
        let bytes = line.trim_ascii();
        if syntax == Syntax::Lenient && is_bare(bytes) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            return Ok(Some(Self { text, form: Form::Bare }));
        }
        match Parser::new(bytes).parse::<Item>().map(|item| item.bare_item) {
            Ok(BareItem::String(text)) => match text.as_str().len() {
                1..=MAX_LENGTH => Ok(Some(Self { text: text.as_str().to_owned(), form: Form::Quoted })),
                0 => Err(Invalid("it is empty")),
                _ => Err(Invalid("it is longer than 255 characters")),
            },
            _ => Err(Invalid(match syntax {
                Syntax::Strict => "expected one string in double quotes, such as \"8e03978e-40d5\"",
                Syntax::Lenient => {
                    "expected one string in double quotes, such as \"8e03978e-40d5\", or up to 255 of A-Z a-z 0-9 . _ ~ : / + = -"
                }
            })),
        }
    }

    /// Whether a decoded text could be a key.
    pub(crate) fn fits(text: &str) -> bool {
        (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    }
}

fn is_bare(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~:/+=-".contains(byte);
    (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(lines: &[&[u8]], syntax: Syntax) -> Result<Option<Key>, Invalid> {
        let line = if lines.len() > 1 { Err(Repeated) } else { Ok(lines.first().copied()) };
        Key::read(line, syntax)
    }

    fn text(line: &str, syntax: Syntax) -> Option<String> {
        read(&[line.as_bytes()], syntax).ok().flatten().map(|key| key.text)
    }

    /// ID-05: both forms of a value are the same key.
    #[test]
    fn a_bare_value_is_a_key_where_the_syntax_is_lenient() {
        for value in ["k1", "8e03978e-40d5-43e8", "a.b_c~d:e/f+g=h-i", "1", &"x".repeat(255)] {
            assert_eq!(text(value, Syntax::Lenient).as_deref(), Some(value));
            assert_eq!(text(&format!("\"{value}\""), Syntax::Lenient).as_deref(), Some(value));
            assert_eq!(text(&format!("\"{value}\""), Syntax::Strict).as_deref(), Some(value));
            assert_eq!(text(value, Syntax::Strict), None);
        }
        let form = |line: &str| read(&[line.as_bytes()], Syntax::Lenient).ok().flatten().map(|key| key.form);
        assert_eq!((form("k"), form("\"k\"")), (Some(Form::Bare), Some(Form::Quoted)));
    }

    #[test]
    fn escapes_are_resolved_and_parameters_ignored() {
        for syntax in [Syntax::Strict, Syntax::Lenient] {
            assert_eq!(text(r#""a\"b\\c""#, syntax).as_deref(), Some(r#"a"b\c"#));
            assert_eq!(text(r#"  "k1";a=1;b "#, syntax).as_deref(), Some("k1"));
            assert_eq!(text(r#"" ""#, syntax).as_deref(), Some(" "));
        }
    }

    /// ID-06.
    #[test]
    fn everything_else_is_refused() {
        let long = format!("\"{}\"", "x".repeat(256));
        let bare = "x".repeat(256);
        let all: [&[u8]; 16] = [
            b"\"\"",
            b"",
            b"\"a\", \"b\"",
            b"\"unterminated",
            b"?1",
            b"\"a\"b",
            b"'a'",
            b":YQ==: x",
            b"(\"a\")",
            b"\"a\\q\"",
            b"\"\xc3\xa4\"",
            b"\xff",
            b"a b",
            b"a;p=1",
            long.as_bytes(),
            bare.as_bytes(),
        ];
        for line in all {
            for syntax in [Syntax::Strict, Syntax::Lenient] {
                assert!(read(&[line], syntax).is_err(), "{:?}", String::from_utf8_lossy(line));
            }
        }
        for other in ["1", "1.5", "token", ":YQ==:", "@1659578233"] {
            assert!(read(&[other.as_bytes()], Syntax::Strict).is_err(), "{other}");
        }
        assert!(read(&[b"\"a\"", b"\"a\""], Syntax::Lenient).is_err(), "two lines");
        assert_eq!(read(&[], Syntax::Strict), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_read_fits(line in prop::collection::vec(0x20_u8..=0xff, 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&line)
                && let Ok(Some(key)) = Key::read(Ok(Some(value.as_bytes())), Syntax::Lenient)
            {
                prop_assert!(Key::fits(&key.text));
            }
        }
    }
}
