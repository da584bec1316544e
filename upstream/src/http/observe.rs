//! The outermost layer of both routers: names the trace, writes the body of problems, logs and counts the request.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::Response;

use super::Problem;
use super::access::Access;
use super::trace::TraceId;
use crate::logs;
use crate::metrics::Metrics;

/// Runs around every request, matched or not.
pub(crate) async fn observe(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let trace = TraceId::of(request.headers());
    let access = Access::begin(&request, trace.clone(), metrics);
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        write(&mut response, problem, &trace);
    }
    access.end(response.status(), problem.as_ref().map(Problem::slug));
    response
}

fn write(response: &mut Response, problem: &Problem, trace: &TraceId) {
    if let Some(cause) = problem.cause() {
        tracing::warn!(
            trace_id = trace.as_str(),
            problem = problem.slug(),
            error = %cause,
            cause = logs::causes(cause),
            "problem"
        );
    }
    // A problem holds nothing that JSON cannot; its status alone would still be an answer.
    *response.body_mut() = Body::from(problem.body(trace).unwrap_or_default());
    response.headers_mut().remove(CONTENT_LENGTH);
}
