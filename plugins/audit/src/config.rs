//! `[audit]` and a route's `audit`, as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};

/// The table `[audit]`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the log is; made with mode 0700 when it is missing. Takes effect at restart.
    pub dir: String,
    /// What becomes of requests to audited routes while nothing can be written.
    pub on_error: OnError,
    /// With `closed`: longest wait for a record to be on disk, then 503; 10ms to 1m.
    pub timeout: Span,
    /// Who gets every event: `stdout`, `http://…`, `https://…`, `store`, `otlp`,
    /// `syslog:HOST:PORT`.
    pub sinks: Vec<String>,
    /// Names whose values are hidden: any name that contains one of these, letters and digits alone compared.
    pub redact: Vec<String>,
    /// Bearer token for http and https sinks.
    pub sink_token: String,
    /// The same in a file.
    pub sink_token_file: String,
    /// How a verified subject is written.
    pub subject: Subject,
    /// An Ed25519 key in PEM that signs checkpoints; empty: they are not signed.
    pub sign_key_file: String,
    /// How often a checkpoint is written while there are records; 1s to 1h.
    pub checkpoint: Span,
    /// A segment of this size is followed by the next; 64KiB to 16GiB.
    pub rotate_bytes: Size,
    /// How long delivered segments stay; at least 1s.
    pub keep: Span,
    /// Bytes of `dir`; beyond them delivered segments go early, and when there are none the disk counts as full.
    pub max_bytes: Size,
    /// Whether JSON request bodies of audited routes are kept, redacted; at most 64KiB each.
    pub capture_body: bool,
}

impl Default for Config {
    fn default() -> Self {
        let days = |days: u64| Span(Duration::from_secs(days * 86_400));
        let words = ["password", "token", "secret", "authorization", "cookie", "set-cookie", "totp", "card"];
        Self {
            dir: "./audit".to_owned(),
            on_error: OnError::Open,
            timeout: Span(Duration::from_secs(1)),
            sinks: Vec::new(),
            redact: words.map(str::to_owned).into(),
            sink_token: String::new(),
            sink_token_file: String::new(),
            subject: Subject::Clear,
            sign_key_file: String::new(),
            checkpoint: Span(Duration::from_secs(60)),
            rotate_bytes: Size(64 << 20),
            keep: days(90),
            max_bytes: Size(10 << 30),
            capture_body: false,
        }
    }
}

/// What becomes of requests to audited routes while nothing can be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// They are served; the log says afterwards how many events it lacks.
    #[default]
    Open,
    /// 503, before the application sees anything.
    Closed,
}

/// How a verified subject is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// As it is, unless it looks like an address.
    #[default]
    Clear,
    /// A keyed hash.
    Hash,
}

/// The `audit` key of a route: an audited route.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// What is done, e.g. `auth.login`; may hold `{method}` and parameters of the path. Empty: `<route>.<method>`.
    pub action: String,
    /// What it is done to, e.g. `session:{id}`. Empty: `route:<name>`.
    pub resource: String,
}
