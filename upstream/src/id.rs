//! Identifiers: UUIDv7, kept and compared as lower-case hyphenated text.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::{Uuid, Version};

use crate::text::Invalid;

/// The id of a row. The order of its text is the order of creation, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(Uuid);

impl Id {
    /// A fresh id of this moment.
    pub(crate) fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads the hyphenated form of 36 characters, in either case. Other forms and other UUID versions are refused.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a UUID of version 7");
        // `try_parse` takes braced, URN and bare forms as well, and none of those has 36 characters.
        let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36).ok_or_else(refused)?;
        match (uuid.get_version(), uuid.get_variant()) {
            (Some(Version::SortRand), uuid::Variant::RFC4122) => Ok(Self(uuid)),
            _ => Err(refused()),
        }
    }

    /// A constant id; its digits must be those of a UUIDv7.
    pub(crate) const fn from_u128(digits: u128) -> Self {
        Self(Uuid::from_u128(digits))
    }

    /// An id whose time and random part are given, for data that must come out the same each time.
    pub(crate) fn from_parts(unix_ms: u64, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, random).into_uuid())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = Id::fresh();
        assert_eq!(Id::parse(&id.to_string()), Ok(id));
        assert_eq!(Id::parse(&id.to_string().to_uppercase()), Ok(id));
    }

    #[test]
    fn other_forms_and_versions_are_refused() {
        for text in [
            "",
            "x",
            "01900000000070008000000000000001",
            "{01900000-0000-7000-8000-000000000001}",
            "01900000-0000-4000-8000-000000000001",
            "01900000-0000-7000-0000-000000000001",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(Id::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn given_parts_make_a_valid_id() {
        let id = Id::from_parts(1_767_225_600_000, &[0xff; 10]);
        assert_eq!(Id::parse(&id.to_string()), Ok(id));
    }
}
