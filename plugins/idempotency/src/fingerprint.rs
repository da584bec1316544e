//! What makes two requests the same: a keyed hash of all that an application could decide by.

mod json;
mod multipart;

use crate::config::FingerprintKind;
use crate::names::Mac;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use vestibule_plugin::{Authority, Fields, media};
use vestibule_store::records::Fingerprint;

/// What of a request's head goes into its fingerprint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// As authorities are compared.
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
    pub(crate) fn new(method: &str, scheme: &str, authority: &str, target: &str, fields: &Fields) -> Self {
        let joined = |name| fields.joined(name).unwrap_or_default();
        Self {
            method: method.to_owned(),
            authority: plain_authority(scheme, authority),
            target: target.to_owned(),
            content_type: joined(&CONTENT_TYPE),
            content_encoding: joined(&CONTENT_ENCODING),
        }
    }
}

/// As authorities are compared; what is none is its own.
fn plain_authority(scheme: &str, authority: &str) -> String {
    Authority::parse(authority.as_bytes(), scheme).map_or_else(|_| authority.to_owned(), |plain| plain.to_string())
}

/// The fingerprint of a whole request.
pub(crate) fn of(mut mac: Mac, kind: FingerprintKind, head: &Head, body: &[u8]) -> Fingerprint {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let content_type = &head.content_type[..];
    mac.part(head.method.as_bytes());
    mac.part(head.authority.as_bytes());
    mac.part(path.as_bytes());
    mac.part(query.as_bytes());
    mac.part(&head.content_encoding);
    // Nothing is decompressed: coded content is bytes.
    let plain = head.content_encoding.is_empty();
    if plain
        && media::is(content_type, "multipart/form-data")
        && let Some(form) = multipart::split(content_type, body)
    {
        mac.part(b"multipart");
        mac.part(&form.content_type);
        form.segments.iter().for_each(|segment| mac.part(segment));
    } else if plain
        && media::is_json(content_type)
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

#[cfg(test)]
mod tests;
