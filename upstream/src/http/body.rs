//! Request bodies: JSON, at most 1 MiB, within 10 s.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::Problem;
use super::problem::Kind;

const MAX_BYTES: usize = 1024 * 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The layer that holds every body to 1 MiB.
pub(crate) fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(MAX_BYTES)
}

/// A body that is well-formed JSON; what it says is still to be read.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match media_type(request.headers()).as_str() {
            "application/json" => {}
            "application/merge-patch+json" if request.method() == Method::PATCH => {}
            _ => {
                return Err(Problem::new(
                    Kind::UnsupportedMediaType,
                    "Send application/json; a PATCH may be application/merge-patch+json.",
                ));
            }
        }
        json(request, state).await.map(Self)
    }
}

/// A body that is well-formed JSON and was sent as a batch of CloudEvents.
#[derive(Debug)]
pub(crate) struct EventBatch(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for EventBatch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if media_type(request.headers()) != "application/cloudevents-batch+json" {
            return Err(Problem::new(Kind::UnsupportedMediaType, "Send application/cloudevents-batch+json."));
        }
        json(request, state).await.map(Self)
    }
}

/// The media type without its parameters, in lower case; empty unless there is exactly one.
fn media_type(headers: &HeaderMap) -> String {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return String::new() };
    line.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn json<S: Send + Sync>(request: Request, state: &S) -> Result<Value, Problem> {
    let bytes = match timeout(READ_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Problem::new(Kind::BodyTooLarge, "A body has at most 1 MiB."));
        }
        Ok(Err(rejection)) => {
            return Err(Problem::new(Kind::MalformedBody, "The body broke off.").caused_by(rejection));
        }
        Err(_) => return Err(Problem::new(Kind::BodyTimeout, "A body must arrive within 10 s.")),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let place = format!("Not JSON at line {}, column {}.", error.line(), error.column());
        Problem::new(Kind::MalformedBody, place)
    })
}
