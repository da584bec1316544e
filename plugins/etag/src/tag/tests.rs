use super::*;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use vestibule_plugin::Fields;

const MAX: usize = 1 << 20;

fn fields(lines: &[(HeaderName, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    fields
}

fn weak(lines: &[(HeaderName, &str)], body: &[u8]) -> HeaderValue {
    mint(Strength::Weak, &fields(lines), body, MAX)
}

fn strong(lines: &[(HeaderName, &str)], body: &[u8]) -> HeaderValue {
    mint(Strength::Strong, &fields(lines), body, MAX)
}

/// ET-04: these were computed from the recipe by another implementation. If one changes, the 1 in `vst1` must.
#[test]
fn the_recipe_is_what_it_always_was() {
    let json = [(CONTENT_TYPE, "application/json")];
    assert_eq!(weak(&json, br#"{"id":7}"#), r#"W/"vst1-Tf02EDqsCve23Mow6uXldw""#);
    assert_eq!(strong(&json, br#"{"id":7}"#), r#""vst1-O_-IOVgOFOmwsF_jApTQhg""#);

    assert_eq!(weak(&[], b"x"), r#"W/"vst1-tjsX7emR_p5UpuVR33X3-g""#);
    assert_eq!(strong(&[], b"x"), r#""vst1-EWZcbTR5idRVIEThQNiL1Q""#);

    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    let long: Vec<u8> = (0..100_000u32).map(|i| u8::try_from(i * 7 % 251).expect("below 251")).collect();
    assert_eq!(weak(&html, &long), r#"W/"vst1-U0rHiaN5uXX0QhC8x4coPA""#);
    assert_eq!(strong(&html, &long), r#""vst1-at6nMQ64TVB0gYKUC7unKQ""#);

    let text = (CONTENT_TYPE, "text/plain");
    let coded = |name| [text.clone(), (CONTENT_ENCODING, name)];
    assert_eq!(weak(&coded("deflate"), b"coded"), r#"W/"vst1-zbR8yd77JoMnFCCjx7PmbQ""#);
    assert_eq!(weak(&coded("GZIP"), b"not gzip"), r#"W/"vst1-hLdV3qLfR8q8nlHcz40vUQ""#);
    assert_eq!(weak(&coded("Gzip , BR"), b"twice"), r#"W/"vst1-8YIzVHFAnsWu9aLfw0i8jw""#);
    assert_eq!(strong(&coded("GZIP"), b"coded"), r#""vst1-FYd675H8CJ-cRVrBtWEUZw""#);
    assert_eq!(weak(&[text, (CONTENT_TYPE, "text/html")], b"x"), r#"W/"vst1-fUZL3vBZPEbkqbLQdjz1Fw""#);
}

#[test]
fn type_coding_and_content_cannot_run_together() {
    let tags = [
        weak(&[(CONTENT_TYPE, "a")], b"bc"),
        weak(&[(CONTENT_TYPE, "ab")], b"c"),
        weak(&[], b"abc"),
        weak(&[(CONTENT_TYPE, "a"), (CONTENT_ENCODING, "b")], b"c"),
        weak(&[(CONTENT_ENCODING, "ab")], b"c"),
    ];
    for (i, tag) in tags.iter().enumerate() {
        assert!(!tags[..i].contains(tag), "{tag:?} twice");
    }
}

#[test]
fn other_fields_do_not_count() {
    let plain = weak(&[], b"x");
    assert_eq!(weak(&[(http::header::DATE, "today"), (http::header::VARY, "accept")], b"x"), plain);
    assert_eq!(weak(&[(CONTENT_ENCODING, "identity")], b"x"), plain);
}

/// Only bytes as sent make a strong tag; a weak one does not tell codings apart.
#[test]
fn a_strong_tag_tells_codings_apart() {
    let gzip = crate::tests::gzip(b"content", 6);
    let coded = [(CONTENT_ENCODING, "gzip")];
    assert_eq!(weak(&coded, &gzip), weak(&[], b"content"));
    assert_ne!(strong(&coded, &gzip), strong(&[], b"content"));
    assert_ne!(strong(&coded, b"x"), strong(&[], b"x"));
}

#[test]
fn too_much_decoded_content_is_hashed_as_coded() {
    let zeros = vec![0; 4 * 1000 + 1];
    let fits = crate::tests::gzip(&zeros[1..], 9);
    let over = crate::tests::gzip(&zeros, 9);
    let coded = fields(&[(CONTENT_ENCODING, "gzip")]);
    let none = fields(&[]);
    let tag = |fields: &Fields, body: &[u8]| mint(Strength::Weak, fields, body, 1000);
    assert_eq!(tag(&coded, &fits), tag(&none, &zeros[1..]));
    assert_ne!(tag(&coded, &over), tag(&none, &zeros));
}

#[test]
fn a_tag_is_read_as_the_grammar_says() {
    let read = |text: &'static str| EntityTag::parse(text.as_bytes()).map(|tag| tag.opaque);
    assert_eq!(read(r#""a""#), Some(&b"a"[..]));
    assert_eq!(read(r#"W/"a""#), Some(&b"a"[..]));
    assert_eq!(read(r#""""#), Some(&b""[..]));
    assert_eq!(read(r#""a\""#), Some(&b"a\\"[..]), "a backslash escapes nothing");
    assert_eq!(read("\"é,\""), Some("é,".as_bytes()));
    for bad in ["", "a", "\"", "\"a", "a\"", r#"w/"a""#, r#"W "a""#, r#""a" "#, r#""a"b"#, r#""a b""#, "\"\u{7f}\""] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn ours_is_what_has_our_form_in_full() {
    let ours = |opaque: &str| EntityTag { text: b"", opaque: opaque.as_bytes() }.is_ours();
    assert!(ours("vst1-Tf02EDqsCve23Mow6uXl-_"));
    for other in [
        "vst1-Tf02EDqsCve23Mow6uXld",
        "vst1-Tf02EDqsCve23Mow6uXldww",
        "vst2-Tf02EDqsCve23Mow6uXldw",
        "xvst1-Tf02EDqsCve23Mow6uXldw",
        "vst1-Tf02EDqsCve23Mow6uXld=",
        "VST1-Tf02EDqsCve23Mow6uXldw",
        "v1",
        "",
    ] {
        assert!(!ours(other), "{other}");
    }
}

proptest! {
    #[test]
    fn every_minted_tag_is_a_tag_and_ours(content_type in "[ -~]{0,20}", body in prop::collection::vec(any::<u8>(), 1..600)) {
        let fields = fields(&[(CONTENT_TYPE, &content_type)]);
        for (strength, prefix) in [(Strength::Weak, &b"W/\"vst1-"[..]), (Strength::Strong, b"\"vst1-")] {
            let minted = mint(strength, &fields, &body, MAX);
            let read = EntityTag::parse(minted.as_bytes()).expect("a tag");
            prop_assert!(read.is_ours());
            prop_assert!(minted.as_bytes().starts_with(prefix));
        }
    }

    #[test]
    fn one_changed_byte_is_another_tag(mut body in prop::collection::vec(any::<u8>(), 1..600), at in any::<prop::sample::Index>(), by in 1u8..) {
        let before = [weak(&[], &body), strong(&[], &body)];
        let at = at.index(body.len());
        body[at] ^= by;
        prop_assert_ne!(before, [weak(&[], &body), strong(&[], &body)]);
    }
}
