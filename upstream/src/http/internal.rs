//! The internal listener, for the operator's machinery only.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::observe::observe;
use super::problem::{Kind, Problem};
use super::public::{method_not_allowed, not_found};
use super::{App, body};
use crate::audit;

/// Everything the operator may reach.
pub(crate) fn internal(app: App) -> Router {
    let ingest = app.ingest_token.clone().map_or_else(Router::new, audit::ingest_router);
    Router::new()
        .route("/livez", get(livez))
        .route("/metrics", get(metrics))
        .merge(ingest)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(body::limit())
        .layer(from_fn_with_state(app.metrics.clone(), observe))
        .with_state(app)
}

/// The process runs. It says nothing of the database, so a database that is down restarts nobody.
async fn livez() -> StatusCode {
    StatusCode::OK
}

async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let (idle, used) = app.database.connections();
    match app.metrics.exposition(idle, used) {
        Ok(text) => Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()),
        Err(error) => Err(Problem::new(Kind::Internal, "The error has been recorded.").caused_by(error)),
    }
}
