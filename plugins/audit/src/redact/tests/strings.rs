//! What becomes of a string.

use super::*;

fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(redactor().text(text), *expected, "{text}");
        assert_eq!(redactor().text(expected), *expected, "again: {text}");
    }
}

#[test]
fn what_holds_no_secret_is_borrowed() {
    for text in ["", "order 7", "naïve 漢字 ＡＢＣ", "3.14159265358979", "a@b", "+1 555 12", "{", "[]x"] {
        assert!(matches!(redactor().text(text), Cow::Borrowed(same) if same == text), "{text}");
    }
}

/// Other readers take it, and find the names in it.
#[test]
fn json_that_only_others_read_goes() {
    check(&[
        (r#"{"password":"hunter2","n":1e999}"#, "[redacted]"),
        (r#" {"password":"hunter2","n":"\ud800"} "#, "[redacted]"),
        ("{'password':'hunter2'}", "[redacted]"),
        (r#"[{"a":1e999}]"#, "[redacted]"),
        ("[draft]", "[draft]"),
        ("{id}", "{id}"),
        ("[email]", "[email]"),
    ]);
}

#[test]
fn tokens() {
    check(&[
        (JWT, "[redacted]"),
        (&format!("https://example.com/cb?t={JWT}&x=1#{JWT}"), "https://example.com/cb?t=[redacted]&x=1#[redacted]"),
        (&format!("/v1/{JWT}/x"), "/v1/[redacted]/x"),
        (&format!("id{JWT}"), "id[redacted]"),
        ("eyJhbGciOiJub25lIn0.eyJhIjoxfQ.", "[redacted]"),
        ("eyJhbGciOiJub25lIn0.e30", "[redacted]"),
        ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "[redacted]"),
        ("ewogICJhbGciOiJub25lIgp9.e30.", "[redacted]"),
        ("eyJhIjoxfQ", "eyJhIjoxfQ"),
        ("eyJhIjoxfQ. Next", "eyJhIjoxfQ. Next"),
        ("www.example.com.au", "www.example.com.au"),
        ("hey.Joe.there", "hey.Joe.there"),
    ]);
}

#[test]
fn credentials() {
    check(&[
        ("Bearer abc.def", "[redacted]"),
        ("bEARER\tabc", "[redacted]"),
        ("authorization: Bearer 12|a~b/c+d==, next", "authorization: [redacted], next"),
        ("Bearer   x y", "[redacted] y"),
        ("Basic dXNlcjpwYXNz", "[redacted]"),
        ("curl -H 'Authorization: Basic dXNlcjpwYXNz' -v", "curl -H 'Authorization: [redacted]' -v"),
        ("Bearer%20abc", "[redacted]"),
        ("Basic+abc", "[redacted]"),
        ("Ｂｅａｒｅｒ　ｔ０ｋｅｎ", "[redacted]"),
        ("Bearer", "Bearer"),
        ("Bearer  ", "Bearer  "),
        ("Bearer <token>", "Bearer <token>"),
        ("basics abc", "basics abc"),
        ("b ba bas basi bear bearebasi", "b ba bas basi bear bearebasi"),
    ]);
}

#[test]
fn pem_blocks() {
    check(&[
        (PEM, "[redacted]"),
        (&format!("key:\n{PEM}\nend"), "key:\n[redacted]\nend"),
        (&format!("{PEM}{PEM}"), "[redacted][redacted]"),
        (&PEM[..50], "[redacted]"),
        (&format!("x {}", &PEM[..14]), "x [redacted]"),
        (&PEM[40..], "[redacted]"),
        (&format!("{}\nx{}", &PEM[40..], &PEM[..50]), "[redacted]\nx[redacted]"),
        (&PEM.replace('\n', "\\n"), "[redacted]"),
        (&format!("-{PEM}-"), "-[redacted]"),
        ("-----END", "[redacted]"),
        ("---- BEGIN", "---- BEGIN"),
        ("----------", "----------"),
    ]);
}

#[test]
fn email_addresses() {
    check(&[
        ("alice@example.com", "[email]"),
        ("mail alice.b+tag@mail.eu.example.co.uk.", "mail [email]."),
        ("<alice@example.com>,bob@example.org;", "<[email]>,[email];"),
        ("mailto:o'brien@example.com?subject=x", "mailto:[email]?subject=x"),
        ("bounce+alice=example.com@lists.example.org", "[email]"),
        ("用户@例子.公司", "[email]"),
        ("jörg@müller.example", "[email]"),
        ("alice@xn--mller-kva.example", "[email]"),
        ("ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[email]"),
        ("alice\u{200b}@\u{ad}example.com", "[email]"),
        ("alice%40example.com", "[email]"),
        ("?to=alice%40example.com&x", "?[email]&x"),
        ("\"alice b\"@example.com", "[email]"),
        ("https://example.com/u/alice@example.com/x", "https://example.com/u/[email]/x"),
        ("https://user:hunter2@example.com/", "https://user:[email]/"),
        ("a@b.c", "[email]"),
        ("alice@localhost", "alice@localhost"),
        ("lodash@4.17.21", "lodash@4.17.21"),
        ("@example.com", "@example.com"),
        ("a@.b", "a@.b"),
        ("a@b.", "a@b."),
        ("@@@ @", "@@@ @"),
    ]);
}

#[test]
fn card_numbers() {
    check(&[
        ("4111111111111111", "[card]"),
        ("pay 4111 1111 1111 1111 now", "pay [card] now"),
        ("4111-1111-1111-1111", "[card]"),
        ("4111 - 1111 - 1111 - 1111", "[card]"),
        ("4111.1111.1111.1111", "[card]"),
        ("4111_1111\n1111\t1111", "[card]"),
        ("4111\u{a0}1111\u{2011}1111\u{2013}1111", "[card]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
        ("4111%201111%2D1111%2d1111", "[card]"),
        ("378282246310005", "[card]"),
        ("3782 822463 10005", "[card]"),
        ("4222222222222", "[card]"),
        ("6304000000000000000", "[card]"),
        ("card4111111111111111x", "card[card]x"),
        ("%B4111111111111111^DOE/JOHN^2412", "%B[card]^DOE/JOHN^2412"),
        ("4111111111111111 12/27 123", "[card] 12/27 123"),
        ("12 4111111111111111", "12 [card]"),
        ("4111111111111111,5500005555555559", "[card],[card]"),
        ("４１１１１１１１１１１１１１１１", "[card]"),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "[card]"),
        ("4111\u{200b}1111\u{0}1111\u{feff}1111", "[card]"),
        ("4111111111111112", "4111111111111112"),
        ("411111111111", "411111111111"),
        ("41111111111111111111", "41111111111111111111"),
        ("4111    1111    1111    1111", "4111    1111    1111    1111"),
        ("4111a1111b1111c1111", "4111a1111b1111c1111"),
        ("13.4111111111111111", "13.4111111111111111"),
        ("1732269791.4821231", "1732269791.4821231"),
    ]);
}

/// What is no card, though one in ten of its runs of digits passes Luhn's check: a record needs it whole.
#[test]
fn identifiers_are_kept() {
    check(&[
        ("41111111-1111-1111-8111-411111111111", "41111111-1111-1111-8111-411111111111"),
        ("/orders/00000000-0000-0000-0000-000000000000/x", "/orders/00000000-0000-0000-0000-000000000000/x"),
        ("a4111111111111111b4111111111111f", "a4111111111111111b4111111111111f"),
        ("2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05.123456Z"),
    ]);
}

#[test]
fn telephone_numbers() {
    check(&[
        ("+4915123456789", "[phone]"),
        ("call +49 (0)151 234-567.89 now", "call [phone] now"),
        ("+1 (555) 123-4567", "[phone]"),
        ("tel:+44/20/7946/0958;x", "tel:[phone];x"),
        ("%2B4915123456789", "[phone]"),
        ("＋４９１５１２３４５６７８９", "[phone]"),
        ("+12345678", "[phone]"),
        ("+1 555 123 4568 2024-01-02", "[phone]-01-02"),
        ("+(49)15123456789", "[phone]"),
        ("x+4915123456789+4915123456789y", "x[phone][phone]y"),
        ("+1234567", "+1234567"),
        ("+1234567890123456", "+1234567890123456"),
        ("4915123456789", "4915123456789"),
        ("+ 49151234567", "+ 49151234567"),
        ("2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05+02:00"),
    ]);
}

#[test]
fn several_at_once() {
    check(&[
        ("alice@example.com 4111111111111111 +4915123456789", "[email] [card] [phone]"),
        ("Bearer alice@example.com", "[redacted]"),
        ("4111111111111111@example.com", "[email]"),
        ("+4111111111111111", "+[card]"),
        ("[email] [card] [phone] [redacted] [truncated]", "[email] [card] [phone] [redacted] [truncated]"),
        ("Bearer [redacted]", "Bearer [redacted]"),
    ]);
}

#[test]
fn json_in_a_string_is_redacted_inside() {
    check(&[
        (r#"{"password":"hunter2","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
        (r#" [ {"token" : {"a":1}}, "alice@example.com" ] "#, r#"[{"token":"[redacted]"},"[email]"]"#),
        (r#"{"\u0070assword":"x","a":"\u0061@b.example"}"#, r#"{"password":"[redacted]","a":"[email]"}"#),
        ("[4111111111111111]", r#"["[card]"]"#),
        ("\u{feff}{\"password\":1}", r#"{"password":"[redacted]"}"#),
        (r#"{"password":"hunter2""#, "[redacted]"),
        (r#""alice@example.com""#, r#""[email]""#),
        (r#""{\"password\":\"hunter2\"}""#, r#""{\"password\":\"[redacted]\"}""#),
        (r#""exact phrase""#, r#""exact phrase""#),
        ("{}", "{}"),
    ]);
}

/// Two levels are read; what is JSON below them goes, as nothing has judged its names.
#[test]
fn json_in_strings_is_read_two_levels_deep() {
    let one = r#"{"password":"x","a":1}"#.to_owned();
    let nest = |text: &str| json!([text]).to_string();
    let kept = r#"{"password":"[redacted]","a":1}"#;
    assert_eq!(redactor().text(&one), kept);
    assert_eq!(redactor().text(&nest(&one)), nest(kept));
    assert_eq!(redactor().text(&nest(&nest(&one))), nest(&nest("[truncated]")));
    assert_eq!(redactor().text(&nest(&nest("{"))), nest(&nest("{")));
}

#[test]
fn a_long_string_is_cut_after_it_is_redacted() {
    let cut = |text: &str| redactor().text(text).into_owned();
    assert_eq!(cut(&"x".repeat(256)), "x".repeat(256));
    assert_eq!(cut(&"x".repeat(257)), format!("{}[truncated]", "x".repeat(245)));
    assert_eq!(cut(&"ä".repeat(64 << 10)), format!("{}[truncated]", "ä".repeat(122)));
    for at in 200..300 {
        for secret in [JWT, PEM, "Bearer abcdefghijkl", "alice@example.com", "4111 1111 1111 1111", "+49 151 23456789"]
        {
            let kept = cut(&format!("{} {secret} {}", "x".repeat(at), "y".repeat(at)));
            assert!(kept.len() <= 256, "{kept}");
            let rest = kept.trim_start_matches('x').trim_end_matches("[truncated]").trim_matches([' ', 'y']);
            assert!(["", REDACTED, EMAIL, CARD, PHONE].contains(&rest), "{kept}");
        }
    }
}

/// What only the cut makes look like a secret goes as well, so that a second pass finds nothing.
#[test]
fn a_cut_leaves_nothing_that_looks_like_a_secret() {
    let text = format!("{} 411111111111111100000000{}", "x".repeat(228), "z".repeat(100));
    assert_eq!(redactor().text(&text), format!("{} [card][truncated]", "x".repeat(228)));
}

#[test]
fn a_named_value_goes_by_its_name_or_by_pattern() {
    assert_eq!(redactor().named("userPassword", "hunter2"), "[redacted]");
    assert_eq!(redactor().named("id", "alice@example.com"), "[email]");
    assert_eq!(redactor().named("id", "7"), "7");
    assert!(redactor().hides_name("X-CSRF-Token"));
    assert!(!redactor().hides_name("id"));
    assert!(!Redactor::new([""]).hides_name("password"));
}
