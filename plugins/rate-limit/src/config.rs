//! `[rate_limit]` and a route's `rate_limit`, as written.

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use vestibule_plugin::units::{Rate, Span};

/// The table `[rate_limit]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which fields tell a client where it stands.
    pub headers: Headers,
    /// How a policy is shared through the store.
    pub consistency: Consistency,
    /// How long borrowed units may be used.
    pub lease: Span,
    /// Longest wait for the store, for all of one request.
    pub store_timeout: Span,
    /// What decides while the store does not answer.
    pub on_store_error: StoreError,
    /// Tier of an authenticated caller whose own is unknown or unstated; not written: `free` if there is one, else the
    /// anonymous one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_tier: Option<String>,
    /// Tier of callers without a verified identity.
    pub anonymous_tier: String,
    /// Claim of the verified token that names the tier; a name that starts with `/` is a JSON pointer.
    pub tier_claim: String,
    /// Keys held in this process.
    pub capacity: usize,
    /// Named limits.
    pub policies: BTreeMap<String, PolicyTable>,
    /// Which policies a tier has, in order.
    pub tiers: BTreeMap<String, TierEntry>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            headers: Headers::Ietf,
            consistency: Consistency::Leased,
            lease: Span(Duration::from_millis(50)),
            store_timeout: Span(Duration::from_millis(20)),
            on_store_error: StoreError::LocalShare,
            default_tier: None,
            anonymous_tier: ANONYMOUS.into(),
            tier_claim: "tier".into(),
            capacity: 1_000_000,
            policies: BTreeMap::new(),
            tiers: BTreeMap::new(),
        }
    }
}

impl Config {
    /// With everything that is implied: the policy and the tier `anonymous`, the tier that callers fall back to, and
    /// what policies take over from the table.
    pub(crate) fn resolved(mut self) -> Self {
        self.policies.entry(ANONYMOUS.to_owned()).or_default();
        self.tiers.entry(ANONYMOUS.to_owned()).or_insert_with(|| TierEntry::Policies(vec![ANONYMOUS.to_owned()]));
        if self.default_tier.is_none() {
            let tier = if self.tiers.contains_key(FREE) { FREE } else { &self.anonymous_tier };
            self.default_tier = Some(tier.to_owned());
        }
        for policy in self.policies.values_mut() {
            let log = policy.algorithm == Counting::SlidingLog;
            // A sliding log cannot be lent out in parts, and has no burst.
            let shared =
                if log && self.consistency == Consistency::Leased { Consistency::Strict } else { self.consistency };
            policy.consistency.get_or_insert(shared);
            policy.on_store_error.get_or_insert(self.on_store_error);
            if !log {
                policy.burst.get_or_insert(policy.limit.quota);
            }
        }
        self
    }
}

/// The tier that authenticated callers get when there is one and the file does not say otherwise.
pub(crate) const FREE: &str = "free";

/// Name of the policy and of the tier that exist unless the file defines them.
pub const ANONYMOUS: &str = "anonymous";

/// Which fields tell a client where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Headers {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).
    Ietf,
    /// `X-RateLimit-*`, as GitHub sends them.
    Github,
    /// All of them.
    Both,
    /// None.
    Off,
}

impl Headers {
    /// Whether the fields of the draft are sent.
    pub(crate) fn has_ietf(self) -> bool {
        matches!(self, Self::Ietf | Self::Both)
    }

    /// Whether the older ones are.
    pub(crate) fn has_github(self) -> bool {
        matches!(self, Self::Github | Self::Both)
    }
}

/// How a policy is shared through the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Each process alone.
    Local,
    /// Every request asks the store.
    Strict,
    /// Units are borrowed in advance.
    Leased,
}

/// What decides while the store does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreError {
    /// This process, with its share of the limit.
    LocalShare,
    /// The request is admitted.
    Open,
    /// The request is refused.
    Closed,
}

/// How units are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Debt that drains at a steady pace, with a burst.
    Gcra,
    /// The times of the last units, at most 64: never more than the quota in any window.
    SlidingLog,
}

/// The table `[rate_limit.policies.NAME]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTable {
    /// Units a window.
    pub limit: Rate,
    /// Units at once; not written: the quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Who is counted: client, address, subject, global, `header:NAME`, or a list of them.
    pub key: Key,
    /// How units are counted.
    pub algorithm: Counting,
    /// Units a request costs.
    pub cost: u64,
    /// Count and report, never refuse.
    pub shadow: bool,
    /// Overrides the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Overrides the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_store_error: Option<StoreError>,
}

impl Default for PolicyTable {
    fn default() -> Self {
        Self {
            limit: Rate { quota: 60, window: Duration::from_secs(60) },
            burst: None,
            key: Key::One("client".into()),
            algorithm: Counting::Gcra,
            cost: 1,
            shadow: false,
            consistency: None,
            on_store_error: None,
        }
    }
}

/// `key`: one kind or a list of them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected client, address, subject, global, \"header:NAME\", or a list of them")]
pub enum Key {
    /// One kind.
    One(String),
    /// Several, joined.
    Many(Vec<String>),
}

/// An entry of `[rate_limit.tiers]`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of policies or \"unlimited\"")]
pub enum TierEntry {
    /// `"unlimited"`
    Word(String),
    /// Names of policies, in order.
    Policies(Vec<String>),
}

/// A route's `rate_limit`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Route {
    /// Policies added to the tier's.
    Policies(Vec<String>),
    /// More than that.
    Table(RouteTable),
}

/// By hand, as an untagged enum would lose which key of the table is wrong.
impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Route;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of policies, or a table with policies, tiers and cost")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Route, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Route::Policies)
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Route, A::Error> {
                RouteTable::deserialize(MapAccessDeserializer::new(table)).map(Route::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A route's `rate_limit` as a table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTable {
    /// Policies added to the tier's.
    pub policies: Vec<String>,
    /// Whether the tier's policies apply.
    pub tiers: bool,
    /// Units a request costs here, times the policy's own cost.
    pub cost: u64,
}

impl Default for RouteTable {
    fn default() -> Self {
        Self { policies: Vec::new(), tiers: true, cost: 1 }
    }
}
