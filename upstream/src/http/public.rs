//! The public listener.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use super::client_config::client_config;
use super::health::health;
use super::observe::observe;
use super::problem::{Kind, Problem};
use super::{App, body};
use crate::{audit, projects};

/// Everything the public may reach.
pub(crate) fn public(app: App) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/v1/config", get(client_config))
        .merge(projects::router())
        .merge(audit::admin_router())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(body::limit())
        .layer(from_fn_with_state(app.metrics.clone(), observe))
        .with_state(app)
}

/// The answer to every path that has no route.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "No resource has this path.")
}

/// The answer to a method that a path does not have; `Allow` names those it has.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "See the field Allow.")
}
