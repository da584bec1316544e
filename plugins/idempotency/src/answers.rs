//! What a client is told when neither the application nor a stored reply answers.

use crate::config::Syntax;
use crate::key::Invalid;
use crate::policy::CLAIMS_PER_CLIENT;
use crate::replay::REPLAYED;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use std::fmt::Display;
use std::time::Duration;
use vestibule_plugin::Problem;
use vestibule_store::records::{Bound, NotKept, Unknown};

/// When a client may ask again: whatever it waits for is a matter of a second, or the next answer says so again.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn key_missing(header: &HeaderName, syntax: Syntax) -> Problem {
    let example = match syntax {
        Syntax::Strict => "\"8e03978e-40d5\"",
        Syntax::Lenient => "8e03978e-40d5",
    };
    Problem::new("idempotency-key-missing", StatusCode::BAD_REQUEST, "Idempotency key missing").detail(format!(
        "this request needs a key: send a new `{header}: {example}` with each operation, and the same one when you repeat it"
    ))
}

pub(crate) fn key_invalid(header: &HeaderName, Invalid(why): Invalid) -> Problem {
    Problem::new("idempotency-key-invalid", StatusCode::BAD_REQUEST, "Invalid idempotency key")
        .detail(format!("`{header}` cannot be read: {why}"))
}

pub(crate) fn unsupported() -> Problem {
    Problem::new("idempotency-unsupported", StatusCode::BAD_REQUEST, "Not supported with an idempotency key")
        .detail("requests here need a key, and a gRPC call cannot be repeated by one")
}

/// `credentials` are those that would do, in words.
pub(crate) fn principal_missing(challenge: HeaderValue, credentials: &[String]) -> Problem {
    Problem::new("idempotency-principal-missing", StatusCode::UNAUTHORIZED, "Principal missing")
        .detail(format!("a key belongs to a caller: send {}", credentials.join(", or ")))
        .field(WWW_AUTHENTICATE, challenge)
}

pub(crate) fn key_reused() -> Problem {
    Problem::new("idempotency-key-reused", StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused")
        .detail("this key was sent with another request; use a new key for a new operation")
}

pub(crate) fn in_progress() -> Problem {
    Problem::new("idempotency-in-progress", StatusCode::CONFLICT, "In progress")
        .detail("a request with this key is being executed; repeat it to get its reply")
        .retry_after(SOON)
}

/// To the request that executed, 502 or 504; to those that repeat it, 409.
pub(crate) fn outcome_unknown(status: StatusCode, why: Unknown) -> Problem {
    Problem::new("idempotency-outcome-unknown", status, "Outcome unknown").detail(match why {
        Unknown::Upstream => {
            "the application may or may not have done this: it did not say. Look before you send it under a new key"
        }
        Unknown::Lease | Unknown::Shutdown => {
            "the application may or may not have done this: what it said was not kept. Look before you send it under a new key"
        }
    })
}

/// To those that repeat a request, 409; to the first one, 502 when its own reply broke off.
pub(crate) fn response_not_stored(status: StatusCode, original: u16, why: NotKept) -> Problem {
    Problem::new("idempotency-response-not-stored", status, "Response not stored")
        .detail(match why {
            NotKept::TooLarge => {
                format!("the application answered this with {original}; its reply was too large to be kept")
            }
            NotKept::Stream => format!("the application answered this with {original}; its reply was a stream"),
            NotKept::Truncated => format!("the application answered this with {original}; its reply broke off"),
            NotKept::StoreFull => {
                format!("the application answered this with {original}; there was no room for its reply")
            }
            NotKept::Memory => {
                format!("the application answered this with {original}; there was no memory to keep its reply in")
            }
        })
        .member("original_status", original)
}

/// `coding` is that of the stored reply, which is too large without it.
pub(crate) fn not_acceptable(original: StatusCode, coding: &'static str) -> Problem {
    Problem::new("not-acceptable", StatusCode::NOT_ACCEPTABLE, "Not acceptable")
        .detail(format!(
            "the reply to this request was kept in the coding `{coding}`, and is too large without it; \
             repeat the request with `accept-encoding: {coding}`"
        ))
        .member("codings", vec![coding])
        .member("original_status", original.as_u16())
        .field(REPLAYED, HeaderValue::from_static("true"))
}

pub(crate) fn store_unavailable(cause: impl Display) -> Problem {
    Problem::new("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Store unavailable")
        .detail("it cannot be known whether this key was used before; this request was not sent on. Repeat it shortly, with the same key")
        .retry_after(SOON)
        .caused_by(cause)
}

/// `bound` is the one that leaves no room.
pub(crate) fn store_full(bound: Bound) -> Problem {
    let (detail, cause) = match bound {
        Bound::Store => (
            "there is no room to remember this request; it was not sent on. Repeat it later, with the same key",
            "no room for another record; raise [store] memory_max (or maxmemory of the Redis), or shorten ttl",
        ),
        Bound::Principal => (
            "the room that one caller has for such requests is used; this one was not sent on. Repeat it later, with the \
             same key",
            "more than half of [store] memory_max is in use, and this principal has its sixteenth of it; raise \
             memory_max, or shorten ttl",
        ),
        Bound::Address => (
            "the room that one client address has for such requests is used; this one was not sent on. Repeat it later, \
             with the same key",
            "more than half of [store] memory_max is in use, and this client address has its eighth of it; raise \
             memory_max, shorten ttl, or name the load balancer in front in [server] trusted_proxies",
        ),
    };
    Problem::new("store-full", StatusCode::SERVICE_UNAVAILABLE, "Store full")
        .detail(detail)
        .member("bound", bound.as_str())
        .reason(bound.as_str())
        .retry_after(SOON)
        .caused_by(cause)
}

/// After as many new keys from one client address as it may use.
pub(crate) fn too_many_claims(wait: Duration) -> Problem {
    Problem::new("quota-exceeded", StatusCode::TOO_MANY_REQUESTS, "Quota exceeded")
        .registered("https://iana.org/assignments/http-problem-types#quota-exceeded")
        .detail("too many new keys came from this address; this request was not sent on. Repeat it later, with the same key")
        .member("violated-policies", vec![CLAIMS_PER_CLIENT])
        .reason(CLAIMS_PER_CLIENT)
        .retry_after(wait)
}

/// There is a record, and nobody knows who wrote it.
pub(crate) fn record_in_the_clear() -> Problem {
    Problem::new("idempotency-outcome-unknown", StatusCode::CONFLICT, "Outcome unknown").detail(
        "the application may or may not have done this: what is kept of it cannot be trusted. Look before you send it \
         under a new key",
    )
}

/// There is no memory for the reply that is there.
pub(crate) fn no_room() -> Problem {
    Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
        .detail(
            "the reply to this request is there, and there is no memory to send it from; repeat the request shortly",
        )
        .retry_after(SOON)
}

pub(crate) fn overloaded() -> Problem {
    Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
        .detail("too many keyed requests are being executed; this request was not sent on. Repeat it shortly, with the same key")
        .retry_after(SOON)
}
