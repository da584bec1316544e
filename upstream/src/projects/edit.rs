//! How a project may come to be and change.

use serde::Serialize;

use super::{Description, ProjectName, Slug, Status};
use crate::id::Id;

/// The writable fields, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    pub(crate) name: ProjectName,
    pub(crate) slug: Slug,
    pub(crate) description: Description,
    pub(crate) status: Status,
}

/// A project to be created, under an id of the client's choice or a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewProject {
    pub(crate) id: Option<Id>,
    pub(crate) content: Content,
}

/// A change of the writable fields; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Edit {
    pub(crate) name: Option<ProjectName>,
    pub(crate) slug: Option<Slug>,
    pub(crate) description: Option<Description>,
    pub(crate) status: Option<Status>,
}

impl From<Content> for Edit {
    fn from(content: Content) -> Self {
        Self {
            name: Some(content.name),
            slug: Some(content.slug),
            description: Some(content.description),
            status: Some(content.status),
        }
    }
}

/// The change would lead back to `unknown`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidTransition;

impl Edit {
    /// What `current` becomes.
    pub(crate) fn apply(self, current: &Content) -> Result<Content, InvalidTransition> {
        let status = match (current.status, self.status.unwrap_or(current.status)) {
            (Status::Unknown, next) => next,
            (_, Status::Unknown) => return Err(InvalidTransition),
            (_, next) => next,
        };
        Ok(Content {
            name: self.name.unwrap_or_else(|| current.name.clone()),
            slug: self.slug.unwrap_or_else(|| current.slug.clone()),
            description: self.description.unwrap_or_else(|| current.description.clone()),
            status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(status: Status) -> Content {
        Content {
            name: ProjectName::parse("Harbour").expect("name"),
            slug: Slug::parse("harbour").expect("slug"),
            description: Description::default(),
            status,
        }
    }

    /// UP-04: every way but the way back to `unknown` is open.
    #[test]
    fn no_status_leads_back_to_unknown() {
        for from in Status::ALL {
            for to in Status::ALL {
                let edit = Edit { status: Some(to), ..Edit::default() };
                let open = from == Status::Unknown || to != Status::Unknown;
                let expected = if open { Ok(content(to)) } else { Err(InvalidTransition) };
                assert_eq!(edit.apply(&content(from)), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn an_empty_edit_changes_nothing() {
        for status in Status::ALL {
            assert_eq!(Edit::default().apply(&content(status)), Ok(content(status)));
        }
    }
}
