//! Message heads as plugins see them.

use crate::authority::Authority;
use crate::fields::Fields;
use crate::media;
use http::header::HeaderName;
use http::{Method, StatusCode, Version};

/// The head of the client's request, after the edge rules.
pub struct RequestHead<'a> {
    /// One of the configured methods.
    pub method: &'a Method,
    /// Path and query as the client sent them.
    pub target: &'a str,
    /// The normalised path without query, as routes see it.
    pub path: &'a str,
    /// `Host` or `:authority` as sent; empty for an HTTP/1.0 request without one.
    pub authority: &'a str,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'a str,
    /// The version between client and proxy.
    pub version: Version,
    /// Declared length of the body in bytes; `None` when it is chunked or ends with the stream.
    pub body_length: Option<u64>,
    /// The fields the client sent, without those the edge removes.
    pub fields: &'a mut Fields,
}

impl RequestHead<'_> {
    /// The first line of `name`, if it is visible ASCII.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        self.fields.text(name)
    }

    /// Whether this is a gRPC call (`content-type: application/grpc*`, in any case: RFC 9110 section 8.3.1).
    pub fn is_grpc(&self) -> bool {
        self.fields.get(&http::header::CONTENT_TYPE).is_some_and(media::is_grpc)
    }

    /// The authority as it is compared; `None` when the request names none.
    pub fn canonical_authority(&self) -> Option<Authority<'_>> {
        Authority::parse(self.authority.as_bytes(), self.scheme).ok()
    }
}

/// The head of the response on its way to the client, whoever wrote it.
pub struct ResponseHead<'a> {
    /// May be changed by [`Hooks::on_held`](crate::Hooks::on_held) only.
    pub status: &'a mut StatusCode,
    /// The fields of the response.
    pub fields: &'a mut Fields,
}
