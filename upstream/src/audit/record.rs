//! A row of the audit trail.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::id::Id;
use crate::text::Invalid;
use crate::timestamp::Timestamp;

/// A row as admins see it; the order of the fields is the order of its JSON.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) user_id: Option<String>,
    pub(super) action: String,
    pub(super) resource: String,
    /// A JSON object, as it was stored.
    pub(super) metadata: Box<RawValue>,
    pub(super) created_at: Timestamp,
    pub(super) source: Source,
    pub(super) event_id: Option<Id>,
    pub(super) request_id: Option<Id>,
}

/// Who reported what a row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    App,
    Proxy,
}

impl Source {
    const ALL: [Self; 2] = [Self::App, Self::Proxy];

    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|source| source.as_str() == text);
        found.ok_or_else(|| Invalid::new("must be app or proxy"))
    }

    /// Its name in rows, queries and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Proxy => "proxy",
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
