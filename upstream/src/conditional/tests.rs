use proptest::prelude::*;

use super::*;

const TAG: Tag = Tag { revision: 1, version: 7 };

fn if_match(value: &str) -> Preconditions {
    Preconditions { if_match: Some(TagList::parse(value.as_bytes())), if_none_match: None }
}

fn if_none_match(value: &str) -> Preconditions {
    Preconditions { if_match: None, if_none_match: Some(TagList::parse(value.as_bytes())) }
}

#[test]
fn a_tag_is_revision_and_version_in_quotes() {
    assert_eq!(TAG.to_string(), "\"1.7\"");
}

#[test]
fn no_precondition_permits_everything() {
    assert!(Preconditions::default().permit_write(TAG));
    assert!(!Preconditions::default().excludes(TAG));
}

/// UP-05: the right tag, wherever it stands in the list.
#[test]
fn if_match_looks_at_the_whole_list() {
    for value in [
        "\"1.7\"",
        "*",
        " * ",
        "\"1.6\", \"1.7\"",
        "W/\"1.7\",\"1.7\"",
        ",, \"1.7\" ,",
        "\"a,b\",\"1.7\"",
        "junk, \"1.7\"",
    ] {
        assert!(if_match(value).permit_write(TAG), "{value}");
    }
}

/// UP-05: stale, weak and malformed tags.
#[test]
fn if_match_refuses_what_is_not_strongly_equal() {
    for value in [
        "",
        ",",
        "\"1.6\"",
        "W/\"1.7\"",
        "1.7",
        "\"1.7",
        "\"1.7\"x",
        "\"1.7\" \"1.7\"",
        "w/\"1.7\"",
        "*, \"1.6\"",
        "\"1. 7\"",
        "\"1.7,\"",
    ] {
        assert!(!if_match(value).permit_write(TAG), "{value}");
    }
}

#[test]
fn if_none_match_compares_weakly() {
    for value in ["\"1.7\"", "W/\"1.7\"", "*", "\"x\", W/\"1.7\""] {
        assert!(if_none_match(value).excludes(TAG), "{value}");
        assert!(!if_none_match(value).permit_write(TAG), "{value}");
    }
    for value in ["", "\"1.8\"", "1.7"] {
        assert!(!if_none_match(value).excludes(TAG), "{value}");
    }
}

proptest! {
    #[test]
    fn any_bytes_parse_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        TagList::parse(&bytes);
    }

    #[test]
    fn members_that_do_not_parse_hide_no_other(junk in "[a-z0-9.;*]{0,9}") {
        let value = format!("{junk},\"1.7\"");
        prop_assert!(if_match(&value).permit_write(TAG));
    }
}
