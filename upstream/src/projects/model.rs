//! What a project is made of. A value of these types is always one that may be stored.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::conditional::Tag;
use crate::id::Id;
use crate::text::{self, Invalid};
use crate::timestamp::Timestamp;

/// The user that the first migration creates, and that every caller is until there are accounts.
pub(crate) const DEFAULT_OWNER: Id = Id::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

/// Grows whenever the same row is shown differently, so that no old tag matches the new representation.
const REVISION: u32 = 1;

/// A project as clients see it; the order of the fields is the order of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Project {
    pub(crate) id: Id,
    #[serde(flatten)]
    pub(crate) content: super::Content,
    pub(crate) owner_id: Id,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Project {
    /// The strong tag of this version of it.
    pub(crate) const fn tag(&self) -> Tag {
        Tag { revision: REVISION, version: self.version }
    }
}

/// Text of 1 to 120 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct ProjectName(String);

impl ProjectName {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        text::bounded(text, 1..=120).map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[a-z0-9-]{1,64}`, unique over all projects there ever were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Slug(String);

impl Slug {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("must be 1 to 64 of the characters a-z, 0-9 and -"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text of at most 10,000 characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Description(String);

impl Description {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        text::bounded(text, 0..=10_000).map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a project stands. `Unknown` is where it may begin and where it cannot come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Status {
    #[default]
    Unknown,
    Active,
    Paused,
    Archived,
}

impl Status {
    /// Every status.
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Active, Self::Paused, Self::Archived];

    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| Invalid::new("must be one of unknown, active, paused, archived"))
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_120_characters() {
        assert!(ProjectName::parse("").is_err());
        assert!(ProjectName::parse(&"ä".repeat(120)).is_ok());
        assert!(ProjectName::parse(&"ä".repeat(121)).is_err());
    }

    #[test]
    fn slugs_have_few_characters() {
        for good in ["a", "-", "a-1", &"z".repeat(64)] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "ä", "a_b", "a\n", &"z".repeat(65)] {
            assert!(Slug::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn descriptions_end_at_10_000_characters() {
        assert!(Description::parse(&"x".repeat(10_000)).is_ok());
        assert!(Description::parse(&"x".repeat(10_001)).is_err());
    }

    #[test]
    fn every_status_survives_its_text() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Ok(status));
        }
        assert!(Status::parse("Unknown").is_err());
    }

    #[test]
    fn the_default_owner_is_the_one_of_the_migration() {
        assert_eq!(Id::parse("01900000-0000-7000-8000-000000000001"), Ok(DEFAULT_OWNER));
    }
}
