//! `If-Match` of a GET or HEAD that names a tag minted here (RFC 9110 section 13.1.1).
//!
//! The application never made that tag and would answer 412 to content that has not changed, so the whole field is judged
//! here, by the reply to the same request without any precondition.

use crate::list::{Ours, TagField, Tags};
use crate::tag::{self, EntityTag};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use vestibule_plugin::Fields;

/// What only this proxy can judge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// A list with a tag of ours in it.
    Tags(Tags),
    /// It holds a tag of ours and matches no grammar, so it matches no tag.
    Malformed,
}

impl IfMatch {
    /// That of a request; `None` where the application can judge it, or there is nothing to judge.
    pub(crate) fn of(request: &Fields) -> Option<Self> {
        match TagField::of(request, &IF_MATCH)? {
            TagField::Tags(tags) if tags.ours() != Ours::None => Some(Self::Tags(tags)),
            TagField::Malformed if holds_ours(request) => Some(Self::Malformed),
            TagField::Any | TagField::Tags(_) | TagField::Malformed => None,
        }
    }

    /// Whether a tag of ours is all that it names.
    pub(crate) fn is_ours_alone(&self) -> bool {
        match self {
            Self::Tags(tags) => tags.ours() == Ours::All,
            Self::Malformed => true,
        }
    }

    /// Whether content with this tag is what the client asks for. A tag of ours is one content wherever it stands, weak or
    /// not: strong comparison is there so that bytes of two versions are never put together, and the reply to this request
    /// is always a whole one. Any other tag is compared strongly.
    pub(crate) fn is_met(&self, tag: Option<&EntityTag<'_>>) -> bool {
        let (Self::Tags(tags), Some(tag)) = (self, tag) else { return false };
        if tag.is_ours() { tags.contain(tag) } else { tags.contain_strongly(tag) }
    }

    /// Takes every precondition out of a fresh copy of the client's fields. What comes after `If-Match` in RFC 9110 section
    /// 13.2.2 would be judged without it: a date beside it counts for nothing, a 304 would hide that it fails, and a part of
    /// the content has no tag.
    pub(crate) fn take_out(fields: &mut Fields) {
        for name in [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
            fields.remove(&name);
        }
    }
}

fn holds_ours(request: &Fields) -> bool {
    request.lines(&IF_MATCH).any(tag::is_within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    const OURS: &str = "W/\"vst1-AAAAAAAAAAAAAAAAAAAAAA\"";
    const STRONG: &str = "\"vst1-AAAAAAAAAAAAAAAAAAAAAA\"";
    const OTHER: &str = "W/\"vst1-BBBBBBBBBBBBBBBBBBBBBB\"";

    fn of(lines: &[&str]) -> Option<IfMatch> {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(IF_MATCH, HeaderValue::from_str(line).expect("a value"));
        }
        IfMatch::of(&fields)
    }

    #[test]
    fn what_the_application_can_judge_is_left_to_it() {
        for lines in
            [&[][..], &["*"], &["\"v1\""], &["\"v1\", W/\"v2\""], &["v1"], &["\"vst1-short\""], &["*", "\"a\""]]
        {
            assert_eq!(of(lines), None, "{lines:?}");
        }
        for lines in [&[OURS][..], &[STRONG], &["\"v1\"", OURS], &[&OURS[3..]], &["*", OURS]] {
            assert!(of(lines).is_some(), "{lines:?}");
        }
    }

    #[test]
    fn one_of_the_list_has_to_match() {
        let met = |lines: &[&str], tag: &str| {
            let tag = EntityTag::parse(tag.as_bytes()).expect("a tag");
            of(lines).expect("ours").is_met(Some(&tag))
        };
        for lines in [&[OURS][..], &[STRONG], &[OTHER, OURS], &["\"v1\"", OTHER, OURS]] {
            assert!(met(lines, OURS) && met(lines, STRONG), "{lines:?}");
        }
        assert!(!met(&[OTHER], OURS) && !met(&["*", OURS], OURS), "nothing matches what is no list");
        assert!(met(&["\"v1\", ", OURS], "\"v1\""), "the application has tags by now");
        assert!(!met(&["W/\"v1\"", OURS], "W/\"v1\""), "and a weak one of them matches nothing");
        assert!(!of(&[OURS]).expect("ours").is_met(None));
    }
}
