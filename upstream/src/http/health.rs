//! `/health`: whether the database answers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;

use super::App;
use crate::logs;

/// The answer must be out within 1 s.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(900);

#[derive(Serialize)]
struct Health {
    status: &'static str,
    database: &'static str,
    version: &'static str,
}

/// 200 when the database answered, else 503.
pub(crate) async fn health(State(app): State<App>) -> Response {
    let (status, word) = match timeout(DATABASE_TIMEOUT, app.database.probe()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok"),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, cause = logs::causes(&error), "the database cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let health = Health { status: word, database: word, version: env!("CARGO_PKG_VERSION") };
    (status, [(CACHE_CONTROL, "no-store")], Json(health)).into_response()
}
