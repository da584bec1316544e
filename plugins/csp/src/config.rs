//! `[csp]` and a route's `csp`, as written.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::time::Duration;
use vestibule_plugin::units::{Rate, Size};

/// The table `[csp]`.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The header that HTML responses without one get; "" adds none.
    pub policy: String,
    /// What browsers do about it.
    pub mode: Mode,
    /// Where browsers send reports; taken by the proxy itself when `reports` is on.
    pub report_path: String,
    /// Whether reports are collected.
    pub reports: bool,
    /// Share of the repeated violations that are delivered to sinks once a minute; all are counted. 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,
    /// Whether cleaned paths are kept; false: origins only.
    pub keep_paths: bool,
    /// Reports that are dropped as noise, beside those of browser extensions: `scheme:` or `[scheme://]host[:port]`; a
    /// host may start with `*.`.
    pub ignore: Vec<String>,
    /// Largest body of a request with reports; 1KiB to 1MiB.
    pub max_body: Size,
    /// Where records go: log, "file:PATH", "http(s)://…", or store (a Redis stream).
    pub sinks: Vec<String>,
    /// Bearer token for http(s) sinks, literally; rather use `sink_token_file`.
    pub sink_token: String,
    /// File with the bearer token for http(s) sinks.
    pub sink_token_file: String,
    /// Reports taken from one client address.
    pub rate: Rate,
    /// Only reports about these origins are heard, e.g. `https://app.example.com`; empty: any.
    pub origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: String::new(),
            mode: Mode::ReportOnly,
            report_path: "/_vestibule/reports".to_owned(),
            reports: false,
            sample: 1.0,
            keep_paths: true,
            ignore: Vec::new(),
            max_body: Size(64 << 10),
            sinks: vec!["log".to_owned()],
            sink_token: String::new(),
            sink_token_file: String::new(),
            rate: Rate { quota: 300, window: Duration::from_secs(60) },
            origins: Vec::new(),
        }
    }
}

/// What browsers do about a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They follow it.
    Enforce,
    /// They only report what they would refuse.
    #[default]
    ReportOnly,
    /// They get none.
    Off,
}

/// A route's `csp`.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Route {
    /// `false`: nothing is added on this route. `true`: as `[csp]` says.
    Switch(bool),
    /// Its policy.
    Policy(String),
    /// Its policy and mode.
    Table(RouteTable),
}

impl Default for Route {
    fn default() -> Self {
        Self::Switch(true)
    }
}

/// A route's `csp` as a table.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTable {
    /// See [`Config::policy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// See [`Config::mode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// By hand, as an untagged enum would lose which key of the table is wrong.
impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Route;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy, false, or a table with policy and mode")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Route, E> {
                Ok(Route::Switch(on))
            }
            fn visit_str<E: de::Error>(self, policy: &str) -> Result<Route, E> {
                Ok(Route::Policy(policy.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Route, A::Error> {
                RouteTable::deserialize(MapAccessDeserializer::new(table)).map(Route::Table)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
