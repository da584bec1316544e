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
/// Range of `lock_lease`: below it a slow store loses locks that are held, above it a proxy that died blocks writes.
const LOCK_LEASE: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(600)));
/// Range of `lock_wait`: below it nobody is ever waited for, above it clients have left.
const LOCK_WAIT: (Span, Span) = (Span(Duration::from_millis(10)), Span(Duration::from_secs(300)));

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
    /// What happens to a write that says what it rests on.
    pub concurrency: Concurrency,
    /// With `serialize`: a lock that nobody renews is free after this; 1s to 10m.
    pub lock_lease: Span,
    /// With `serialize`: longest wait for a lock, then 503; 10ms to 5m.
    pub lock_wait: Span,
    /// Whether PUT, PATCH and DELETE without `If-Match` are refused with 428.
    pub require_if_match: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body: Size(1 << 20),
            strength: Strength::Weak,
            stream_after: Span(Duration::from_millis(100)),
            concurrency: Concurrency::Forward,
            lock_lease: Span(Duration::from_secs(30)),
            lock_wait: Span(Duration::from_secs(10)),
            require_if_match: false,
        }
    }
}

/// Who judges whether a write rests on what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// The application, by its own tags; a write that rests on one of ours gets 412.
    #[default]
    Forward,
    /// The proxy: writes to one URI go one after the other, each judged by what a GET shows. For applications without
    /// versions of their own, and only as safe as the conditions in the README hold.
    Serialize,
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
    /// See [`Config::concurrency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// See [`Config::lock_lease`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_lease: Option<Span>,
    /// See [`Config::lock_wait`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_wait: Option<Span>,
    /// See [`Config::require_if_match`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_if_match: Option<bool>,
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
    /// Who judges writes.
    pub(crate) concurrency: Concurrency,
    /// How long a lock is held that nobody renews.
    pub(crate) lock_lease: Duration,
    /// How long a lock is waited for.
    pub(crate) lock_wait: Duration,
    /// Whether a write must say what it rests on.
    pub(crate) require_if_match: bool,
}

impl Config {
    /// Checks the table.
    pub(crate) fn check(&self, errors: &mut BuildErrors) {
        check_max_body(self.max_body, || KeyPath::table(["max_body"]), errors);
        check_span("stream_after", self.stream_after, STREAM_AFTER, |key| KeyPath::table([key]), errors);
        check_span("lock_lease", self.lock_lease, LOCK_LEASE, |key| KeyPath::table([key]), errors);
        check_span("lock_wait", self.lock_wait, LOCK_WAIT, |key| KeyPath::table([key]), errors);
        if self.judges_by_weak_tags() {
            refuse_weak(KeyPath::table(["concurrency"]), KeyPath::table(["strength"]), errors);
        }
    }

    /// Two contents with one weak tag would pass for the same.
    fn judges_by_weak_tags(&self) -> bool {
        self.concurrency == Concurrency::Serialize && self.strength == Strength::Weak
    }

    /// What runs where no route says otherwise.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            // The ceiling fits every usize; before `check` passed, the value is not used.
            max_body: usize::try_from(self.max_body.0).unwrap_or(usize::MAX),
            strength: self.strength,
            stream_after: self.stream_after.0,
            concurrency: self.concurrency,
            lock_lease: self.lock_lease.0,
            lock_wait: self.lock_wait.0,
            require_if_match: self.require_if_match,
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
        let spans = [
            ("stream_after", written.stream_after, STREAM_AFTER),
            ("lock_lease", written.lock_lease, LOCK_LEASE),
            ("lock_wait", written.lock_wait, LOCK_WAIT),
        ];
        for (name, span, range) in spans {
            if let Some(span) = span {
                check_span(name, span, range, |key| KeyPath::route(route.id, [key]), errors);
            }
        }
        let merged = Self {
            max_body: written.max_body.unwrap_or(self.max_body),
            strength: written.strength.unwrap_or(self.strength),
            stream_after: written.stream_after.unwrap_or(self.stream_after),
            concurrency: written.concurrency.unwrap_or(self.concurrency),
            lock_lease: written.lock_lease.unwrap_or(self.lock_lease),
            lock_wait: written.lock_wait.unwrap_or(self.lock_wait),
            require_if_match: written.require_if_match.unwrap_or(self.require_if_match),
        };
        // What the table has got wrong is told there.
        if merged.judges_by_weak_tags() && !self.judges_by_weak_tags() {
            let at = |key| KeyPath::route(route.id, [key]);
            match written.concurrency {
                Some(_) => {
                    let weak = if written.strength.is_some() { at("strength") } else { KeyPath::table(["strength"]) };
                    refuse_weak(at("concurrency"), weak, errors);
                }
                None => refuse_weak(at("strength"), KeyPath::table(["concurrency"]), errors),
            }
        }
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

fn check_span(
    name: &'static str,
    span: Span,
    (floor, ceiling): (Span, Span),
    at: impl FnOnce(&'static str) -> KeyPath,
    errors: &mut BuildErrors,
) {
    if span < floor || span > ceiling {
        errors.error(at(name), format!("`{name}` cannot be {span}"), format!("expected {floor} to {ceiling}"));
    }
}

fn refuse_weak(at: KeyPath, about: KeyPath, errors: &mut BuildErrors) {
    errors.error_about(
        at,
        vec![about],
        "`concurrency = \"serialize\"` needs `strength = \"strong\"`",
        "a weak tag stands for contents that may differ, and If-Match compares strongly; add `strength = \"strong\"`",
    );
}
