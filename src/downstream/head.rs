//! A request head on its way from the client to the plugins.

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Method, Version};
use vestibule_http1::RequestHead;
use vestibule_plugin::Fields;

/// Fields that the edge and the plugins usually add, beside those that came.
const ROOM: usize = 10;

/// A request head, whichever protocol it came in.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Path and query in the bytes in which they go on, `*`, or what the edge has to refuse.
    pub target: Bytes,
    /// `:scheme`; none in HTTP/1.
    pub scheme: Option<Scheme>,
    /// `:authority`; none in HTTP/1.
    pub authority: Option<Authority>,
    /// The version between client and proxy.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl Head {
    /// A head of HTTP/1.1 without fields.
    pub fn new(method: Method, target: impl Into<Bytes>) -> Self {
        let (scheme, authority) = (None, None);
        Self { method, target: target.into(), scheme, authority, version: Version::HTTP_11, fields: Fields::new() }
    }

    /// Of HTTP/1: `head` was read from `bytes`, and its target goes on as `target`. Values are parts of `bytes`.
    pub(super) fn of_http1(head: &RequestHead, bytes: &Bytes, target: Bytes) -> Self {
        // The reader has seen that both are tokens.
        let method = Method::from_bytes(head.method(bytes)).unwrap_or_default();
        let fields = Fields::of_head(bytes.clone(), head.fields().ranges(), ROOM);
        Self { method, target, scheme: None, authority: None, version: head.version(), fields }
    }

    /// Of HTTP/2, as the library below has read it.
    pub(super) fn of_http2(head: http::request::Parts) -> Self {
        let uri = head.uri.into_parts();
        let target = uri.path_and_query.as_ref().map_or("", |target| target.as_str());
        Self {
            method: head.method,
            target: Bytes::copy_from_slice(target.as_bytes()),
            scheme: uri.scheme,
            authority: uri.authority,
            version: head.version,
            fields: Fields::from(&head.headers),
        }
    }
}
