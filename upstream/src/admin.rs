//! Who is an admin.
//!
//! There are no accounts yet, so it is whoever shows the token of `ADMIN_TOKEN_FILE`; without that variable it is
//! nobody. Accounts with roles will replace this file alone: a route says that it is for admins by taking an [`Admin`].
//! Everybody else gets 403, with or without a token, since there is nothing to sign in to.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::{App, Problem, ProblemKind, shows};

/// The caller is an admin.
#[derive(Debug)]
pub(crate) struct Admin;

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match &app.admin_token {
            Some(token) if shows(&parts.headers, token) => Ok(Self),
            _ => Err(Problem::new(ProblemKind::Forbidden, "Only admins may do this.")),
        }
    }
}
