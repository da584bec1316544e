//! The `[trace]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Name of this service in exported spans.
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
