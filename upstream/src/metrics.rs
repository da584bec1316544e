//! What Prometheus reads. Every label value comes from a closed set: never from a client.

use std::time::Duration;

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::audit::{Fate, Source};
use crate::db::{Call, Outcome};

const HTTP_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const DB_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
const DB_SYSTEM: &str = "sqlite";

/// The families of this process; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    http: HistogramVec,
    db: HistogramVec,
    connections: IntGaugeVec,
    audit: IntCounterVec,
}

impl Metrics {
    /// Registers every family once.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            http: HistogramVec::new(
                HistogramOpts::new(
                    "http_server_request_duration_seconds",
                    "Time to answer a request, by route template.",
                )
                .buckets(HTTP_BUCKETS.to_vec()),
                &["http_request_method", "http_route", "http_response_status_code"],
            )?,
            db: HistogramVec::new(
                HistogramOpts::new(
                    "db_client_operation_duration_seconds",
                    "Time of one statement; BEGIN holds the wait for a connection and for the write lock.",
                )
                .buckets(DB_BUCKETS.to_vec()),
                &["db_system_name", "db_operation_name", "db_collection_name", "error_type"],
            )?,
            connections: IntGaugeVec::new(
                Opts::new("db_client_connection_count", "Open database connections."),
                &["db_client_connection_state"],
            )?,
            audit: IntCounterVec::new(
                Opts::new("upstream_audit_rows_total", "Audit rows and events, by what became of them."),
                &["source", "outcome"],
            )?,
        };
        metrics.registry.register(Box::new(metrics.http.clone()))?;
        metrics.registry.register(Box::new(metrics.db.clone()))?;
        metrics.registry.register(Box::new(metrics.connections.clone()))?;
        metrics.registry.register(Box::new(metrics.audit.clone()))?;
        for fate in Fate::ALL {
            metrics.audit_rows(Source::Proxy, fate, 0);
        }
        Ok(metrics)
    }

    /// One request was answered. `status` is empty when the client left before a head.
    pub(crate) fn request(&self, method: &str, route: &str, status: &str, took: Duration) {
        self.http.with_label_values(&[known_method(method), route, status]).observe(took.as_secs_f64());
    }

    /// One statement came to its end.
    pub(crate) fn statement(&self, call: Call, outcome: Outcome, took: Duration) {
        let labels = [DB_SYSTEM, call.operation.as_str(), call.collection.as_str(), outcome.error_type()];
        self.db.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// So many audit rows, or events that might have become rows, met this fate.
    pub(crate) fn audit_rows(&self, source: Source, fate: Fate, count: usize) {
        self.audit.with_label_values(&[source.as_str(), fate.as_str()]).inc_by(count as u64);
    }

    /// The text exposition format 0.0.4, with the number of connections as of now.
    pub(crate) fn exposition(&self, idle: i64, used: i64) -> Result<Vec<u8>, prometheus::Error> {
        self.connections.with_label_values(&["idle"]).set(idle);
        self.connections.with_label_values(&["used"]).set(used);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_a_client_is_never_a_label() {
        assert_eq!(known_method("GET"), "GET");
        assert_eq!(known_method("get"), "_OTHER");
        assert_eq!(known_method("BREW"), "_OTHER");
    }
}
