//! What makes two requests the same: a keyed hash of all that an application could decide by.

mod json;
mod multipart;

use crate::config::FingerprintKind;
use crate::names::Mac;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::borrow::Cow;
use vestibule_store::records::Fingerprint;

/// What of a request's head goes into its fingerprint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// In lower case, without the default port of its scheme.
    pub(crate) authority: String,
    /// Path and query as sent.
    pub(crate) target: String,
    /// The lines of Content-Type, joined.
    pub(crate) content_type: Vec<u8>,
    /// The lines of Content-Encoding, joined.
    pub(crate) content_encoding: Vec<u8>,
}

impl Head {
    /// `target` is path and query as sent.
    pub(crate) fn new(method: &str, scheme: &str, authority: &str, target: &str, fields: &HeaderMap) -> Self {
        let joined =
            |name| fields.get_all(name).iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
        Self {
            method: method.to_owned(),
            authority: plain_authority(scheme, authority),
            target: target.to_owned(),
            content_type: joined(CONTENT_TYPE),
            content_encoding: joined(CONTENT_ENCODING),
        }
    }
}

fn plain_authority(scheme: &str, authority: &str) -> String {
    let default = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase()
}

/// The fingerprint of a whole request.
pub(crate) fn of(mut mac: Mac, kind: FingerprintKind, head: &Head, body: &[u8]) -> Fingerprint {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let content_type = &head.content_type[..];
    let media_type = media_type(content_type);
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    mac.part(head.method.as_bytes());
    mac.part(head.authority.as_bytes());
    mac.part(path.as_bytes());
    mac.part(query.as_bytes());
    mac.part(&head.content_encoding);
    // Nothing is decompressed: coded content is bytes.
    let plain = head.content_encoding.is_empty();
    if plain
        && media_type == "multipart/form-data"
        && let Some(form) = multipart::split(content_type, body)
    {
        mac.part(b"multipart");
        mac.part(&form.content_type);
        form.segments.iter().for_each(|segment| mac.part(segment));
    } else if plain
        && is_json
        && kind == FingerprintKind::Json
        && let Some(canonical) = json::canonical(body)
    {
        mac.part(b"json");
        mac.part(content_type);
        mac.part(&canonical);
    } else {
        mac.part(b"raw");
        mac.part(content_type);
        mac.part(body);
    }
    Fingerprint(mac.finish())
}

/// The media type in lower case, without parameters.
fn media_type(content_type: &[u8]) -> Cow<'_, str> {
    let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
    let text = String::from_utf8_lossy(content_type[..end].trim_ascii());
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text }
}

#[cfg(test)]
mod tests;
