//! JSON (RFC 8259) in a form in which spelling that means nothing makes no difference.
//!
//! Members are sorted, insignificant space is gone, string escapes are resolved. Numbers keep their literal text: who
//! reads `1.0` may not read `1`, and 2^53 + 1 is not 2^53.

use std::ops::Range;

/// Deepest nesting; what is deeper has no canonical form here.
const MAX_DEPTH: usize = 64;

/// The canonical form; `None` for what is not JSON, is nested too deeply, or has two members of one name in an object,
/// as applications differ on which of them counts.
pub(super) fn canonical(text: &[u8]) -> Option<Vec<u8>> {
    // What is no UTF-8 is no JSON, and from here on strings need no check.
    let text = std::str::from_utf8(text).ok()?.as_bytes();
    let mut reader = Reader { text, at: 0, out: Vec::with_capacity(text.len() + 16) };
    reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(reader.out)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Each value begins with a byte that tells its kind, and ends where that kind says.
    out: Vec<u8>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<()> {
        let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| self.text[self.at..].starts_with(word))?;
        self.at += word.len();
        self.out.extend_from_slice(&word[..1]);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.out.push(b'#');
        self.out.extend_from_slice(&self.text[begin..self.at]);
        self.out.push(b';');
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    /// Where in the output the resolved text stands.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        self.out.push(b's');
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 8]);
        let begin = self.out.len();
        loop {
            let plain = self.text[self.at..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            self.out.extend_from_slice(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
        self.at += 1;
        let length = (self.out.len() - begin) as u64;
        self.out[length_at..begin].copy_from_slice(&length.to_be_bytes());
        Some(begin..self.out.len())
    }

    fn escape(&mut self) -> Option<()> {
        let letter = *self.text.get(self.at + 1)?;
        self.at += 2;
        let resolved = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.code_point()?,
            _ => return None,
        };
        self.out.extend_from_slice(resolved.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    /// Behind `\u`. Half of a surrogate pair alone stands for no text.
    fn code_point(&mut self) -> Option<char> {
        let unit = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        if !self.text[self.at..].starts_with(b"\\u") {
            return None;
        }
        self.at += 2;
        let low = self.four_digits()?;
        let low = (0xdc00..0xe000).contains(&low).then(|| low - 0xdc00)?;
        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.out.push(b'[');
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.value(depth)?;
                self.space();
                self.at += 1;
                match self.text[self.at - 1..].first()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.out.push(b'{');
        let begin = self.out.len();
        // Of each member: where its name stands, and where it ends.
        let mut members: Vec<(Range<usize>, usize)> = Vec::new();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.space();
                let name = self.string()?;
                self.expect(b':')?;
                self.value(depth)?;
                members.push((name, self.out.len()));
                self.space();
                self.at += 1;
                match self.text[self.at - 1..].first()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.sort(begin, &members)?;
        self.out.push(b'}');
        Some(())
    }

    /// Brings the members behind `begin` into the order of their names; `None` when two have the same.
    fn sort(&mut self, begin: usize, members: &[(Range<usize>, usize)]) -> Option<()> {
        let begins = std::iter::once(begin).chain(members.iter().map(|(_, end)| *end));
        let mut sorted: Vec<(&Range<usize>, Range<usize>)> =
            begins.zip(members).map(|(begin, (name, end))| (name, begin..*end)).collect();
        sorted.sort_by(|(a, _), (b, _)| self.out[(*a).clone()].cmp(&self.out[(*b).clone()]));
        let twice = |pair: &[(&Range<usize>, Range<usize>)]| self.out[pair[0].0.clone()] == self.out[pair[1].0.clone()];
        if sorted.windows(2).any(twice) {
            return None;
        }
        let mut ordered = Vec::with_capacity(self.out.len() - begin);
        for (_, member) in sorted {
            ordered.extend_from_slice(&self.out[member]);
        }
        self.out[begin..].copy_from_slice(&ordered);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn same(a: &str, b: &str) -> bool {
        let canonical = |text: &str| canonical(text.as_bytes()).unwrap_or_else(|| panic!("{text} is JSON"));
        canonical(a) == canonical(b)
    }

    #[test]
    fn order_space_and_escapes_mean_nothing() {
        assert!(same(r#"{"a":1,"b":[true,null]}"#, " {\n\"b\" :\t[ true , null ] , \"a\" : 1 }\r\n"));
        assert!(same(r#"{"a":{"y":1,"x":2},"":3}"#, r#"{"":3,"a":{"x":2,"y":1}}"#));
        assert!(same(r#""\u0041\/\n\ud83d\ude00é""#, "\"A/\\u000a\u{1f600}\\u00e9\""));
        assert!(same(r#"{"\u0061":1,"b":2}"#, r#"{"b":2,"a":1}"#));
        assert!(same("[]", " [ ] ") && same("{}", "{ }") && same("-0.5e+10", " -0.5e+10 "));
    }

    #[test]
    fn everything_else_does() {
        for (a, b) in [
            ("1", "1.0"),
            ("1e2", "100"),
            ("9007199254740992", "9007199254740993"),
            ("0", "-0"),
            ("[1,2]", "[2,1]"),
            ("[1,2]", "[12]"),
            ("[[1],2]", "[[1,2]]"),
            ("\"1\"", "1"),
            ("null", "\"null\""),
            ("[]", "{}"),
            (r#"{"a":"b"}"#, r#"{"b":"a"}"#),
            (r#"["a","b"]"#, r#"["a\",\"b"]"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_not_json_has_no_canonical_form() {
        let bad = [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{'a':1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "NaN",
            "tru",
            "truely",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "1 2",
            "[1 2]",
            "{\"a\" 1}",
            "\u{feff}1",
            "// c\n1",
            "[1",
        ];
        for text in bad {
            assert_eq!(canonical(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(canonical(b"\"\xff\""), None);
        assert_eq!(canonical(br#"{"a":1,"a":1}"#), None, "two members of one name");
        assert_eq!(canonical(br#"[{"a":1,"\u0061":2}]"#), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(canonical(nested(MAX_DEPTH).as_bytes()).is_some());
        assert_eq!(canonical(nested(MAX_DEPTH + 1).as_bytes()), None);
        assert_eq!(canonical("[".repeat(1_000_000).as_bytes()), None);
        let objects = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
        assert_eq!(canonical(objects.as_bytes()), None);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The library reads what this reads, and the same value has one form however it is written.
        #[test]
        fn a_value_has_one_form(value in values()) {
            let (plain, pretty) = (value.to_string(), serde_json::to_string_pretty(&value).expect("JSON"));
            let form = canonical(plain.as_bytes());
            prop_assert!(form.is_some());
            prop_assert_eq!(form, canonical(pretty.as_bytes()));
        }

        #[test]
        fn two_values_have_two_forms(a in values(), b in values()) {
            let equal = canonical(a.to_string().as_bytes()) == canonical(b.to_string().as_bytes());
            prop_assert_eq!(a == b, equal);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,\"0-9a-z\\\\ue.+-]{0,60}") {
            let ours = canonical(text.as_bytes()).is_some();
            // The library is as strict but for what is documented: duplicates, and numbers beyond a float.
            if ours {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
        }
    }
}
