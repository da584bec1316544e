//! Calls on the admin listener that a plugin answers.

use http::Method;

/// A call below `/<plugin>/` on the admin listener; already authorised.
#[derive(Debug)]
pub struct AdminCall<'a> {
    /// GET or DELETE.
    pub method: &'a Method,
    /// Percent-decoded segments behind the plugin's own.
    pub segments: &'a [String],
    /// The query string without `?`; empty when there is none.
    pub query: &'a str,
}

/// What to answer.
#[derive(Debug, PartialEq)]
pub enum AdminReply {
    /// 200 with this JSON.
    Json(serde_json::Value),
    /// 204.
    Done,
    /// 404 with this explanation.
    NotFound(String),
    /// 400 with this explanation.
    BadRequest(String),
    /// 409 with this explanation.
    Conflict(String),
    /// 405: the path exists, but only for these methods, as they stand in `Allow`.
    MethodNotAllowed(&'static str),
    /// 503: the store did not answer.
    Unavailable(String),
}
