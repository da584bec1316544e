//! A stored reply on its way to a client that is not the one who got it first.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_ENCODING, CONTENT_RANGE, ETAG,
    HeaderName, HeaderValue,
};
use http::{HeaderMap, StatusCode};
use vestibule_coding::{Coding, coding_of};
use vestibule_plugin::FullResponse;

/// Marks a reply as a stored one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A stored body is decoded into at most this many times the bytes that may be stored; else it is sent as it is.
const MOST_DECODED: u64 = 20;

/// What a client says of codings: the lines of Accept-Encoding, joined; `None`: it takes any (RFC 9110 section 12.5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepts(Option<Vec<u8>>);

impl Accepts {
    /// Of a request.
    pub(crate) fn of(fields: &HeaderMap) -> Self {
        let lines: Vec<&[u8]> = fields.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
        Self((!lines.is_empty()).then(|| lines.join(&b","[..])))
    }

    /// Whether it takes content in this coding.
    fn takes(&self, coding: &str) -> bool {
        let Some(list) = &self.0 else { return true };
        let mut any = false;
        for element in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let refused =
                parts.any(|part| part.len() > 2 && part[..2].eq_ignore_ascii_case(b"q=") && is_zero(&part[2..]));
            if name.eq_ignore_ascii_case(coding.as_bytes())
                || (coding == "gzip" && name.eq_ignore_ascii_case(b"x-gzip"))
            {
                return !refused;
            }
            any |= name == b"*" && !refused;
        }
        any
    }
}

fn is_zero(weight: &[u8]) -> bool {
    weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Makes a stored reply one for this client. `max_body` bounds what is stored.
pub(crate) fn prepare(reply: &mut FullResponse, accepts: &Accepts, max_body: usize) {
    decode_unless_accepted(reply, accepts, max_body);
    reply.fields.insert(REPLAYED, HeaderValue::from_static("true"));
    if reply.fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        reply.fields.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Idempotent-Replayed"));
    }
}

fn decode_unless_accepted(reply: &mut FullResponse, accepts: &Accepts, max_body: usize) {
    let Coding::Known(codec) = coding_of(&reply.fields) else { return };
    // A range is of the coded bytes: without the others it cannot be decoded.
    let is_part = reply.status == StatusCode::PARTIAL_CONTENT || reply.fields.contains_key(CONTENT_RANGE);
    if accepts.takes(codec.name()) || reply.body.is_empty() || is_part {
        return;
    }
    let mut plain = Vec::new();
    let most = MOST_DECODED.saturating_mul(max_body as u64);
    if codec.decode(&reply.body, most, &mut |piece| plain.extend_from_slice(piece)).is_err() {
        return;
    }
    reply.body = Bytes::from(plain);
    reply.fields.remove(CONTENT_ENCODING);
    // They are of the coded bytes (RFC 9530 section 2; RFC 3230; RFC 1864).
    for name in ["content-digest", "repr-digest", "digest", "content-md5"] {
        reply.fields.remove(name);
    }
    // The bytes are others now, the content is the same (RFC 9110 section 8.8.1).
    if let Some(tag) = reply.fields.get(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        reply.fields.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `content` in gzip, as zlib writes it.
    const GZIP: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xce\xcf\x2b\x49\xcd\x2b\x01\x00\xa9\x30\xc5\xfe\x07\x00\x00\x00";

    fn reply(fields: &[(HeaderName, &str)]) -> FullResponse {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
        FullResponse { status: StatusCode::CREATED, fields, body: Bytes::from_static(GZIP) }
    }

    fn accepts(lines: &[&'static str]) -> Accepts {
        let lines = lines.iter().map(|line| (ACCEPT_ENCODING, HeaderValue::from_static(line)));
        let mut fields = HeaderMap::new();
        fields.extend(lines);
        Accepts::of(&fields)
    }

    #[test]
    fn what_speaks_of_the_coded_bytes_goes_with_them() {
        let digest = HeaderName::from_static("content-digest");
        let mut decoded = reply(&[(CONTENT_ENCODING, "gzip"), (digest.clone(), "sha-256=:AAAA:")]);
        prepare(&mut decoded, &accepts(&["identity"]), 1 << 20);
        assert!(!decoded.fields.contains_key(&digest));
        let mut part = reply(&[(CONTENT_ENCODING, "gzip"), (CONTENT_RANGE, "bytes 0-26/100")]);
        prepare(&mut part, &accepts(&["identity"]), 1 << 20);
        assert_eq!(part.body, GZIP, "a part stays as it is");
    }

    #[test]
    fn a_coding_that_the_client_does_not_take_is_undone() {
        let stored = [(CONTENT_ENCODING, "gzip"), (ETAG, "\"a\"")];
        for lines in [&["br"][..], &["identity"], &["gzip;q=0"], &["br, *;q=0"], &["gzip;q=0.000", "*"], &[""]] {
            let mut reply = reply(&stored);
            prepare(&mut reply, &accepts(lines), 1 << 20);
            assert_eq!(&reply.body[..], b"content", "{lines:?}");
            assert!(!reply.fields.contains_key(CONTENT_ENCODING));
            assert_eq!(reply.fields[ETAG], "W/\"a\"");
        }
        for lines in [&[][..], &["gzip"], &["br", "GZIP;q=0.5"], &["*"], &["x-gzip"]] {
            let mut reply = reply(&stored);
            prepare(&mut reply, &accepts(lines), 1 << 20);
            assert_eq!((&reply.body[..], &reply.fields[ETAG]), (GZIP, &HeaderValue::from_static("\"a\"")), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_undone_is_sent_as_it_is() {
        let mut odd = reply(&[(CONTENT_ENCODING, "compress")]);
        prepare(&mut odd, &accepts(&["identity"]), 1 << 20);
        assert_eq!(&odd.body[..], GZIP);
        let mut broken = reply(&[(CONTENT_ENCODING, "br"), (ETAG, "\"a\"")]);
        prepare(&mut broken, &accepts(&["identity"]), 1 << 20);
        assert_eq!((&broken.body[..], &broken.fields[ETAG]), (GZIP, &HeaderValue::from_static("\"a\"")));
    }

    /// ID-08.
    #[test]
    fn the_marker_is_readable_across_origins() {
        let mut plain = reply(&[]);
        prepare(&mut plain, &Accepts::default(), 1);
        assert!(plain.fields[REPLAYED] == "true" && !plain.fields.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
        let mut shared = reply(&[(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_EXPOSE_HEADERS, "X-A")]);
        prepare(&mut shared, &Accepts::default(), 1);
        let exposed: Vec<_> = shared.fields.get_all(ACCESS_CONTROL_EXPOSE_HEADERS).iter().collect();
        assert_eq!(exposed, ["X-A", "Idempotent-Replayed"]);
    }
}
