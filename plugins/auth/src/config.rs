//! `[auth]` and a route's `auth`, as written.

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use vestibule_plugin::units::Span;

/// The table `[auth]`.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who needs a credential.
    pub mode: Mode,
    /// `iss` of every token; empty: not checked.
    pub issuer: String,
    /// One of these is in `aud` of every token; empty: not checked.
    pub audience: Vec<String>,
    /// Signature algorithms in use; HS256 alone, and only with `secret_file`.
    pub algorithms: Vec<String>,
    /// Where the key set is fetched from. One source of keys: `jwks_url`, `jwks_file`, `public_key_file` or
    /// `secret_file`.
    pub jwks_url: String,
    /// A key set in a file.
    pub jwks_file: String,
    /// One public key in PEM.
    pub public_key_file: String,
    /// A secret shared with the issuer, for HS256; at least 32 bytes.
    pub secret_file: String,
    /// How often the key set is fetched again; a shorter max-age of the answer is respected.
    pub jwks_refresh: Span,
    /// Least time between fetches caused by key ids nobody knows.
    pub jwks_cooldown: Span,
    /// One fetch, from connect to the last byte.
    pub jwks_timeout: Span,
    /// How long the last good keys serve while fetching fails.
    pub jwks_max_stale: Span,
    /// Authorities for `jwks_url` in PEM; empty: those of the web.
    pub jwks_ca_file: String,
    /// How far clocks may be apart; at most 5m.
    pub leeway: Span,
    /// How long a token may live; "0s": as long as it says.
    pub max_lifetime: Span,
    /// Claims that the application is told, and the field for each; a name that starts with `/` is a JSON pointer.
    pub claim_headers: BTreeMap<String, String>,
    /// Whether the application gets the credential as well.
    pub forward_token: bool,
    /// API keys by their hashes; a TOML file of `[[key]]` tables.
    pub api_keys_file: String,
    /// The field that an API key comes in.
    pub api_key_header: String,
    /// Verified tokens that are remembered, never past their end; 0: none.
    pub token_cache: usize,
    /// Bad credentials from one client address; over it 429 and nothing is verified; "off".
    pub failure_limit: String,
}

impl Default for Config {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            mode: Mode::Optional,
            issuer: String::new(),
            audience: Vec::new(),
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).into(),
            jwks_url: String::new(),
            jwks_file: String::new(),
            public_key_file: String::new(),
            secret_file: String::new(),
            jwks_refresh: seconds(600),
            jwks_cooldown: seconds(10),
            jwks_timeout: seconds(2),
            jwks_max_stale: seconds(24 * 3600),
            jwks_ca_file: String::new(),
            leeway: seconds(30),
            max_lifetime: seconds(24 * 3600),
            claim_headers: [("sub", "x-auth-subject"), ("roles", "x-auth-roles")]
                .map(|(claim, field)| (claim.to_owned(), field.to_owned()))
                .into(),
            forward_token: true,
            api_keys_file: String::new(),
            api_key_header: "x-api-key".to_owned(),
            token_cache: 10_000,
            failure_limit: "600/min".to_owned(),
        }
    }
}

/// Who needs a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No credential is looked at.
    Off,
    /// A bad one is refused, none is anonymous.
    #[default]
    Optional,
    /// None is refused, too.
    Required,
}

/// A route's `auth`.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Route {
    /// Its mode.
    Mode(Mode),
    /// More than that.
    Table(RouteTable),
}

/// A route's `auth` as a table.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTable {
    /// Overrides the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// All of these are needed.
    pub scopes: Vec<String>,
    /// Of each claim one of these values is needed; a name that starts with `/` is a JSON pointer.
    pub claims: BTreeMap<String, Vec<String>>,
}

/// By hand, as an untagged enum would lose which key of the table is wrong.
impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Route;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, optional, required, or a table with mode, scopes and claims")
            }
            fn visit_str<E: serde::de::Error>(self, mode: &str) -> Result<Route, E> {
                Mode::deserialize(StrDeserializer::new(mode)).map(Route::Mode)
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Route, A::Error> {
                RouteTable::deserialize(MapAccessDeserializer::new(table)).map(Route::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
