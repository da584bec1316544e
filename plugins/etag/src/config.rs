//! The `[etag]` table and the `etag` key of a route, and what runs after they were checked.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use std::fmt;
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};
use vestibule_plugin::{BuildErrors, KeyPath, RouteEntry};

/// Largest `max_body`: a reply of this size is held and hashed in one piece.
const MAX_BODY_CEILING: Size = Size(64 << 20);
/// Range of `stream_after`: below it nothing of unknown length is ever held, above it a page looks hung.
const STREAM_AFTER: (Span, Span) = (Span(Duration::from_millis(1)), Span(Duration::from_secs(60)));

/// The `[etag]` table.
#[derive(Clone, Debug, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Largest reply body that gets a tag, in bytes as sent; 1 byte to 64MiB. A larger one is streamed without a tag.
    pub max_body: Size,
    /// Which tags are minted.
    pub strength: Strength,
    /// A body of unknown length that is slower than this is streamed without a tag; 1ms to 1m.
    pub stream_after: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_body: Size(1 << 20), strength: Strength::Weak, stream_after: Span(Duration::from_millis(100)) }
    }
}

/// How much a minted tag promises (RFC 9110 section 8.8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// The same content, whatever its coding.
    #[default]
    Weak,
    /// The same bytes.
    Strong,
}

/// The `etag` key of a route: `false`, `true`, or a table with any key of `[etag]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteKey {
    /// `true`: as `[etag]` says. `false`: replies of this route are left alone.
    Switch(bool),
    /// As `[etag]` says, except for these keys.
    Table(Overrides),
}

impl Default for RouteKey {
    fn default() -> Self {
        Self::Switch(true)
    }
}

/// Keys of `[etag]` that a route says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// See [`Config::max_body`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// See [`Config::strength`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// See [`Config::stream_after`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_after: Option<Span>,
}

/// By hand, because serde's untagged enums forget which key inside the table was wrong.
impl<'de> Deserialize<'de> for RouteKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = RouteKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a table with keys of [etag]")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<RouteKey, E> {
                Ok(RouteKey::Switch(on))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteKey, A::Error> {
                Overrides::deserialize(MapAccessDeserializer::new(map)).map(RouteKey::Table)
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// What runs on one route: every value is in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Most bytes of a body that is held.
    pub(crate) max_body: usize,
    /// Which tags are minted.
    pub(crate) strength: Strength,
    /// Longest wait for the end of a body whose length is unknown.
    pub(crate) stream_after: Duration,
}

impl Config {
    /// Checks the table.
    pub(crate) fn check(&self, errors: &mut BuildErrors) {
        check_max_body(self.max_body, || KeyPath::table(["max_body"]), errors);
        check_stream_after(self.stream_after, || KeyPath::table(["stream_after"]), errors);
    }

    /// What runs where no route says otherwise.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            // The ceiling fits every usize; before `check` passed, the value is not used.
            max_body: usize::try_from(self.max_body.0).unwrap_or(usize::MAX),
            strength: self.strength,
            stream_after: self.stream_after.0,
        }
    }

    /// What runs on this route, if anything; only the keys that are written here are checked.
    pub(crate) fn on_route(&self, route: &RouteEntry<RouteKey>, errors: &mut BuildErrors) -> Option<Policy> {
        let written = match route.key.as_ref() {
            Some(RouteKey::Switch(false)) => return None,
            Some(RouteKey::Switch(true)) | None => return Some(self.policy()),
            Some(RouteKey::Table(written)) => written,
        };
        if let Some(size) = written.max_body {
            check_max_body(size, || KeyPath::route(route.id, ["max_body"]), errors);
        }
        if let Some(span) = written.stream_after {
            check_stream_after(span, || KeyPath::route(route.id, ["stream_after"]), errors);
        }
        let merged = Self {
            max_body: written.max_body.unwrap_or(self.max_body),
            strength: written.strength.unwrap_or(self.strength),
            stream_after: written.stream_after.unwrap_or(self.stream_after),
        };
        Some(merged.policy())
    }
}

fn check_max_body(size: Size, at: impl FnOnce() -> KeyPath, errors: &mut BuildErrors) {
    if size.0 == 0 || size > MAX_BODY_CEILING {
        errors.error(
            at(),
            format!("`max_body` cannot be {size}"),
            format!("expected 1 byte to {MAX_BODY_CEILING}; to tag nothing on a route, write `etag = false` there"),
        );
    }
}

fn check_stream_after(span: Span, at: impl FnOnce() -> KeyPath, errors: &mut BuildErrors) {
    let (floor, ceiling) = STREAM_AFTER;
    if span < floor || span > ceiling {
        errors.error(at(), format!("`stream_after` cannot be {span}"), format!("expected {floor} to {ceiling}"));
    }
}
