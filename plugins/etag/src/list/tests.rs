use super::*;
use http::header::HeaderValue;
use http::header::IF_NONE_MATCH;
use proptest::prelude::*;

const OURS: &str = "\"vst1-Tf02EDqsCve23Mow6uXldw\"";

fn of(lines: &[&str]) -> TagField {
    let mut fields = Fields::new();
    for line in lines {
        fields.append(IF_NONE_MATCH, HeaderValue::from_bytes(line.as_bytes()).expect("a field value"));
    }
    TagField::of(&fields, &IF_NONE_MATCH).expect("a field")
}

fn matches(lines: &[&str], tag: &str) -> bool {
    match of(lines) {
        TagField::Tags(tags) => tags.contain(&EntityTag::parse(tag.as_bytes()).expect("a tag")),
        TagField::Any => true,
        TagField::Malformed => false,
    }
}

/// ET-07: strength is not compared.
#[test]
fn comparison_is_weak() {
    for field in [r#""v1""#, r#"W/"v1""#] {
        for tag in [r#""v1""#, r#"W/"v1""#] {
            assert!(matches(&[field], tag), "{field} {tag}");
        }
    }
    assert!(!matches(&[r#""v1""#], r#""V1""#));
}

/// ET-08: any member, on any line.
#[test]
fn every_member_counts() {
    for tag in [r#""a""#, r#""v1""#, r#"W/"c""#] {
        assert!(matches(&[r#""a", W/"v1" ,"c""#], tag));
        assert!(matches(&[r#""a", W/"v1""#, r#""c""#], tag));
    }
}

#[test]
fn commas_inside_quotes_belong_to_the_tag() {
    assert!(matches(&[r#""a,b""#], r#""a,b""#));
    assert!(!matches(&[r#""a,b""#], r#""a""#));
    assert!(matches(&[r#""a"#, r#"b""#], r#""a,b""#), "lines are joined before they are read");
}

#[test]
fn empty_members_are_allowed() {
    assert!(matches(&[r#" , ,"v1",,"#], r#""v1""#));
    for empty in ["", ",", " , ,, "] {
        assert!(matches!(of(&[empty]), TagField::Tags(_)), "{empty:?}");
        assert!(!matches(&[empty], r#""""#));
    }
}

#[test]
fn a_star_stands_alone() {
    assert_eq!(of(&["*"]), TagField::Any);
    assert_eq!(of(&[" * "]), TagField::Any);
    for not_any in [&["*, \"v1\""][..], &["\"v1\", *"], &["*", "*"], &["**"], &["*,"]] {
        assert_eq!(of(not_any), TagField::Malformed, "{not_any:?}");
    }
}

#[test]
fn what_is_wrong_in_one_place_is_wrong_as_a_whole() {
    for bad in [
        r#""v1", b"#,
        r#""v1", w/"a""#,
        r#""v1", "b"#,
        r#""a,"v1",b""#,
        r#""v1" "b""#,
        r#""v1";x"#,
        r#"W/ "v1""#,
        r#"W/"#,
        r#""v1"W/"b""#,
        "\"v1\", \"b c\"",
    ] {
        assert_eq!(of(&[bad]), TagField::Malformed, "{bad}");
    }
}

#[test]
fn a_hundred_tags_and_8_kib_are_the_most() {
    let list = |tags: usize| vec![r#""v1""#; tags].join(",");
    assert!(matches(&[&list(100)], r#""v1""#));
    assert!(!matches(&[&list(101)], r#""v1""#));
    assert!(!matches(&[&list(60), &list(41)], r#""v1""#));

    let long = |bytes: usize| format!("\"v1\",\"{}\"", "x".repeat(bytes - 7));
    assert!(matches(&[&long(8192)], r#""v1""#));
    assert!(!matches(&[&long(8193)], r#""v1""#));
    assert!(!matches(&[&long(4096), &long(4096)], r#""v1""#), "the comma between lines counts");
}

#[test]
fn ours_are_taken_out_and_the_rest_keeps_its_order() {
    let split = |field: &str| match of(&[field]) {
        TagField::Tags(tags) => (tags.ours(), String::from_utf8(tags.without_ours()).expect("ASCII")),
        other => panic!("{other:?}"),
    };
    assert_eq!(split(OURS), (Ours::All, String::new()));
    assert_eq!(split(&format!("{OURS}, W/{OURS}")), (Ours::All, String::new()));
    assert_eq!(split(&format!("\"b\" ,,W/{OURS},W/\"a\"")), (Ours::Some, r#""b", W/"a""#.to_owned()));
    assert_eq!(split(r#""b",W/"a""#).0, Ours::None);
    assert_eq!(split("").0, Ours::None);
}

fn opaque() -> impl Strategy<Value = String> {
    "[!#-~\u{80}-\u{ff}]{0,12}"
}

fn member() -> impl Strategy<Value = (bool, String)> {
    (any::<bool>(), opaque())
}

fn written(members: &[(bool, String)], separators: &[String]) -> String {
    let mut field = String::new();
    for (i, (weak, opaque)) in members.iter().enumerate() {
        if i > 0 {
            let separator = &separators[i % separators.len()];
            field.push_str(separator);
        }
        field.push_str(if *weak { "W/" } else { "" });
        field.push_str(&format!("\"{opaque}\""));
    }
    field
}

proptest! {
    #[test]
    fn what_the_grammar_makes_is_read_in_full(
        members in prop::collection::vec(member(), 0..20),
        separators in prop::collection::vec("[ \t]{0,2},[ \t,]{0,3}", 1..4),
    ) {
        let field = written(&members, &separators);
        let TagField::Tags(tags) = TagField::parse(field.as_bytes()) else { panic!("refused {field}") };
        let read: Vec<_> = tags.iter().map(|tag| tag.opaque.to_vec()).collect();
        let meant: Vec<_> = members.iter().map(|(_, opaque)| opaque.as_bytes().to_vec()).collect();
        prop_assert_eq!(read, meant);
    }

    #[test]
    fn a_stray_quote_spoils_the_field(members in prop::collection::vec(member(), 1..8), at in any::<prop::sample::Index>()) {
        let mut field = written(&members, &[",".into()]).into_bytes();
        field.insert(at.index(field.len() + 1), b'"');
        prop_assert_eq!(TagField::parse(&field), TagField::Malformed);
    }

    #[test]
    fn a_forbidden_byte_in_a_tag_spoils_the_field(
        before in opaque(), after in opaque(), byte in prop::sample::select(vec![0u8, b' ', b'\t', 0x1f, 0x7f]),
    ) {
        let field = [b"\"v1\", \"", before.as_bytes(), &[byte], after.as_bytes(), b"\""].concat();
        prop_assert_eq!(TagField::parse(&field), TagField::Malformed);
    }

    #[test]
    fn no_bytes_panic_and_others_survive_the_rewrite(field in prop::collection::vec(any::<u8>(), 0..200)) {
        if let TagField::Tags(tags) = TagField::parse(&field) {
            let again = TagField::parse(&tags.without_ours());
            let survived = matches!(&again, TagField::Tags(kept) if kept.others == tags.others && kept.ours == 0);
            prop_assert!(survived);
        }
    }
}

/// Every byte is looked at a bounded number of times: the walk only ever moves forward.
#[test]
fn the_walk_never_goes_back() {
    for field in [",".repeat(8000), "\" ,".repeat(2700), "W/".repeat(4000), "\"\",".repeat(2700), " ".repeat(8000)] {
        let mut members = Members(field.as_bytes());
        let mut left = field.len();
        while let Some(member) = members.next() {
            assert!(members.0.len() < left);
            left = members.0.len();
            if member.is_err() {
                assert!(members.next().is_none(), "nothing follows an error");
            }
        }
    }
}
