//! The access line and the duration of a request: exactly one of each, whatever ends it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;

use super::trace::TraceId;
use crate::logs;
use crate::metrics::Metrics;

const MAX_PATH_BYTES: usize = 512;

/// A request under way. Dropped without [`Access::end`], its client has left.
pub(crate) struct Access {
    begun: Instant,
    metrics: Metrics,
    trace: TraceId,
    method: String,
    route: String,
    path: String,
    end: End,
}

enum End {
    ClientGone,
    Answered { status: StatusCode, problem: Option<&'static str> },
}

impl Access {
    /// Takes down what is known at the start.
    pub(crate) fn begin(request: &Request, trace: TraceId, metrics: Metrics) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        Self {
            begun: Instant::now(),
            metrics,
            trace,
            method: request.method().to_string(),
            route: route.to_owned(),
            path: logs::clipped(request.uri().path(), MAX_PATH_BYTES).to_owned(),
            end: End::ClientGone,
        }
    }

    /// The answer is made.
    pub(crate) fn end(mut self, status: StatusCode, problem: Option<&'static str>) {
        self.end = End::Answered { status, problem };
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let (status, problem, end) = match self.end {
            End::ClientGone => (None, None, "client_gone"),
            End::Answered { status, problem } => (Some(status), problem, "ok"),
        };
        self.metrics.request(&self.method, &self.route, status.as_ref().map_or("", StatusCode::as_str), took);
        tracing::info!(
            trace_id = self.trace.as_str(),
            route = self.route,
            method = self.method,
            path = self.path,
            status = status.map(|status| status.as_u16()),
            duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3,
            problem,
            end,
            "request"
        );
    }
}
