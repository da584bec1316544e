//! `application/problem+json` (RFC 9457). A problem has two readers: the client gets kind and detail, the log gets the
//! cause, and neither gets the other's part.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::trace::TraceId;
use crate::conditional::Tag;
use crate::db::DbError;
use crate::logs;
use crate::text::Invalid;

/// The most errors one answer lists, so that it cannot outgrow the request that caused it by much.
const MAX_ERRORS: usize = 100;

/// A request that is answered with an error.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    current: Option<(Tag, Value)>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// What is wrong with one member of a body (a JSON pointer into it) or one query parameter (`/` and its name).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl FieldError {
    /// An error of the member or parameter `name`.
    pub(crate) fn of(name: &str, reason: &Invalid) -> Self {
        // RFC 6901 section 3.
        let pointer = format!("/{}", logs::clipped(name, 256).replace('~', "~0").replace('/', "~1"));
        Self { pointer, detail: reason.to_string() }
    }

    /// An error of the whole body.
    pub(crate) fn of_body(detail: &str) -> Self {
        Self { pointer: String::new(), detail: detail.to_owned() }
    }
}

macro_rules! kinds {
    ($($variant:ident $slug:literal $status:ident $title:literal,)*) => {
        /// The kinds of problems; each has one status and one title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $($variant,)* }

        impl Kind {
            /// The last part of `type`.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    MalformedBody "malformed-body" BAD_REQUEST "The body is not well-formed JSON",
    Unauthenticated "unauthenticated" UNAUTHORIZED "The request carries no valid credential",
    Forbidden "forbidden" FORBIDDEN "The caller may not do this",
    NotFound "not-found" NOT_FOUND "There is nothing here",
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here",
    BodyTimeout "body-timeout" REQUEST_TIMEOUT "The body did not arrive in time",
    IdTaken "id-taken" CONFLICT "The id exists or existed",
    SlugTaken "slug-taken" CONFLICT "The slug exists or existed",
    VersionConflict "version-conflict" PRECONDITION_FAILED "The item is not in the expected version",
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "The body is too large",
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The content type is not supported",
    Invalid "invalid" UNPROCESSABLE_ENTITY "The request has invalid values",
    InvalidTransition "invalid-transition" UNPROCESSABLE_ENTITY "The status cannot change so",
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong here",
    DatabaseUnavailable "database-unavailable" SERVICE_UNAVAILABLE "The database is not available",
}

impl Problem {
    /// A problem of this kind with a sentence for the client, which must not repeat what the client sent.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { kind, detail: detail.into(), errors: Vec::new(), current: None, cause: None }))
    }

    /// 422 with everything that is wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::new(Kind::Invalid, "See errors.").with_errors(errors)
    }

    /// Adds the members or parameters that are to blame.
    pub(crate) fn with_errors(mut self, mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        self.0.errors = errors;
        self
    }

    /// Adds the item as it is now, and its tag as the `ETag` of the answer.
    pub(crate) fn with_current(mut self, tag: Tag, item: Value) -> Self {
        self.0.current = Some((tag, item));
        self
    }

    /// Adds what the log shall say.
    pub(crate) fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// The members or parameters that are to blame.
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What the log shall say, if anything.
    pub(crate) fn cause(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.0.cause.as_deref()
    }

    /// The last part of `type`.
    pub(crate) fn slug(&self) -> &'static str {
        self.0.kind.as_str()
    }

    /// The body; `instance` names the trace of the request.
    pub(crate) fn body(&self, trace: &TraceId) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Document {
            kind: format!("urn:vestibule-upstream:problem:{}", self.slug()),
            title: self.0.kind.title(),
            status: self.0.kind.status().as_u16(),
            detail: &self.0.detail,
            instance: format!("urn:trace:{trace}"),
            errors: &self.0.errors,
            current: self.0.current.as_ref().map(|(_, item)| item),
        })
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a Value>,
}

impl IntoResponse for Problem {
    /// The head of the answer. The body needs the trace id, so `observe` writes it from the extension left here.
    fn into_response(self) -> Response {
        let mut response = self.0.kind.status().into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.0.kind {
            Kind::DatabaseUnavailable => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            Kind::Unauthenticated => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => None,
        };
        if let Some(tag) = self.0.current.as_ref().and_then(|(tag, _)| HeaderValue::try_from(tag.to_string()).ok()) {
            headers.insert(ETAG, tag);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let problem = match &error {
            DbError::Unavailable(_) | DbError::Slow => Self::new(Kind::DatabaseUnavailable, "Try again shortly."),
            DbError::Unexpected(_) => Self::new(Kind::Internal, "The error has been recorded."),
        };
        problem.caused_by(error)
    }
}
