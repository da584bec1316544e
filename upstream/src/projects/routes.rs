//! The routes of projects: read, decide in [`store`], show.

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::body;
use super::edit::Edit;
use super::list_query::ListQuery;
use super::model::Project;
use super::store::{self, Refusal};
use crate::http::{App, FieldError, ItemHeaders, JsonBody, Problem, ProblemKind, preconditions, private_no_cache};
use crate::id::Id;
use crate::text::Invalid;
use crate::timestamp::Timestamp;

const COLLECTION: &str = "/api/v1/projects";

/// Both routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(COLLECTION, get(list).post(create))
        .route("/api/v1/projects/{id}", get(show).put(replace).patch(patch).delete(delete))
}

async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let wanted = ListQuery::parse(query.as_deref())?;
    let page = store::list(&app.database, &wanted).await?;
    // No ETag: the proxy makes the tags of lists.
    Ok((private_no_cache(), Json(page)).into_response())
}

async fn create(State(app): State<App>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let project = store::create(&app.database, body::new_project(body)?, Timestamp::now()).await?;
    let location = [(LOCATION, format!("{COLLECTION}/{}", project.id))];
    Ok((StatusCode::CREATED, location, ItemHeaders(project.tag()), Json(project)).into_response())
}

async fn show(State(app): State<App>, ItemId(id): ItemId, headers: HeaderMap) -> Result<Response, Problem> {
    let project = store::find(&app.database, id).await?.ok_or(Refusal::Absent)?;
    let tag = ItemHeaders(project.tag());
    if preconditions(&headers).excludes(project.tag()) {
        return Ok((StatusCode::NOT_MODIFIED, tag, ()).into_response());
    }
    Ok((tag, Json(project)).into_response())
}

async fn replace(
    app: State<App>,
    id: ItemId,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    change(app, id, headers, body::replacement(body)?).await
}

async fn patch(app: State<App>, id: ItemId, headers: HeaderMap, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    change(app, id, headers, body::merge_patch(body)?).await
}

async fn change(
    State(app): State<App>,
    ItemId(id): ItemId,
    headers: HeaderMap,
    edit: Edit,
) -> Result<Response, Problem> {
    let project = store::update(&app.database, id, &preconditions(&headers), edit, Timestamp::now()).await?;
    Ok((ItemHeaders(project.tag()), Json(project)).into_response())
}

async fn delete(State(app): State<App>, ItemId(id): ItemId, headers: HeaderMap) -> Result<Response, Problem> {
    store::delete(&app.database, id, &preconditions(&headers), Timestamp::now()).await?;
    Ok((StatusCode::NO_CONTENT, private_no_cache()).into_response())
}

/// The id in the path of an item. A last part that is no id, or not even UTF-8, names nothing.
struct ItemId(Id);

impl<S: Send + Sync> FromRequestParts<S> for ItemId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| Id::parse(&text).ok());
        Ok(Self(id.ok_or(Refusal::Absent)?))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => Self::new(ProblemKind::NotFound, "There is no such project."),
            Refusal::Conflict(current) => conflict(&current),
            Refusal::BackToUnknown => taken(ProblemKind::InvalidTransition, "status", "must not go back to unknown"),
            Refusal::IdTaken => taken(ProblemKind::IdTaken, "id", "exists or existed"),
            Refusal::SlugTaken => taken(ProblemKind::SlugTaken, "slug", "exists or existed"),
            Refusal::Database(error) => error.into(),
        }
    }
}

fn taken(slug: ProblemKind, field: &str, reason: &'static str) -> Problem {
    Problem::new(slug, "See errors.").with_errors(vec![FieldError::of(field, &Invalid::new(reason))])
}

fn conflict(current: &Project) -> Problem {
    let problem = Problem::new(ProblemKind::VersionConflict, "Read the item in current, then try again with its tag.");
    match serde_json::to_value(current) {
        Ok(item) => problem.with_current(current.tag(), item),
        Err(error) => problem.caused_by(error),
    }
}
