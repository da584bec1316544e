//! `/api/v1/config`: what a client may know before it begins. No secret, nothing about one caller.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::page::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE};

#[derive(Serialize)]
struct ClientConfig {
    name: &'static str,
    version: &'static str,
    /// Each switch that clients should know of; none exists yet.
    features: BTreeMap<&'static str, bool>,
    page_size: PageSize,
    idempotency: Idempotency,
}

#[derive(Serialize)]
struct PageSize {
    default: u32,
    max: u32,
}

#[derive(Serialize)]
struct Idempotency {
    header: &'static str,
    ttl_seconds: u32,
}

/// The same for everybody.
pub(crate) async fn client_config(State(app): State<App>) -> Response {
    let config = ClientConfig {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        features: BTreeMap::new(),
        page_size: PageSize { default: DEFAULT_PAGE_SIZE, max: MAX_PAGE_SIZE },
        idempotency: Idempotency { header: "Idempotency-Key", ttl_seconds: app.idempotency_ttl.get() },
    };
    ([(CACHE_CONTROL, "public, max-age=60")], Json(config)).into_response()
}
