//! How deep a text of JSON is nested, told without reading it.

/// The most arrays and objects that are open at once. Of what is no JSON it is the depth that a reader could get to.
pub(super) fn depth(text: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn strings_open_nothing() {
        for (text, deep) in [
            ("", 0),
            ("1", 0),
            ("[]", 1),
            ("[[],[[]]]", 3),
            (r#"{"[[[": "\"[["}"#, 1),
            (r#"["\\", [1]]"#, 2),
            ("[[[[[[[[[1]]]]]]]]]", 9),
            ("]]][", 1),
            ("\"[", 0),
        ] {
            assert_eq!(depth(text.as_bytes()), deep, "{text}");
        }
    }
}
