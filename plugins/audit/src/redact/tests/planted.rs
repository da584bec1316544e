//! AUD-08: secrets of each kind at random places, none of which may come out.

use super::*;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;

/// A secret as JSON, and what of it must not be seen.
#[derive(Clone, Debug)]
struct Planted {
    json: String,
    unseen: String,
}

/// A secret that is recognised wherever it stands in a text, and the beginning of what must not be seen.
fn recognised() -> impl Strategy<Value = (String, String)> {
    let seen = |whole: String| (whole.clone(), whole[..8].to_owned());
    prop_oneof![
        "eyJhbGciOiJIUzI1NiJ9\\.[A-Za-z0-9_-]{20,80}\\.[A-Za-z0-9_-]{43}".prop_map(seen),
        ("(Bearer|bearer|BASIC|Basic) {1,2}", "[A-Za-z0-9._~+/-]{8,60}={0,2}")
            .prop_map(|(scheme, secret)| (format!("{scheme}{secret}"), secret[..8].to_owned())),
        ("[A-Za-z0-9+/]{16,64}", "[A-Z ]{0,10}").prop_map(|(key, kind)| (
            format!("-----BEGIN {kind}KEY-----\n{key}\n-----END {kind}KEY-----"),
            key[..8].to_owned()
        )),
        ("[a-z][a-z0-9.+_-]{8,20}[a-z]", "[a-z]{1,9}(\\.[a-z0-9-]{1,9}){0,2}\\.[a-z]{2,6}")
            .prop_map(|(local, domain)| (format!("{local}@{domain}"), local[..8].to_owned())),
        ("[1-9][0-9]{11,17}", "[ -]?").prop_map(|(digits, between)| card(&digits, &between)),
        "\\+[1-9][0-9]{7,14}".prop_map(seen),
    ]
}

/// The digits with their check digit, in groups of four.
fn card(digits: &str, between: &str) -> (String, String) {
    let digit = |c: char| c.to_digit(10).expect("a digit");
    let sum: u32 = digits
        .chars()
        .rev()
        .map(digit)
        .enumerate()
        .map(|(at, n)| if at % 2 == 0 { n * 2 / 10 + n * 2 % 10 } else { n })
        .sum();
    let digits = format!("{digits}{}", (10 - sum % 10) % 10);
    let groups: Vec<&str> = (0..digits.len()).step_by(4).map(|at| &digits[at..digits.len().min(at + 4)]).collect();
    let whole = groups.join(between);
    (whole.clone(), whole[..8].to_owned())
}

/// No digits, which next to a card or a telephone number would be part of it.
fn around() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[g-zG-Z ,:;!?&#äß漢\"{}()\\[\\]\n]{0,20}", 1 => "[k-z]{200,260}"]
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Hidden by its name, or by what its sibling says, or recognised: as a value, a key, or a number.
fn planted() -> impl Strategy<Value = Planted> {
    let name = prop::sample::select(vec![
        "password",
        "userPassword",
        "X-CSRF-Token",
        "card_no",
        "Set-Cookie",
        "pass\u{200b}word",
    ]);
    let label = prop::sample::select(vec!["name", "key", "field", "Name"]);
    let value = prop::sample::select(vec!["M", "[\"M\"]", "{\"a\":{\"b\":[0,\"M\"]}}"]);
    let marker = "q[0-9]{12}q";
    prop_oneof![
        4 => (around(), recognised(), around(), 0..4).prop_map(|(before, (secret, unseen), after, place)| {
            let text = quoted(&format!("{before}{secret}{after}"));
            let json = if place == 0 { format!("{{{text}:1}}") } else { text };
            Planted { json, unseen }
        }),
        1 => "[1-9][0-9]{11,17}".prop_map(|digits| {
            let (json, unseen) = card(&digits, "");
            Planted { json, unseen }
        }),
        2 => (name.clone(), value.clone(), marker, any::<bool>()).prop_map(|(name, value, marker, twice)| {
            let value = if value == "M" { quoted(&marker) } else { value.replace('M', &marker) };
            let twice = if twice { format!(",{}:0", quoted(name)) } else { String::new() };
            Planted { json: format!("{{{}:{value}{twice}}}", quoted(name)), unseen: marker }
        }),
        2 => (name, label, marker, 0..3).prop_map(|(name, label, marker, order)| {
            let (label, value) = (format!("{}:{}", quoted(label), quoted(name)), format!("\"value\":{}", quoted(&marker)));
            let json = match order {
                0 => format!("{{{label},{value}}}"),
                1 => format!("{{{value},\"n\":1,{label}}}"),
                _ => format!("{{{value},{label},\"name\":\"n\",\"key\":1,\"field\":null}}"),
            };
            Planted { json, unseen: marker }
        }),
    ]
}

/// One container or string around a JSON text.
fn wrap(json: &str, kind: u8) -> String {
    match kind {
        0 => format!("[{json}]"),
        1 => format!("[1,\"x\",{json},{{}}]"),
        2 => format!("{{\"a\":{json}}}"),
        3 => format!("{{\"a\":{json},\"b\":[true]}}"),
        4 => format!("{{\"a\":0,\"name\":{json},\"a\":{json}}}"),
        _ => quoted(json),
    }
}

fn shows(kept: &Value, unseen: &str) -> bool {
    let text = kept.to_string();
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let is_number = unseen.chars().all(|c| c.is_ascii_digit() || " -+".contains(c));
    text.contains(unseen) || is_number && digits(&text).contains(&digits(unseen))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// In objects, arrays and strings around each other, up to five and more deep.
    #[test]
    fn none_comes_out_of_a_body(planted in planted(), kinds in vec(0u8..6, 0..8)) {
        let json = kinds.iter().fold(planted.json, |json, kind| wrap(&json, *kind));
        if json.len() <= MOST_BODY_BYTES {
            let kept = kept(&json);
            prop_assert!(!shows(&kept, &planted.unseen), "{} gives {}", json, kept);
        }
    }

    #[test]
    fn none_comes_out_of_a_query(planted in planted(), kinds in vec(0u8..6, 0..4), at in 0usize..3) {
        let json = kinds.iter().fold(planted.json, |json, kind| wrap(&json, *kind));
        let value = utf8_percent_encode(&json, NON_ALPHANUMERIC);
        let query = ["a=1&", "b=two+words&", ""][at..].concat() + &format!("filter={value}&{value}&c={value}");
        let kept = kept_query(&query);
        prop_assert!(!shows(&kept, &planted.unseen), "{} gives {}", query, kept);
    }

    #[test]
    fn none_comes_out_of_form_pairs(name in "(password|userPassword|x-[tT]oken)", marker in "q[0-9]{12}q", (secret, unseen) in recognised(), before in around()) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let spaced = |text: &str| encode(text).replace("%20", "+");
        let text = format!("{before}{secret}");
        let query = format!("{}={marker}&v={}&w={}", encode(&name), encode(&text), spaced(&text));
        let kept = kept_query(&query);
        prop_assert!(!shows(&kept, &marker) && !shows(&kept, &unseen), "{} gives {}", query, kept);
    }

    #[test]
    fn none_comes_out_of_a_text(before in around(), (secret, unseen) in recognised(), after in around()) {
        let text = format!("{before}{secret}{after}");
        let kept = Value::from(redactor().text(&text));
        prop_assert!(!shows(&kept, &unseen), "{} gives {}", text, kept);
    }
}
