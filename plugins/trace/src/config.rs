//! The `[trace]` table.

use crate::sampling::Share;
use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vestibule_plugin::{BuildErrors, KeyPath, Otlp};

/// Carries trace context from the caller to the upstream and names each exchange.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `false`: no trace header is read, added or removed.
    pub enabled: bool,
    /// Formats that are read and written; headers of the others pass unchanged. B3 is read in this order.
    pub propagate: Vec<Format>,
    /// `false`: every request starts a new trace, and the caller's trace headers and baggage are dropped.
    pub trust_incoming: bool,
    /// Response field that carries the 32 hex digits of the trace id; `""` sends none.
    pub response_header: String,
    /// Share of the traces started here that are sampled, 0.0 to 1.0; a caller's decision is respected.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,
    /// A collector; the audit trail sends its events there when it has the sink `otlp`. Spans are not exported.
    pub otlp: Otlp,
    /// Name of this service in what is exported.
    pub service_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            propagate: vec![Format::TraceContext, Format::Baggage],
            trust_incoming: true,
            response_header: "x-trace-id".into(),
            sample: 1.0,
            otlp: Otlp::default(),
            service_name: "vestibule".into(),
        }
    }
}

/// A way to write trace context into header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `traceparent` and `tracestate` (W3C Trace Context Level 2).
    TraceContext,
    /// `baggage` (W3C Baggage).
    Baggage,
    /// The single `b3` field.
    B3,
    /// The `x-b3-*` fields.
    B3Multi,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::Baggage => "baggage",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
        }
    }
}

/// Response fields that frame the message, belong to the connection, or mean something to the client that a trace id
/// does not say.
const TAKEN: [&str; 36] = [
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "proxy-authenticate",
    "proxy-connection",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
];

/// A table that makes sense.
pub(crate) struct Checked {
    pub(crate) response_header: Option<HeaderName>,
    pub(crate) share: Share,
}

impl Config {
    /// Checks what the types of the table cannot say.
    pub(crate) fn check(&self) -> Result<Checked, BuildErrors> {
        let mut errors = BuildErrors::default();
        for (at, format) in self.propagate.iter().enumerate() {
            if self.propagate[..at].contains(format) {
                let at = KeyPath::Table(vec!["propagate".into(), at.to_string()]);
                errors.error(at, format!("`{}` is named twice", format.as_str()), "name each format once");
            }
        }
        if !self.otlp.headers.is_empty() && !self.otlp.headers_file.is_empty() {
            let at = KeyPath::table(["otlp", "headers"]);
            errors.error(
                at,
                "both `headers` and `headers_file` are set",
                "keep one of them; `headers_file` is the safer one",
            );
        }
        let share = Share::new(self.sample);
        if share.is_none() {
            let message = format!("`{}` is no share", self.sample);
            errors.error(KeyPath::table(["sample"]), message, "expected a number from 0.0 to 1.0");
        }
        let response_header = match self.response_header.as_str() {
            "" => Ok(None),
            name => name.parse::<HeaderName>().map(Some),
        };
        let usable =
            response_header.as_ref().is_ok_and(|name| name.as_ref().is_none_or(|name| !TAKEN.contains(&name.as_str())));
        if !usable {
            let message = format!("`{}` cannot carry the trace id", self.response_header);
            errors.error(
                KeyPath::table(["response_header"]),
                message,
                "expected the name of a field that has no other meaning, such as \"x-trace-id\", or \"\" for none",
            );
        }
        match (share, response_header) {
            (Some(share), Ok(response_header)) if errors.is_empty() => Ok(Checked { response_header, share }),
            _ => Err(errors),
        }
    }
}
