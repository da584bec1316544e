//! The families of this plugin and the way to their series.

use crate::labels::{self, FAULTS_COUNT, METHODS, STATUSES};
use crate::table::Table;
use http::{Method, StatusCode};
use std::sync::Arc;
use vestibule_plugin::meter::{Desc, Gauge, Histogram, HistogramFamily, Registry};
use vestibule_plugin::{AttemptResult, Deps, RouteId, ServerName};

/// Upper bounds in seconds, as OpenTelemetry advises for HTTP durations.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const SERVER: Desc = Desc {
    name: "http_server_request_duration_seconds",
    help: "Duration of requests, from the first byte of the head to the last byte sent.",
    labels: &["http_request_method", "http_response_status_code", "http_route"],
};
const ACTIVE: Desc = Desc { name: "http_server_active_requests", help: "Requests that are being served.", labels: &[] };
const CLIENT: Desc = Desc {
    name: "http_client_request_duration_seconds",
    help: "Duration of attempts on the upstream, from asking for a connection to the end of the response.",
    labels: &["http_request_method", "http_response_status_code", "server_address", "server_port", "error_type"],
};
const FIRST_BYTE: Desc = Desc {
    name: "vestibule_upstream_first_byte_seconds",
    help: "Time from asking for a connection to the upstream to the head of its response.",
    labels: &[],
};

/// Everything that is counted here.
pub(crate) struct Series {
    pub(crate) active: Gauge,
    pub(crate) first_byte: Histogram,
    server: HistogramFamily,
    client: HistogramFamily,
    routes: Arc<[String]>,
    /// Different upstreams of the file.
    upstreams: Vec<ServerName>,
    /// Position in `upstreams` by route.
    upstream_of: Vec<usize>,
    requests: Table,
    attempts: Table,
}

impl Series {
    pub(crate) fn new(deps: &Deps) -> Self {
        let meter: &Registry = &deps.meter;
        let (upstreams, upstream_of) = distinct(&deps.upstreams);
        let statuses = labels::statuses();
        let statuses: Vec<&str> = statuses.iter().map(AsRef::as_ref).collect();
        let errors = labels::errors();
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        let timed = |desc| {
            meter
                .histogram(desc, &BUCKETS)
                .with_exemplars()
                .closed("http_request_method", &METHODS)
                .closed("http_response_status_code", &statuses)
        };
        Self {
            active: meter.gauge(ACTIVE).with(&[]),
            first_byte: meter.histogram(FIRST_BYTE, &BUCKETS).with(&[]),
            server: timed(SERVER),
            client: timed(CLIENT).closed("error_type", &errors),
            requests: Table::new(deps.route_names.len() * METHODS.len(), STATUSES),
            attempts: Table::new(upstreams.len() * METHODS.len(), STATUSES + FAULTS_COUNT),
            routes: Arc::clone(&deps.route_names),
            upstreams,
            upstream_of,
        }
    }

    /// Durations of requests like this one.
    pub(crate) fn request(&self, method: &Method, status: Option<StatusCode>, route: RouteId) -> Option<&Histogram> {
        let name = self.routes.get(route.index())?;
        let (method, status) = (labels::method(method), labels::status(status));
        self.requests.get(route.index() * METHODS.len() + method, status, || {
            self.server.with(&[METHODS[method], &labels::status_text(status), name])
        })
    }

    /// Durations of attempts like this one.
    pub(crate) fn attempt(&self, method: &Method, result: AttemptResult, route: RouteId) -> Option<&Histogram> {
        let upstream = *self.upstream_of.get(route.index())?;
        let ServerName { address, port } = self.upstreams.get(upstream)?;
        let method = labels::method(method);
        let column = match result {
            AttemptResult::Status(status) => labels::status(Some(status)),
            AttemptResult::Abandoned => labels::status(None),
            AttemptResult::Error(kind) => STATUSES + labels::fault(kind),
        };
        self.attempts.get(upstream * METHODS.len() + method, column, || {
            let port = port.map(|port| port.to_string()).unwrap_or_default();
            let status = if column < STATUSES { labels::status_text(column) } else { "".into() };
            let error =
                if column < STATUSES { labels::error_of(&status) } else { labels::fault_text(column - STATUSES) };
            self.client.with(&[METHODS[method], &status, address, &port, error])
        })
    }
}

/// Each name once, and for each route where its name is.
fn distinct(names: &[ServerName]) -> (Vec<ServerName>, Vec<usize>) {
    let mut distinct: Vec<ServerName> = Vec::new();
    let positions = names
        .iter()
        .map(|name| {
            distinct.iter().position(|known| known == name).unwrap_or_else(|| {
                distinct.push(name.clone());
                distinct.len() - 1
            })
        })
        .collect();
    (distinct, positions)
}
