//! What the head of the upstream's reply allows: a tag, a 304.

use crate::tag::EntityTag;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, SET_COOKIE, TRAILER};
use http::{HeaderMap, Method, StatusCode};
use vestibule_plugin::{list, media};

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether a reply to `method` can get a tag once its body is here, complete, not empty and without trailers.
pub(crate) fn may_get_tag(method: &Method, status: StatusCode, fields: &HeaderMap, max_body: usize) -> bool {
    method == Method::GET
        && status == StatusCode::OK
        && ![ETAG, SET_COOKIE, CONTENT_RANGE, TRAILER].iter().any(|name| fields.contains_key(name))
        && length_fits(fields, max_body)
        && !is_stream(fields)
        && !says_no_store(fields)
}

/// Whether a reply can be sent as 304 when the client has its content already.
pub(crate) fn may_become_304(status: StatusCode, fields: &HeaderMap) -> bool {
    // A tag that is none, or two of them: nobody knows what the client would keep under it.
    let tag_is_sound = !fields.contains_key(ETAG) || tag(fields).is_some();
    status == StatusCode::OK && tag_is_sound && !fields.contains_key(SET_COOKIE) && !says_no_store(fields)
}

/// The tag of a reply, if it has one line of `ETag` and that is valid.
pub(crate) fn tag(fields: &HeaderMap) -> Option<EntityTag<'_>> {
    let mut lines = fields.get_all(ETAG).iter();
    let tag = EntityTag::parse(lines.next()?.as_bytes())?;
    lines.next().is_none().then_some(tag)
}

/// Declared lengths that are not one number are the host's to refuse; no tag is built on them.
fn length_fits(fields: &HeaderMap, max_body: usize) -> bool {
    let mut lines = fields.get_all(CONTENT_LENGTH).iter();
    match lines.next() {
        None => true,
        Some(line) => {
            let length = line.to_str().ok().and_then(|text| text.parse::<usize>().ok());
            lines.next().is_none() && length.is_some_and(|n| n > 0 && n <= max_body)
        }
    }
}

/// Whether its bytes are meant to be seen one after the other.
pub(crate) fn is_stream(fields: &HeaderMap) -> bool {
    fields.get_all(CONTENT_TYPE).iter().any(|value| media::is_open_ended(value.as_bytes()))
        || fields.get_all(&X_ACCEL_BUFFERING).iter().any(|line| line.as_bytes().eq_ignore_ascii_case(b"no"))
}

/// Whether `Cache-Control` holds `no-store`. Commas inside quotes are not respected: that can only find one too many,
/// and then a reply goes without a tag.
fn says_no_store(fields: &HeaderMap) -> bool {
    list::tokens(fields, &CACHE_CONTROL).any(|directive| {
        let name = directive.split(|&byte| byte == b'=').next().unwrap_or_default();
        list::trim(name).eq_ignore_ascii_case(b"no-store")
    })
}
