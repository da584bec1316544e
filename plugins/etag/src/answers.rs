//! What requests are refused with.

use http::header::{ETAG, HeaderValue};
use http::{Method, StatusCode};
use std::time::Duration;
use vestibule_plugin::Problem;
use vestibule_store::locks::NotHad;

/// When a client may try again what failed for a moment.
const SOON: Duration = Duration::from_secs(1);

/// `If-Match` names tags that the application has never seen.
pub(crate) fn if_match_unsupported() -> Problem {
    Problem::new("if-match-unsupported", StatusCode::PRECONDITION_FAILED, "If-Match Not Supported").detail(
        "the tag was made by a proxy and the application does not know it, so nothing could tell whether this write is \
         based on current content; nothing was changed",
    )
}

/// The write rests on something else than what there is.
pub(crate) fn precondition_failed(current: Option<HeaderValue>) -> Problem {
    let problem = Problem::new("precondition-failed", StatusCode::PRECONDITION_FAILED, "Precondition Failed")
        .detail("the resource is not what this request is based on; nothing was changed: get it again and decide anew");
    match current {
        Some(tag) => problem.field(ETAG, tag),
        None => problem,
    }
}

/// A read asks for other content than there is.
pub(crate) fn read_precondition_failed(current: Option<HeaderValue>) -> Problem {
    let problem = Problem::new("precondition-failed", StatusCode::PRECONDITION_FAILED, "Precondition Failed")
        .detail("the resource is not what this request asks for: get it again without If-Match");
    match current {
        Some(tag) => problem.field(ETAG, tag),
        None => problem,
    }
}

/// `If-Match` of a read with a body names tags that the application has never seen.
pub(crate) fn if_match_unsupported_by_read() -> Problem {
    Problem::new("if-match-unsupported", StatusCode::PRECONDITION_FAILED, "If-Match Not Supported").detail(
        "the tag was made by a proxy and the application does not know it; what a GET with a body asks for is not judged",
    )
}

/// The write does not say what it rests on.
pub(crate) fn precondition_required(method: &Method) -> Problem {
    let detail = if method == Method::PUT {
        "send If-Match with the ETag of the content that this change is based on, or If-None-Match: * to create"
    } else {
        "send If-Match with the ETag of the content that this change is based on"
    };
    Problem::new("precondition-required", StatusCode::PRECONDITION_REQUIRED, "Precondition Required").detail(detail)
}

/// Other writes to the same resource took too long, or nobody can tell.
pub(crate) fn no_lock(why: &NotHad) -> Problem {
    match why {
        NotHad::Busy => Problem::new("lock-timeout", StatusCode::SERVICE_UNAVAILABLE, "Resource Busy")
            .detail("other writes to this resource are under way; nothing was changed, try again")
            .retry_after(SOON),
        NotHad::Outage(outage) => store_unavailable(outage),
    }
}

/// Without the store nobody can tell whether somebody else writes.
pub(crate) fn store_unavailable(why: impl std::fmt::Display) -> Problem {
    Problem::new("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Store Unavailable")
        .detail("writes to this resource cannot be kept apart at the moment; nothing was changed, try again")
        .retry_after(SOON)
        .caused_by(why)
}
