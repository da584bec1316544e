use super::*;
use http::header::{HeaderName, HeaderValue};
use vestibule_plugin::Fields;

const OURS: &str = "\"vst1-Tf02EDqsCve23Mow6uXldw\"";
const OTHER: &str = "\"vst1-AAAAAAAAAAAAAAAAAAAAAA\"";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

fn preconditions(fields: &[(&'static str, &str)]) -> Preconditions {
    let mut map = Fields::new();
    for (name, value) in fields {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    Preconditions::of(&map)
}

fn tagged(tag: &str) -> Target<'_> {
    let mut fields = Fields::new();
    fields.set(HeaderName::from_static("last-modified"), HeaderValue::from_static(MODIFIED));
    let modified = date::single(&fields, &http::header::LAST_MODIFIED);
    Target::Content { tag: EntityTag::parse(tag.as_bytes()), modified }
}

const UNTAGGED: Target<'static> = Target::Content { tag: None, modified: None };

#[test]
fn if_match_compares_strongly_and_wins_over_a_date() {
    let weak = format!("W/{OURS}");
    for (field, target, verdict) in [
        (OURS, tagged(OURS), Verdict::PassesByOurTag),
        (OURS, tagged(OTHER), Verdict::Fails),
        (OURS, UNTAGGED, Verdict::Fails),
        (OURS, Target::Nothing, Verdict::Fails),
        (&weak, tagged(OURS), Verdict::Fails),
        ("\"v1\"", tagged(OURS), Verdict::Fails),
        (&format!("\"v1\", {OURS}"), tagged(OURS), Verdict::PassesByOurTag),
        ("*", tagged(OURS), Verdict::Passes),
        ("*", UNTAGGED, Verdict::Passes),
        ("*", Target::Nothing, Verdict::Fails),
        ("v1", tagged(OURS), Verdict::Fails),
        ("", tagged(OURS), Verdict::Fails),
    ] {
        assert_eq!(preconditions(&[("if-match", field)]).judge(target), verdict, "{field} on {target:?}");
        // A date that says otherwise changes nothing.
        for date in [EARLIER, LATER] {
            let both = preconditions(&[("if-match", field), ("if-unmodified-since", date)]);
            assert_eq!(both.judge(target), verdict, "{field} and {date} on {target:?}");
        }
    }
}

#[test]
fn a_date_is_judged_where_the_application_gives_one() {
    for (date, target, verdict) in [
        (EARLIER, tagged(OURS), Verdict::Fails),
        (MODIFIED, tagged(OURS), Verdict::Passes),
        (LATER, tagged(OURS), Verdict::Passes),
        (EARLIER, UNTAGGED, Verdict::Passes),
        (EARLIER, Target::Nothing, Verdict::Passes),
        ("yesterday", tagged(OURS), Verdict::Passes),
    ] {
        assert_eq!(preconditions(&[("if-unmodified-since", date)]).judge(target), verdict, "{date} on {target:?}");
    }
}

#[test]
fn if_none_match_fails_when_it_is_there() {
    let weak = format!("W/{OURS}");
    for (field, target, verdict) in [
        ("*", tagged(OURS), Verdict::Fails),
        ("*", UNTAGGED, Verdict::Fails),
        ("*", Target::Nothing, Verdict::Passes),
        (OURS, tagged(OURS), Verdict::Fails),
        (&weak, tagged(OURS), Verdict::Fails),
        (OTHER, tagged(OURS), Verdict::Passes),
        ("v1", tagged(OURS), Verdict::Passes),
    ] {
        assert_eq!(preconditions(&[("if-none-match", field)]).judge(target), verdict, "{field} on {target:?}");
    }
    let both = preconditions(&[("if-match", OURS), ("if-none-match", "*")]);
    assert_eq!(both.judge(tagged(OURS)), Verdict::Fails, "both have to hold");
}

#[test]
fn what_says_nothing_is_empty_and_what_is_malformed_is_not() {
    assert!(preconditions(&[]).is_empty());
    assert!(preconditions(&[("if-unmodified-since", "yesterday")]).is_empty());
    assert!(!preconditions(&[("if-match", "v1")]).is_empty());
    assert!(preconditions(&[("if-match", OURS)]).rests_on_ours_alone());
    assert!(!preconditions(&[("if-match", &format!("{OURS}, \"v1\""))]).rests_on_ours_alone());
    assert!(!preconditions(&[("if-match", "")]).rests_on_ours_alone());
}
