//! What the audit trail may be asked for.

use super::record::Source;
use super::{MAX_ACTION, MAX_USER};
use crate::http::{Page, Params, Problem};
use crate::text::{self, Invalid};
use crate::timestamp::Timestamp;

/// Which rows, which part of them; the newest come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) page: Page,
    pub(super) filter: Filter,
}

/// Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    pub(super) user_id: Option<String>,
    pub(super) action: Option<Actions>,
    pub(super) source: Option<Source>,
    /// Inclusive.
    pub(super) from: Option<Timestamp>,
    /// Exclusive.
    pub(super) to: Option<Timestamp>,
}

/// Some of the actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actions {
    /// This one.
    Exactly(String),
    /// All from `first` on that come before `end`, in the order of code points; without an end, all from `first` on.
    Range { first: String, end: Option<String> },
}

impl ListQuery {
    /// Reads the query string; every parameter that is unknown, repeated or out of bounds is told at once.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let page = Page::read(&mut params);
        let filter = Filter {
            user_id: params.read("user_id", |text| text::bounded(text, 1..=MAX_USER)),
            action: params.read("action", Actions::parse),
            source: params.read("source", Source::parse),
            from: params.read("from", Timestamp::parse),
            to: params.read("to", Timestamp::parse),
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from > to
        {
            params.refuse("from", "must not be after to");
        }
        params.finish(Self { page, filter })
    }
}

impl Actions {
    /// Reads an action, or the beginning of some and a `*`. Any other `*` stands for itself.
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.strip_suffix('*') {
            Some(prefix) => Ok(Self::starting_with(&text::bounded(prefix, 0..=MAX_ACTION)?)),
            None => text::bounded(text, 1..=MAX_ACTION).map(Self::Exactly),
        }
    }

    // A range can use the index, and has no wildcards to escape.
    fn starting_with(prefix: &str) -> Self {
        let mut end: Vec<char> = prefix.chars().collect();
        while let Some(last) = end.pop() {
            // `Step` over characters jumps the surrogates, which are none.
            if let Some(next) = (last..=char::MAX).nth(1) {
                end.push(next);
                return Self::Range { first: prefix.to_owned(), end: Some(end.into_iter().collect()) };
            }
        }
        Self::Range { first: prefix.to_owned(), end: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(query: &str) -> Vec<String> {
        let problem = ListQuery::parse(Some(query)).expect_err(query);
        problem.errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn nothing_asked_means_the_first_20_newest() {
        let query = ListQuery::parse(None).expect("accepted");
        assert_eq!((query.page.number(), query.page.size()), (1, 20));
        assert_eq!(query.filter, Filter::default());
    }

    #[test]
    fn every_bad_parameter_is_named() {
        for (query, pointer) in [
            ("user_id=", "/user_id"),
            ("user_id=%00", "/user_id"),
            ("action=", "/action"),
            ("action=a%00*", "/action"),
            ("action=a&action=b", "/action"),
            ("source=", "/source"),
            ("source=Proxy", "/source"),
            ("from=2026-01-01", "/from"),
            ("to=2026-01-01T00:00:00", "/to"),
            ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "/from"),
            ("sort=created_at", "/sort"),
        ] {
            assert_eq!(refused(query), [pointer], "{query}");
        }
        assert_eq!(refused("page=0&source=x&from=x&to=y&z="), ["/page", "/source", "/from", "/to", "/z"]);
    }

    #[test]
    fn a_range_of_no_length_is_one() {
        assert!(ListQuery::parse(Some("from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00%2B01:00")).is_ok());
    }

    #[test]
    fn only_the_last_star_is_one() {
        assert_eq!(Actions::parse("a*b"), Ok(Actions::Exactly("a*b".to_owned())));
        let range = |first: &str, end: Option<&str>| Actions::Range { first: first.into(), end: end.map(Into::into) };
        assert_eq!(Actions::parse("auth.*"), Ok(range("auth.", Some("auth/"))));
        assert_eq!(Actions::parse("a**"), Ok(range("a*", Some("a+"))));
        assert_eq!(Actions::parse("*"), Ok(range("", None)));
        assert_eq!(Actions::parse("\u{d7ff}*"), Ok(range("\u{d7ff}", Some("\u{e000}"))));
        assert_eq!(Actions::parse("a\u{10ffff}*"), Ok(range("a\u{10ffff}", Some("b"))));
    }

    proptest! {
        #[test]
        fn a_range_holds_exactly_what_begins_so(prefix in "[a-c\u{10ffff}]{0,3}", action in "[a-d\u{10ffff}]{0,5}") {
            let Actions::Range { first, end } = Actions::starting_with(&prefix) else { panic!("a range") };
            let holds = first <= action && end.is_none_or(|end| action < end);
            prop_assert_eq!(holds, action.starts_with(&prefix));
        }
    }
}
