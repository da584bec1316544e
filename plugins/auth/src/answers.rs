//! What a caller who is not let in is told: constant texts, so that nobody learns which check failed.

use crate::build::tables::FAILURES;
use crate::check::Refused;
use crate::metrics::Outcome;
use crate::shared::Shared;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use std::time::Duration;
use vestibule_plugin::Problem;

/// What a client may do about missing keys: try again this much later.
const KEYS_RETRY: Duration = Duration::from_secs(1);

/// A credential is needed and there is none.
pub(crate) fn missing(shared: &Shared) -> Problem {
    let problem = Problem::new("authentication-required", StatusCode::UNAUTHORIZED, "Authentication required")
        .detail("This needs a credential, and the request has none.");
    challenged(shared, problem, "")
}

/// Nobody can tell which credential was meant.
pub(crate) fn ambiguous(shared: &Shared) -> Problem {
    let problem = Problem::new("invalid-request", StatusCode::BAD_REQUEST, "Ambiguous credential")
        .detail("Send one credential of each kind, on one line of its field.");
    challenged(shared, problem, ", error=\"invalid_request\"")
}

/// The credential is good and not allowed here.
pub(crate) fn forbidden(shared: &Shared, scopes: &[String]) -> Problem {
    let problem = Problem::new("insufficient-scope", StatusCode::FORBIDDEN, "Not allowed")
        .detail("The credential does not allow this.");
    let mut error = ", error=\"insufficient_scope\"".to_owned();
    if !scopes.is_empty() {
        // Scopes hold no quotes and no backslashes; the table is checked for that.
        error.extend([", scope=\"", &scopes.join(" "), "\""]);
    }
    challenged(shared, problem, &error)
}

/// The credential is not accepted.
pub(crate) fn refused(shared: &Shared, refused: Refused) -> Problem {
    match refused {
        Refused::NoKeys => {
            Problem::new("keys-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Credentials cannot be verified")
                .detail("The credential may be good; there is nothing to verify it with at the moment.")
                .retry_after(KEYS_RETRY)
        }
        Refused::Limited(wait) => Problem::new("quota-exceeded", StatusCode::TOO_MANY_REQUESTS, "Quota exceeded")
            .registered("https://iana.org/assignments/http-problem-types#quota-exceeded")
            .detail("Too many credentials from this address were refused.")
            .member("violated-policies", vec![FAILURES])
            .reason(FAILURES)
            .retry_after(wait),
        Refused::Bad(Outcome::BadApiKey) => {
            let problem = Problem::new("invalid-api-key", StatusCode::UNAUTHORIZED, "Invalid API key")
                .detail("The API key is not acceptable.");
            challenged(shared, problem, "")
        }
        Refused::Bad(outcome) => {
            // A signature was good before this is said.
            let why = match outcome {
                Outcome::Expired => "the token has expired",
                _ => "the token is not acceptable",
            };
            let problem =
                Problem::new("invalid-token", StatusCode::UNAUTHORIZED, "Invalid token").detail(match outcome {
                    Outcome::Expired => "The token has expired.",
                    _ => "The token is not acceptable.",
                });
            challenged(shared, problem, &format!(", error=\"invalid_token\", error_description=\"{why}\""))
        }
    }
}

/// With a challenge for each kind of credential there is (RFC 9110 section 11.6.1, RFC 6750 section 3).
fn challenged(shared: &Shared, mut problem: Problem, error: &str) -> Problem {
    if shared.verifies_tokens()
        && let Ok(bearer) = HeaderValue::try_from(format!("Bearer realm=\"vestibule\"{error}"))
    {
        problem = problem.field(WWW_AUTHENTICATE, bearer);
    }
    if shared.api_keys.is_some() {
        problem = problem.field(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"vestibule\""));
    }
    problem
}
