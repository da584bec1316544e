//! The two doors of the audit trail: one for the proxy on the internal listener, one for admins on the public one.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::batch::{Batch, MAX_EVENTS};
use super::list_query::ListQuery;
use super::{Fate, Source, ingest, records};
use crate::admin::Admin;
use crate::http::{App, EventBatch, FieldError, Problem, ProblemKind, private_no_cache, require};
use crate::secret::Secret;

/// `/internal/audit-events`, for holders of the token.
pub(crate) fn ingest_router(token: Secret) -> Router<App> {
    Router::new().route("/internal/audit-events", post(take)).route_layer(from_fn_with_state(token, require))
}

/// `/api/v1/admin/audit-logs`, for admins.
pub(crate) fn admin_router() -> Router<App> {
    Router::new().route("/api/v1/admin/audit-logs", get(list))
}

async fn take(State(app): State<App>, EventBatch(body): EventBatch) -> Result<StatusCode, Problem> {
    let Value::Array(events) = body else {
        return Err(Problem::invalid(vec![FieldError::of_body("must be an array of events")]));
    };
    if events.len() > MAX_EVENTS {
        return Err(Problem::new(ProblemKind::BodyTooLarge, format!("A batch has at most {MAX_EVENTS} events.")));
    }
    let count = |fate, events| app.metrics.audit_rows(Source::Proxy, fate, events);
    let batch = Batch::read(events).map_err(|errors| {
        count(Fate::Refused, errors.len());
        Problem::invalid(errors)
    })?;
    let fates = ingest::ingest(&app.database, &batch.events).await?;
    for fate in fates {
        count(fate, 1);
    }
    count(Fate::Dropped, batch.dropped);
    Ok(StatusCode::NO_CONTENT)
}

async fn list(_: Admin, State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let wanted = ListQuery::parse(query.as_deref())?;
    let page = records::list(&app.database, &wanted).await?;
    Ok((private_no_cache(), Json(page)).into_response())
}
