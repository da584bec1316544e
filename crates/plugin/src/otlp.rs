//! Where telemetry goes: `[trace] otlp`, for every plugin that sends some.

use crate::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A collector that speaks OTLP.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Its address, e.g. `http://127.0.0.1:4318`; empty: nothing is sent.
    pub endpoint: String,
    /// What it speaks.
    pub protocol: OtlpProtocol,
    /// Fields sent with every request; their values count as secrets.
    pub headers: BTreeMap<String, String>,
    /// The same in a file, a line `name: value` each.
    pub headers_file: String,
    /// Authorities for an https endpoint in PEM; empty: those of the web.
    pub ca_file: String,
    /// Longest time that one request takes.
    pub timeout: Span,
    /// Spans that wait to be sent.
    pub queue: usize,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: OtlpProtocol::Http,
            headers: BTreeMap::new(),
            headers_file: String::new(),
            ca_file: String::new(),
            timeout: Span(Duration::from_secs(5)),
            queue: 2048,
        }
    }
}

/// What a collector speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP/HTTP.
    #[default]
    Http,
    /// OTLP/gRPC.
    Grpc,
}

/// What every sender of telemetry goes by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Telemetry {
    /// Where it goes.
    pub otlp: Otlp,
    /// `service.name`
    pub service_name: String,
}
