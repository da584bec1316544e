//! Whatever comes in: it ends, what leaves is bounded, and a second pass changes nothing.

use super::*;
use crate::redact::patterns::{LOOKED_AHEAD, is_plain};
use crate::redact::scope::{MOST_DEPTH, MOST_MEMBERS};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of secrets and of what stands around them, so that chance puts them together.
const PIECES: [&str; 44] = [
    "Bearer ",
    "basic",
    "Basic%20",
    " ",
    "  ",
    "+",
    "%2B",
    "eyJhbGciOiJI",
    "ewogIC",
    ".",
    "e30",
    "=",
    "@",
    "%40",
    "a.b",
    "b.co",
    "4111",
    "1111 1111",
    "4111111111111111",
    "4222222222222",
    "7",
    "000000000000000000000000",
    "0192f3a1-7b2c-7def-8abc-0123456789ab",
    "deadbeef",
    "-",
    "-----BEGIN",
    "-----END X-----",
    "\n",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "\\",
    "[card]",
    "[email]",
    "[truncated]",
    "４１１１",
    "\u{200b}",
    "ä",
    "{\"password\":",
    "[1,2.5]",
    "(",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

fn text() -> impl Strategy<Value = String> {
    let pieces = vec(prop::sample::select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat());
    prop_oneof![6 => pieces, 1 => ".{0,300}", 1 => "[ -~]{0,300}"]
}

/// JSON text, with duplicate members, labels, all sorts of numbers, and JSON in strings.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,20})?(e-?[0-9]{1,2})?"
    ];
    let quoted = |text: String| Value::String(text).to_string();
    let leaf = prop_oneof![3 => text().prop_map(quoted), 2 => number, 1 => Just("null".to_owned()), 1 => Just("true".to_owned())];
    let key = prop_oneof![
        prop::sample::select(vec!["a", "b", "name", "Key", "value", "password", "userToken", "[card]"])
            .prop_map(str::to_owned),
        text()
    ];
    leaf.prop_recursive(24, 120, 6, move |inner| prop_oneof![
        2 => vec(inner.clone(), 0..6).prop_map(|all| format!("[{}]", all.join(","))),
        3 => vec((key.clone(), inner.clone()), 0..6).prop_map(move |all| {
            let members: Vec<String> = all.into_iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
            format!("{{{}}}", members.join(" , "))
        }),
        1 => inner.prop_map(quoted),
    ])
}

/// At most 16 containers deep; 1,000 members and one marker for each container that was open; no string over 256 bytes.
fn is_bounded(value: &Value) -> bool {
    fn members(value: &Value, depth: u8) -> Option<usize> {
        let short = |text: &str| text.len() <= MOST_STRING_BYTES;
        match value {
            Value::String(text) => short(text).then_some(0),
            Value::Array(_) | Value::Object(_) if depth == MOST_DEPTH => None,
            Value::Array(all) => all.iter().try_fold(all.len(), |sum, one| Some(sum + members(one, depth + 1)?)),
            Value::Object(all) => {
                all.iter().try_fold(all.len(), |sum, (key, one)| short(key).then_some(sum + members(one, depth + 1)?))
            }
            _ => Some(0),
        }
    }
    members(value, 0).is_some_and(|all| all <= usize::from(MOST_MEMBERS) + usize::from(MOST_DEPTH))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_text_is_bounded_and_a_second_pass_changes_nothing(text in text()) {
        let redactor = redactor();
        let once = redactor.text(&text).into_owned();
        prop_assert!(once.len() <= MOST_STRING_BYTES);
        prop_assert_eq!(redactor.text(&once), once.as_str());
    }

    #[test]
    fn a_body_is_bounded_and_a_second_pass_changes_nothing(text in json_text()) {
        if let Ok(once) = body(&text) {
            prop_assert!(is_bounded(&once));
            prop_assert_eq!(&kept(&once.to_string()), &once);
        }
    }

    #[test]
    fn what_is_no_json_is_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = redactor().body(Some(b"application/json"), None, &bytes);
    }

    /// The short way around all patterns is none around a secret.
    #[test]
    fn what_is_plain_is_changed_by_nothing(text in text(), plain in "[a-zA-Z0-9/*:;,=_~!-]{0,40}") {
        for text in [text, plain] {
            if is_plain(&text) {
                let all = redactor();
                let unchanged = Budget::default().scope(&all).once(&text) == *text;
                prop_assert!(unchanged, "{}", text);
            }
        }
    }

    #[test]
    fn a_query_is_bounded(text in text(), pairs in vec((text(), text()), 0..40)) {
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        prop_assert!(is_bounded(&kept_query(&text)));
        let all = kept_query(&pairs.join("&"));
        prop_assert!(is_bounded(&all));
        prop_assert!(all.as_object().is_some_and(|all| all.len() <= 33));
    }
}

/// Whatever could make a scanner look ahead again and again, counted, all six together. Dearest are digits in
/// groups of one, as the search for cards looks at twenty from each.
#[test]
fn hostile_texts_cost_linear_time() {
    for piece in [
        "@",
        "a@",
        "a@b",
        "a@b.",
        "a%40",
        "a%40b.1",
        "\"@",
        "\"a\"@",
        "%",
        "%2",
        "+",
        "+1",
        "+(",
        "+1 ",
        "%2B",
        "1",
        "1 ",
        "11-",
        "1.",
        "4111 ",
        "4222222222222 ",
        "e",
        "eyJ",
        "eyJhbGciOi",
        "eyJhbGciOi.",
        "a.",
        ".",
        "eyJhbGciOi=",
        "bearer",
        "bearer ",
        "basic+",
        "b",
        "-",
        "-----BEGIN",
        "-----END",
        "-----END ",
        "[",
        "{",
        "[]",
        "[[],",
        "{\"a\":",
        "\"",
        "\\",
        "[email]",
        "4\u{200b}",
        "４",
        "\u{200b}",
        "deadbeef",
        "deadbeef-",
        "ä",
        "a@ä.",
        " ",
    ] {
        for text in [piece.repeat(MOST_BODY_BYTES / piece.len()), format!("[\"{}\"]", piece.repeat(2000))] {
            LOOKED_AHEAD.set(0);
            assert!(redactor().text(&text).len() <= MOST_STRING_BYTES);
            let looked = LOOKED_AHEAD.get();
            assert!(looked <= 24 * text.len(), "{piece}: {looked} for {}", text.len());
            assert!(!redactor().hides_name(&text));
        }
        assert!(is_bounded(&kept_query(&piece.repeat(2000))));
    }
}

/// The largest bodies there are, of whatever is dearest for its length.
#[test]
fn hostile_bodies_are_bounded() {
    let fill = |open: &str, piece: &str, close: &str| {
        let times = (MOST_BODY_BYTES - open.len() - close.len()) / piece.len();
        format!("{open}{}{close}", piece.repeat(times))
    };
    let mut in_strings = json!("password");
    while json!([in_strings.to_string()]).to_string().len() <= MOST_BODY_BYTES {
        in_strings = json!([in_strings.to_string()]);
    }
    for text in [
        fill("[0", ",0", "]"),
        fill("[0", ",[]", "]"),
        fill("[0", ",[[[[0]]]]", "]"),
        fill("[0", ",9e15", "]"),
        fill("{\"a\":0", ",\"a\":0", "}"),
        fill("{\"value\":0", ",\"value\":0,\"key\":\"token\"", "}"),
        fill("{\"name\":0", ",\"name\":{\"name\":[[0]]}", "}"),
        fill("[0", ",\"[1,2,{}]\"", "]"),
        fill("[0", ",\"[\\\"[\\\\\\\"[]\\\\\\\"]\\\"]\"", "]"),
        fill("[\"", "\\u0000", "\"]"),
        fill("[\"[", "[],", "0]\"]"),
        fill("[0", ",\"a@b.c\"", "]"),
        in_strings.to_string(),
    ] {
        let once = kept(&text);
        assert!(is_bounded(&once), "{}", &text[..60]);
        assert_eq!(kept(&once.to_string()), once, "{}", &text[..60]);
    }
}
