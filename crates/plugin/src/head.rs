//! Message heads as plugins see them: free to read, edited through one narrow door.

use crate::authority::Authority;
use crate::media;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

/// The header fields of a message.
///
/// Reading is the whole [`HeaderMap`]. Editing goes through three verbs, so that the host can keep the spelling of
/// names in step with the map.
pub trait Fields: Send + Sync {
    /// All fields, to read.
    fn map(&self) -> &HeaderMap;
    /// Makes `value` the only line of `name`.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Adds a line of `name` behind those there are.
    fn append(&mut self, name: HeaderName, value: HeaderValue);
    /// Removes every line of `name`; whether there was one.
    fn remove(&mut self, name: &HeaderName) -> bool;
    /// Makes room for so many more lines at once, where growing once is cheaper than growing twice.
    fn reserve(&mut self, _lines: usize) {}
}

impl Fields for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }
    fn remove(&mut self, name: &HeaderName) -> bool {
        HeaderMap::remove(self, name).is_some()
    }
    fn reserve(&mut self, lines: usize) {
        HeaderMap::reserve(self, lines);
    }
}

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
    pub fields: &'a mut dyn Fields,
}

impl RequestHead<'_> {
    /// The first line of `name`, if it is visible ASCII.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        self.fields.map().get(name)?.to_str().ok()
    }

    /// Whether this is a gRPC call (`content-type: application/grpc*`, in any case: RFC 9110 section 8.3.1).
    pub fn is_grpc(&self) -> bool {
        self.fields.map().get(http::header::CONTENT_TYPE).is_some_and(|value| media::is_grpc(value.as_bytes()))
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
    pub fields: &'a mut dyn Fields,
}
