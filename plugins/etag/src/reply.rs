//! What the head of the upstream's reply allows: a tag, a 304.

use crate::tag::EntityTag;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, SET_COOKIE, TRAILER};
use http::{Method, StatusCode};
use vestibule_plugin::{Fields, Repeated, list, media};

/// Whether a reply to `method` can get a tag once its body is here, complete, not empty and without trailers.
pub(crate) fn may_get_tag(method: &Method, status: StatusCode, fields: &Fields, max_body: usize) -> bool {
    method == Method::GET
        && status == StatusCode::OK
        && ![ETAG, SET_COOKIE, CONTENT_RANGE, TRAILER].iter().any(|name| fields.has(name))
        && length_fits(fields, max_body)
        && !media::is_stream(fields)
        && !says_no_store(fields)
}

/// Whether a reply can be sent as 304 when the client has its content already.
pub(crate) fn may_become_304(status: StatusCode, fields: &Fields) -> bool {
    // A tag that is none, or two of them: nobody knows what the client would keep under it.
    let tag_is_sound = !fields.has(&ETAG) || tag(fields).is_some();
    status == StatusCode::OK && tag_is_sound && !fields.has(&SET_COOKIE) && !says_no_store(fields)
}

/// The tag of a reply, if it has one line of `ETag` and that is valid.
pub(crate) fn tag(fields: &Fields) -> Option<EntityTag<'_>> {
    EntityTag::parse(fields.only(&ETAG).ok()??)
}

/// Declared lengths that are not one number are the host's to refuse; no tag is built on them.
fn length_fits(fields: &Fields, max_body: usize) -> bool {
    match fields.only(&CONTENT_LENGTH) {
        Ok(None) => true,
        Ok(Some(line)) => {
            let length = std::str::from_utf8(line).ok().and_then(|text| text.parse::<usize>().ok());
            length.is_some_and(|n| n > 0 && n <= max_body)
        }
        Err(Repeated) => false,
    }
}

/// Whether `Cache-Control` holds `no-store`. Commas inside quotes are not respected: that can only find one too many,
/// and then a reply goes without a tag.
fn says_no_store(fields: &Fields) -> bool {
    list::tokens(fields, &CACHE_CONTROL).any(|directive| {
        let name = directive.split(|&byte| byte == b'=').next().unwrap_or_default();
        list::trim(name).eq_ignore_ascii_case(b"no-store")
    })
}
