//! Fields that are lists (RFC 9110 section 5.6.1): one list, over all lines of the field in their order, empty members
//! left out.
//!
//! Two readers, by the grammar of the members: of tokens, where every comma separates, and of members that may hold a
//! quoted string, in which a comma does not. Entity-tags look like quoted strings and are none (section 8.8.3).

use crate::fields::Fields;
use http::header::HeaderName;

/// Members of the list `name`, whose grammar is tokens.
pub fn tokens<'a>(fields: &'a Fields, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    fields.lines(name).flat_map(tokens_of_line)
}

/// Members of the list `name`, which may hold quoted strings (RFC 9110 section 5.6.4).
pub fn members<'a>(fields: &'a Fields, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    fields.lines(name).flat_map(members_of_line)
}

/// Whether the list `name` has the token `wanted`, whatever its case.
pub fn has_token(fields: &Fields, name: &HeaderName, wanted: &str) -> bool {
    tokens(fields, name).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Members of one line, without white space around them.
pub fn tokens_of_line(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// Members of one line, without white space around them. A quoted string that is not closed reaches to the end.
pub fn members_of_line(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    Pieces { rest: Some(line), separator: b',' }.map(trim).filter(|member| !member.is_empty())
}

/// The parts of a member that `;` separates, without white space around them; the first is what the others qualify
/// (RFC 9110 section 5.6.6).
pub fn parameters(member: &[u8]) -> impl Iterator<Item = &[u8]> {
    Pieces { rest: Some(member), separator: b';' }.map(trim)
}

/// Without the optional white space of HTTP (space and tab) on either side.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What a separator outside quoted strings divides.
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte if *byte == self.separator && !quoted => {
                    self.rest = Some(&text[at + 1..]);
                    return Some(&text[..at]);
                }
                _ => {}
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CACHE_CONTROL, CONNECTION, HeaderValue};
    use proptest::prelude::*;

    fn lines(name: &HeaderName, values: &[&str]) -> Fields {
        let mut fields = Fields::new();
        for value in values {
            fields.append(name, HeaderValue::from_str(value).expect("a field value"));
        }
        fields
    }

    fn texts<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        members.map(|member| std::str::from_utf8(member).expect("text")).collect()
    }

    /// DI-18: a list goes on over its lines.
    #[test]
    fn all_lines_are_one_list_without_empty_members() {
        let fields = lines(&CONNECTION, &["keep-alive", "", " , close ,\t,x", ","]);
        assert_eq!(texts(tokens(&fields, &CONNECTION)), ["keep-alive", "close", "x"]);
        assert!(has_token(&fields, &CONNECTION, "Close") && !has_token(&fields, &CONNECTION, "clos"));
    }

    #[test]
    fn a_comma_in_a_quoted_string_separates_members_of_tokens_only() {
        let fields = lines(&CACHE_CONTROL, &["private=\"a, b\\\", c\", no-store", "x"]);
        assert_eq!(texts(members(&fields, &CACHE_CONTROL)), ["private=\"a, b\\\", c\"", "no-store", "x"]);
        assert_eq!(texts(tokens(&fields, &CACHE_CONTROL)).len(), 5);
        assert_eq!(texts(members_of_line(b"a, \"b, c")), ["a", "\"b, c"], "a string that is not closed");
    }

    #[test]
    fn parameters_stand_behind_semicolons_outside_strings() {
        assert_eq!(texts(parameters(b"a ; q=\"x;y\" ;")), ["a", "q=\"x;y\"", ""]);
    }

    proptest! {
        #[test]
        fn without_quotes_both_readers_agree(line in "[a-z ,;\t=]{0,60}") {
            let line = line.as_bytes();
            prop_assert!(tokens_of_line(line).eq(members_of_line(line)));
        }

        #[test]
        fn no_bytes_panic_and_no_member_is_empty(line in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(members_of_line(&line).chain(tokens_of_line(&line)).all(|member| trim(member) == member && !member.is_empty()));
        }
    }
}
