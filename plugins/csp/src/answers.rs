//! What senders of reports are told. Nothing of what they sent is repeated.

use crate::report::Malformed;
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ALLOW, CACHE_CONTROL, HeaderName, HeaderValue,
};
use vestibule_plugin::units::Size;
use vestibule_plugin::{Fields, FullResponse, Problem};

fn no_content<const N: usize>(fields: [(HeaderName, &'static str); N]) -> FullResponse {
    let fields = fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    FullResponse { status: StatusCode::NO_CONTENT, fields: Fields::from_iter(fields), body: Bytes::new() }
}

/// It came, whatever becomes of it.
pub(crate) fn taken() -> FullResponse {
    no_content([(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (CACHE_CONTROL, "no-store")])
}

/// To the question of a browser whether another origin's page may send reports here (Fetch standard).
pub(crate) fn preflight() -> FullResponse {
    no_content([
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ])
}

pub(crate) fn wrong_method() -> Problem {
    Problem::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .detail("reports are sent with POST")
        .field(ALLOW, HeaderValue::from_static("POST, OPTIONS"))
}

pub(crate) fn wrong_type() -> Problem {
    Problem::new("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type").detail(
        "reports are JSON without a content coding, sent as application/csp-report, application/reports+json, \
         application/json or text/plain",
    )
}

pub(crate) fn too_large(most: Size) -> Problem {
    Problem::new("content-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Content Too Large")
        .detail(format!("the reports of one request may have at most {most}"))
}

pub(crate) fn malformed(why: Malformed) -> Problem {
    Problem::new("bad-report", StatusCode::BAD_REQUEST, "Bad Report").detail(why.0)
}
