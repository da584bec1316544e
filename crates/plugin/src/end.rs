//! How an exchange ended.

use crate::Monotonic;
use http::{Method, StatusCode, Version};
use std::time::Duration;

/// What is known when the last byte was sent, or when none will be.
#[derive(Debug)]
pub struct End<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The version between client and proxy.
    pub version: Version,
    /// Status of the head that left; `None` when none did.
    pub status: Option<StatusCode>,
    /// What ended it.
    pub ended: Ended,
    /// Who wrote the response.
    pub answered_by: AnsweredBy,
    /// Slug of the problem that was answered here.
    pub problem: Option<&'a str>,
    /// Why, in more detail; see [`Problem::reason`](crate::Problem::reason).
    pub reason: Option<&'a str>,
    /// When the first byte of the request head came.
    pub began: Monotonic,
    /// From `began` to the last byte sent; to the head for a 101 and for event streams.
    pub duration: Duration,
    /// From `began` to the head of the response.
    pub first_byte: Option<Duration>,
    /// Attempts on the upstream, in order.
    pub attempts: &'a [Attempt],
    /// Bytes of request body read.
    pub request_bytes: u64,
    /// Bytes of response body sent.
    pub response_bytes: u64,
}

/// What ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The response was sent to its end.
    Ok,
    /// The client left before that.
    ClientGone,
    /// The upstream failed.
    UpstreamError,
    /// A deadline passed.
    Timeout,
    /// The proxy stopped.
    Drained,
    /// The edge refused the head; the answer was sent to its end.
    Refused,
}

impl Ended {
    /// As written in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientGone => "client_gone",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Drained => "drained",
            Self::Refused => "refused",
        }
    }
}

/// Who wrote the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The application.
    Upstream,
    /// The plugin of this name.
    Plugin(&'static str),
    /// The proxy itself: edge rules, limits, a failed upstream.
    Edge,
}

impl AnsweredBy {
    /// As written in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Plugin(name) => name,
            Self::Edge => "edge",
        }
    }
}

/// One attempt on the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// From asking for a connection to the end of the response, or to the failure.
    pub duration: Duration,
    /// From asking for a connection to the response's head.
    pub first_byte: Option<Duration>,
    /// What came of it.
    pub result: AttemptResult,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// A final head came.
    Status(StatusCode),
    /// None came; `error.type` as OpenTelemetry spells it, from a closed set.
    Error(&'static str),
    /// The client left before one came: nobody's error.
    Abandoned,
}
