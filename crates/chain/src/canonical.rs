//! The one way to write an event: members sorted by code point, no space, shortest escapes, integers only.
//!
//! Two programs that write the same event write the same bytes, so a hash of the bytes is a hash of the event.

use serde_json::Value;

/// Nesting beyond this is not canonical; no event comes near it.
const MAX_DEPTH: usize = 64;
/// The largest integer that every JSON reader keeps exact (RFC 8259 section 6).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Writes a string with its quotes.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = first_to_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        match short_escape(rest[at]) {
            None | Some(b'u') => out.extend_from_slice(format!("\\u{:04x}", rest[at]).as_bytes()),
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte stands that needs an escape. Most texts have none, so whole blocks are looked at without a branch
/// a byte.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 16;
    let clean =
        bytes.chunks_exact(BLOCK).take_while(|block| !block.iter().fold(false, |any, byte| any | needs_escape(*byte)));
    let from = clean.count() * BLOCK;
    bytes[from..].iter().position(|byte| needs_escape(*byte)).map(|at| from + at)
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// What follows the backslash; `u` where only the number will do.
fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        0x08 => Some(b'b'),
        0x0c => Some(b'f'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0..0x20 => Some(b'u'),
        _ => None,
    }
}

/// Writes a value. Numbers that are no integers within ±(2^53−1) are written as strings.
pub fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|number| number.unsigned_abs() <= MAX_INTEGER);
            let text = number.to_string();
            if exact { out.extend_from_slice(text.as_bytes()) } else { string(out, &text) }
        }
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                self::value(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            // The order of UTF-8 is the order of code points.
            members.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(out, name);
                out.push(b':');
                self::value(out, member);
            }
            out.push(b'}');
        }
    }
}

/// Whether these bytes are one object in the canonical form.
pub fn is_object(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    scan.peek() == Some(b'{') && scan.value(0).is_some() && scan.at == bytes.len()
}

/// Walks over canonical JSON; `None` where it is not.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.text().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.integer(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        let mut before: Option<&[u8]> = None;
        loop {
            let name = self.text()?;
            if before.is_some_and(|before| !is_sorted(before, name)) {
                return None;
            }
            before = Some(name);
            self.expect(b':')?;
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            return self.expect(b']');
        }
        loop {
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.expect(b']'),
            }
        }
    }

    /// The bytes between the quotes, escapes as they stand.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.bytes[from..self.at - 1]);
                }
                b'\\' => self.at += shortest_escape(&self.bytes[self.at..])?.1,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn integer(&mut self) -> Option<()> {
        let negative = self.expect(b'-').is_some();
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.bytes[from..self.at]).ok()?;
        let number: u64 = digits.parse().ok()?;
        let plain = digits.len() == 1 || !digits.starts_with('0');
        (plain && number <= MAX_INTEGER && !(negative && number == 0)).then_some(())
    }
}

/// The byte that an escape at the start stands for, and how long it is; `None` when a shorter way exists.
fn shortest_escape(bytes: &[u8]) -> Option<(u8, usize)> {
    let byte = match *bytes.get(1)? {
        byte @ (b'"' | b'\\') => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let digits = std::str::from_utf8(bytes.get(2..6)?).ok()?;
            let lower = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            let byte = u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok()?;
            return (lower && short_escape(byte) == Some(b'u')).then_some((byte, 6));
        }
        _ => return None,
    };
    Some((byte, 2))
}

/// Whether `a` stands strictly before `b`; both as they are written.
fn is_sorted(a: &[u8], b: &[u8]) -> bool {
    if !a.contains(&b'\\') && !b.contains(&b'\\') {
        return a < b;
    }
    unescaped(a) < unescaped(b)
}

fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let Some(first) = text.first() {
        let (byte, length) = if *first == b'\\' { shortest_escape(text).unwrap_or((*first, 1)) } else { (*first, 1) };
        plain.push(byte);
        text = &text[length..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(of: &Value) -> String {
        let mut out = Vec::new();
        value(&mut out, of);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn members_are_sorted_and_numbers_are_whole() {
        let event =
            json!({"b": [1, -2, 1.5, 9_007_199_254_740_992_u64], "a": {"é": null, "z": true, "\n": "\u{1}\"\\/"}});
        let text = r#"{"a":{"\n":"\u0001\"\\/","z":true,"é":null},"b":[1,-2,"1.5","9007199254740992"]}"#;
        assert_eq!(written(&event), text);
        assert!(is_object(text.as_bytes()));
    }

    #[test]
    fn an_escape_is_found_wherever_it_stands() {
        for at in 0..50 {
            let mut text = "x".repeat(50);
            text.replace_range(at..=at, "\"");
            let mut out = Vec::new();
            string(&mut out, &text);
            assert_eq!(out, format!("\"{}\\\"{}\"", "x".repeat(at), "x".repeat(49 - at)).as_bytes());
        }
    }

    #[test]
    fn other_ways_to_write_the_same_are_not_canonical() {
        for other in [
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1} "#,
            r#"{"a":1.0}"#,
            r#"{"a":01}"#,
            r#"{"a":-0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\u000A"}"#,
            r#"{"a":"\u000a"}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u001F"}"#,
            r#"{"\u0001":1,"\b":1,"\u0007":1}"#,
            "{\"a\":\"\t\"}",
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":}"#,
            r#"{"a"}"#,
            r#"{"a":tru}"#,
            "{",
            "",
            "[]",
            "1",
            "{}{}",
        ] {
            assert!(!is_object(other.as_bytes()), "{other}");
        }
        assert!(!is_object(b"{\"a\":\"\xff\"}"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(!is_object(deep.as_bytes()));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever is written is canonical, means the same, and any other bytes of the same meaning are not.
        #[test]
        fn what_is_written_is_canonical(inner in any_value()) {
            let event = json!({ "data": inner });
            let text = written(&event);
            prop_assert!(is_object(text.as_bytes()), "{}", text);
            let read: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(written(&read), text.clone());
            let spaced = text.replacen(':', ": ", 1);
            prop_assert!(!is_object(spaced.as_bytes()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_object(&bytes);
        }
    }
}
