//! Answers that do not come from the application.

use crate::fields::Fields;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{StatusCode, header};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A response written here instead of by the upstream.
#[derive(Debug)]
pub enum Response {
    /// An error; the host chooses its form (JSON, HTML, gRPC trailers).
    Problem(Problem),
    /// A complete response, sent as it is.
    Full(FullResponse),
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<FullResponse> for Response {
    fn from(full: FullResponse) -> Self {
        Self::Full(full)
    }
}

/// A complete response.
#[derive(Debug)]
pub struct FullResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without framing: the host writes `content-length`.
    pub fields: Fields,
    /// Its body; not sent for HEAD, 204 and 304.
    pub body: Bytes,
}

/// gRPC status codes that HTTP refusals map to (grpc/doc/statuscodes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcStatus {
    /// 3
    InvalidArgument = 3,
    /// 4
    DeadlineExceeded = 4,
    /// 7
    PermissionDenied = 7,
    /// 8
    ResourceExhausted = 8,
    /// 9
    FailedPrecondition = 9,
    /// 12
    Unimplemented = 12,
    /// 13
    Internal = 13,
    /// 14
    Unavailable = 14,
    /// 16
    Unauthenticated = 16,
}

/// An error answer (RFC 9457) with its two readers: `detail` is for the client, `cause` for the log, never mixed.
pub struct Problem {
    /// The last part of its type; its name in logs and metrics.
    pub slug: &'static str,
    /// The full type when it is a registered one, else `urn:vestibule:problem:<slug>` is meant.
    pub registered_type: Option<&'static str>,
    /// The status.
    pub status: StatusCode,
    /// A short summary that is the same for every occurrence.
    pub title: &'static str,
    /// What happened this time and what to do about it.
    pub detail: Cow<'static, str>,
    /// Further members of the JSON object.
    pub members: Vec<(&'static str, serde_json::Value)>,
    /// Further fields of the response.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The status a gRPC client gets.
    pub grpc: GrpcStatus,
    /// Which rule refused, in a word or two that hold nothing of the request: an outcome, names of policies. For those who
    /// account for refusals; the client is not told.
    pub reason: Option<Cow<'static, str>>,
    /// For the log.
    pub cause: Option<String>,
}

impl Problem {
    /// A problem of type `urn:vestibule:problem:<slug>`.
    pub fn new(slug: &'static str, status: StatusCode, title: &'static str) -> Self {
        let grpc = match status.as_u16() {
            401 => GrpcStatus::Unauthenticated,
            403 => GrpcStatus::PermissionDenied,
            408 | 504 => GrpcStatus::DeadlineExceeded,
            409 | 412 | 428 => GrpcStatus::FailedPrecondition,
            429 | 413 | 431 => GrpcStatus::ResourceExhausted,
            501 | 404 | 405 => GrpcStatus::Unimplemented,
            502 | 503 => GrpcStatus::Unavailable,
            400..=499 => GrpcStatus::InvalidArgument,
            _ => GrpcStatus::Internal,
        };
        Self {
            slug,
            registered_type: None,
            status,
            title,
            detail: Cow::Borrowed(""),
            members: Vec::new(),
            fields: Vec::new(),
            grpc,
            reason: None,
            cause: None,
        }
    }

    /// With a type registered with IANA.
    pub fn registered(mut self, uri: &'static str) -> Self {
        self.registered_type = Some(uri);
        self
    }

    /// With an explanation for the client.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With a further member.
    pub fn member(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// With a further field.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With `retry-after`: whole seconds, rounded up, at least 1 (RFC 9110 section 10.2.3).
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.field(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// With the rule that refused.
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With an explanation for the log.
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Its type as sent.
    pub fn type_uri(&self) -> Cow<'static, str> {
        match self.registered_type {
            Some(uri) => Cow::Borrowed(uri),
            None => Cow::Owned(format!("urn:vestibule:problem:{}", self.slug)),
        }
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({} {})", self.status.as_u16(), self.slug)
    }
}
