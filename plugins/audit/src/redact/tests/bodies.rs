//! What becomes of a JSON body.

use super::*;

fn check(table: &[(&str, Value)]) {
    for (text, expected) in table {
        assert_eq!(kept(text), *expected, "{text}");
        assert_eq!(kept(&expected.to_string()), *expected, "again: {text}");
    }
}

/// AUD-08: whatever the value is, it goes whole.
#[test]
fn by_name() {
    check(&[
        (r#"{"password":"x","n":7,"b":true,"z":null}"#, json!({"password":"[redacted]","n":7,"b":true,"z":null})),
        (r#"{"a":[{"X-CSRF-Token":{"deep":["x"]}}]}"#, json!({"a":[{"X-CSRF-Token":"[redacted]"}]})),
        (
            r#"{"card_no":4,"discard":[1],"Cookie":null}"#,
            json!({"card_no":"[redacted]","discard":"[redacted]","Cookie":"[redacted]"}),
        ),
        (r#"{"pass\u0077ord":"x"}"#, json!({"password":"[redacted]"})),
        (r#""alice@example.com""#, json!("[email]")),
        ("[]", json!([])),
    ]);
}

#[test]
fn a_label_hides_its_sibling_in_any_order() {
    check(&[
        (r#"{"name":"password","value":"x"}"#, json!({"name":"password","value":"[redacted]"})),
        (r#"{"Value":{"a":1},"n":1,"KEY":"x-csrf-token"}"#, json!({"Value":"[redacted]","n":1,"KEY":"x-csrf-token"})),
        (
            r#"[{"field":"totp","value":1},{"field":"a","value":1}]"#,
            json!([{"field":"totp","value":"[redacted]"},{"field":"a","value":1}]),
        ),
        (r#"{"name":"4111111111111111","value":"x"}"#, json!({"name":"[card]","value":"[redacted]"})),
        (r#"{"name":4111111111111111,"value":"x"}"#, json!({"name":"[card]","value":"[redacted]"})),
        (r#"{"name":["password"],"value":"x"}"#, json!({"name":["password"],"value":"x"})),
        (r#"{"name":{"name":"password"},"value":"x"}"#, json!({"name":{"name":"password"},"value":"x"})),
        (r#"{"name":"password","values":"x"}"#, json!({"name":"password","values":"x"})),
    ]);
}

/// A reader may take the first of two members or the last, so neither can hide what the other shows.
#[test]
fn duplicate_members_are_all_judged() {
    check(&[
        (r#"{"name":"password","value":"x","name":"a"}"#, json!({"value":"[redacted]","name":"a"})),
        (r#"{"name":"a","value":"x","value":"y","name":"token"}"#, json!({"value":"[redacted]","name":"token"})),
        (r#"{"password":"x","a":1,"password":"y"}"#, json!({"a":1,"password":"[redacted]"})),
        (r#"{"a":{"token":"x"},"a":{"b":"a@b.example"}}"#, json!({"a":{"b":"[email]"}})),
    ]);
}

#[test]
fn a_key_may_be_the_secret() {
    check(&[
        (r#"{"alice@example.com":1,"b":2}"#, json!({"[email]":1,"b":2})),
        (r#"{"Bearer abc":1}"#, json!({"[redacted]":1})),
        (r#"{"4111111111111111":{"cvc":123}}"#, json!({"[card]":"[redacted]"})),
        (r#"{"a@b.example":1,"b@b.example":2}"#, json!({"[email]":2})),
        (r#"{"{\"password\":\"hunter2\"}":"x"}"#, json!({r#"{"password":"[redacted]"}"#:"[redacted]"})),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (
            "[0,-1,9007199254740991,-9007199254740991]",
            json!([0, -1, 9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64]),
        ),
        ("[9007199254740992,-9007199254740993]", json!(["9007199254740992", "-9007199254740993"])),
        ("[1.5,-0.25,1e3,1e300,-0.0]", json!(["1.5", "-0.25", "1000.0", "1e+300", "-0.0"])),
        ("[18446744073709551616]", json!(["1.8446744073709552e+19"])),
        ("[4111111111111111,-4111111111111111]", json!(["[card]", "[card]"])),
        ("[4111111111111111.0,4.111111111111111e15]", json!(["[card]", "[card]"])),
        ("[6304000000000000000]", json!(["[card]"])),
        ("[4111111111111112,0.4111111111111111]", json!([4_111_111_111_111_112_i64, "0.4111111111111111"])),
    ]);
}

#[test]
fn sixteen_containers_deep() {
    let deep = |n: usize| format!("{}7{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(kept(&deep(16)).to_string(), deep(16));
    assert_eq!(kept(&deep(17)).to_string(), deep(16).replace('7', "\"[truncated]\""));
    assert_eq!(kept(&deep(30_000)).to_string(), deep(16).replace('7', "\"[truncated]\""));
    let objects = format!("{}7{}", r#"{"a":"#.repeat(17), "}".repeat(17));
    assert!(kept(&objects).to_string().contains(r#"{"a":"[truncated]"}"#));
    assert_eq!(body(&deep(17)[..33]), Err(Omitted::Invalid));
}

#[test]
fn a_thousand_members_overall() {
    let array = |n: usize| format!("[{}0]", "0,".repeat(n - 1));
    assert_eq!(kept(&array(1000)).to_string(), array(1000));
    let beyond = kept(&array(1001));
    assert_eq!(beyond.as_array().map(Vec::len), Some(1001));
    assert_eq!(beyond[1000], "[truncated]");
    assert_eq!(kept(&beyond.to_string()), beyond);

    let within = kept(&format!(r#"{{"a":{},"b":1,"c":2}}"#, array(999)));
    assert_eq!(within["a"].as_array().map(Vec::len), Some(999));
    assert_eq!((within.get("b"), &within["[truncated]"]), (None, &json!("[truncated]")));

    let in_strings = kept(&json!(vec![array(100); 11]).to_string());
    assert_eq!(in_strings[8], array(100));
    assert_eq!(in_strings[9], format!("{},\"[truncated]\"]", array(90).trim_end_matches(']')));
    assert_eq!(in_strings[10], "[truncated]");
}

/// A label that is not kept any more still says what its sibling holds.
#[test]
fn a_label_beyond_the_last_member_counts() {
    let far = format!(r#"{{"value":"x",{}"name":"password"}}"#, r#""a":1,"#.repeat(1200));
    assert_eq!(kept(&far), json!({"value":"[redacted]","a":1,"[truncated]":"[truncated]"}));
}

/// Members of a string that turns out not to be JSON are not counted.
#[test]
fn a_string_that_is_no_json_costs_no_members() {
    let broken = format!("[{}]]", "0,".repeat(2000));
    assert_eq!(kept(&json!([broken, 1]).to_string())[1], 1);
}

#[test]
fn why_a_body_is_left_out() {
    let omitted = |content_type: Option<&str>, coding: Option<&str>, body: &[u8]| {
        redactor().body(content_type.map(str::as_bytes), coding.map(str::as_bytes), body).err()
    };
    let json = Some("application/json");
    assert_eq!(omitted(json, None, b"{}"), None);
    assert_eq!(omitted(json, Some("identity"), b"{}"), None);
    assert_eq!(omitted(None, None, b"{}"), Some(Omitted::NotJson));
    assert_eq!(omitted(Some("text/plain"), Some("gzip"), b"{}"), Some(Omitted::NotJson));
    assert_eq!(omitted(json, Some("gzip"), b"{}"), Some(Omitted::Encoded));
    let quoted = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    assert_eq!(omitted(json, None, quoted(64 << 10).as_bytes()), None);
    assert_eq!(omitted(json, None, quoted((64 << 10) + 1).as_bytes()), Some(Omitted::TooLarge));
    for invalid in ["", "{", "{}x", "{'a':1}", r#"{"password":"x",}"#, "\u{feff}{}", r#"["\ud800"]"#, "1e999"] {
        assert_eq!(omitted(json, None, invalid.as_bytes()), Some(Omitted::Invalid), "{invalid}");
    }
    assert_eq!(omitted(json, None, b"[\"\xff\"]"), Some(Omitted::Invalid));
}

#[test]
fn reasons_are_those_of_the_record() {
    let all = [Omitted::Off, Omitted::NotJson, Omitted::TooLarge, Omitted::Encoded, Omitted::Invalid];
    assert_eq!(all.map(|reason| reason.to_string()), ["off", "not_json", "too_large", "encoded", "invalid"]);
}
