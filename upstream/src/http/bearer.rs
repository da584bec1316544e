//! Bearer tokens (RFC 6750 section 2.1) of callers that are machines.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use super::Problem;
use super::problem::Kind;
use crate::secret::Secret;

const SCHEME: &[u8] = b"Bearer ";

/// The layer around routes that only a holder of the token may reach; the body of anybody else is not read.
pub(crate) async fn require(State(token): State<Secret>, request: Request, next: Next) -> Result<Response, Problem> {
    if shows(request.headers(), &token) {
        Ok(next.run(request).await)
    } else {
        Err(Problem::new(Kind::Unauthenticated, "Send the token as authorization: Bearer."))
    }
}

/// Whether the one `authorization` field of a request holds this token.
pub(crate) fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    match line.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, sent)) => scheme.eq_ignore_ascii_case(SCHEME) && token.matches(sent),
        None => false,
    }
}
