//! Header fields that items and lists share.

use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};

use crate::conditional::{Preconditions, Tag, TagList};

/// What a shared cache may do with an answer for one caller: keep nothing, and ask each time.
pub(crate) const fn private_no_cache() -> [(HeaderName, &'static str); 2] {
    [(CACHE_CONTROL, "private, no-cache"), (VARY, "authorization")]
}

/// The fields of an answer that holds an item, or of a 304 in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ItemHeaders(pub(crate) Tag);

impl IntoResponseParts for ItemHeaders {
    type Error = <[(HeaderName, String); 1] as IntoResponseParts>::Error;

    fn into_response_parts(self, parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let parts = [(ETAG, self.0.to_string())].into_response_parts(parts)?;
        private_no_cache().into_response_parts(parts)
    }
}

/// Reads `If-Match` and `If-None-Match`.
pub(crate) fn preconditions(headers: &HeaderMap) -> Preconditions {
    Preconditions { if_match: list(headers, &IF_MATCH), if_none_match: list(headers, &IF_NONE_MATCH) }
}

fn list(headers: &HeaderMap, name: &HeaderName) -> Option<TagList> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() { None } else { Some(TagList::parse(&lines.join(&b','))) }
}
