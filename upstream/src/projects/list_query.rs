//! What a list of projects may be asked for.

use super::Status;
use crate::http::{Page, Params, Problem, Sort, SortField};
use crate::id::Id;
use crate::text::{self, Invalid};
use crate::timestamp::Timestamp;

/// Which projects, in which order, which part of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) page: Page,
    pub(crate) sort: Sort<Field>,
    pub(crate) filter: Filter,
}

/// Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    /// One of these.
    pub(crate) status: Option<Vec<Status>>,
    pub(crate) owner: Option<Id>,
    /// Inclusive.
    pub(crate) created_from: Option<Timestamp>,
    /// Exclusive.
    pub(crate) created_to: Option<Timestamp>,
    /// A part of the name, ASCII case ignored; at most 120 characters, since no name has more.
    pub(crate) text: Option<String>,
}

/// What projects can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    CreatedAt,
    UpdatedAt,
    Status,
    Name,
}

impl SortField for Field {
    const ALL: &'static [Self] = &[Self::CreatedAt, Self::UpdatedAt, Self::Status, Self::Name];
    const NEWEST: Self = Self::CreatedAt;

    fn name(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Status => "status",
            Self::Name => "name",
        }
    }
}

impl ListQuery {
    /// Reads the query string; every parameter that is unknown, repeated or out of bounds is told at once.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let page = Page::read(&mut params);
        let sort = Sort::read(&mut params);
        let filter = Filter {
            status: params.read("status", statuses),
            owner: params.read("owner_id", Id::parse),
            created_from: params.read("created_from", Timestamp::parse),
            created_to: params.read("created_to", Timestamp::parse),
            text: params.read("q", |value| text::bounded(value, 0..=120)),
        };
        params.finish(Self { page, sort, filter })
    }
}

fn statuses(list: &str) -> Result<Vec<Status>, Invalid> {
    let mut wanted = Vec::with_capacity(Status::ALL.len());
    for name in list.split(',') {
        let status = Status::parse(name)?;
        if !wanted.contains(&status) {
            wanted.push(status);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> Vec<String> {
        let problem = ListQuery::parse(Some(query)).expect_err(query);
        problem.errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn nothing_asked_means_the_first_20_newest() {
        let query = ListQuery::parse(None).expect("accepted");
        assert_eq!((query.page.number(), query.page.size()), (1, 20));
        assert_eq!(query.sort, Sort::default());
        assert_eq!(query.filter, Filter::default());
    }

    #[test]
    fn a_status_list_means_either() {
        let query = ListQuery::parse(Some("status=active,paused,active")).expect("accepted");
        assert_eq!(query.filter.status, Some(vec![Status::Active, Status::Paused]));
    }

    #[test]
    fn every_bad_parameter_is_named() {
        for (query, pointer) in [
            ("status=", "/status"),
            ("status=active,", "/status"),
            ("status=open", "/status"),
            ("owner_id=1", "/owner_id"),
            ("created_from=2026-01-01", "/created_from"),
            ("created_to=x", "/created_to"),
            ("q=%00", "/q"),
            ("q=%ff", "/q"),
            ("project_id=x", "/project_id"),
            ("status=active&status=paused", "/status"),
            ("sort=slug", "/sort"),
        ] {
            assert_eq!(refused(query), [pointer], "{query}");
        }
        assert_eq!(refused("page=0&page_size=101&x=1"), ["/page", "/page_size", "/x"]);
    }
}
