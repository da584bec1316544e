//! A stored reply on its way to a client that is not the one who got it first.

use crate::decoder::{Decoders, Failed};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_ENCODING, CONTENT_RANGE, ETAG,
    HeaderName, HeaderValue,
};
use vestibule_coding::{Codec, Coding, coding_of};
use vestibule_plugin::{Fields, FullResponse, Room};

/// Marks a reply as a stored one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Why a stored reply cannot be given to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfit {
    /// It is in a coding that the client does not take, and larger without it than a reply may be.
    NotAcceptable {
        /// As registered with IANA.
        coding: &'static str,
    },
    /// There is no memory for it.
    NoRoom,
}

/// What a client says of codings: the lines of Accept-Encoding, joined; `None`: it takes any (RFC 9110 section 12.5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepts(Option<Vec<u8>>);

impl Accepts {
    /// Of a request.
    pub(crate) fn of(fields: &Fields) -> Self {
        let lines: Vec<&[u8]> = fields.lines(&ACCEPT_ENCODING).collect();
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

/// Makes a stored reply one for this client, within `room`. `max_body` bounds it without its coding.
pub(crate) async fn prepare(
    mut reply: FullResponse,
    accepts: &Accepts,
    max_body: usize,
    room: &mut dyn Room,
    decoders: &Decoders,
) -> Result<FullResponse, Unfit> {
    if !room.grow_to(reply.body.len()) {
        return Err(Unfit::NoRoom);
    }
    if let Some(codec) = coding_to_undo(&reply, accepts) {
        match decoders.decode(codec, &reply.body, max_body, room).await {
            Ok(content) => without_coding(&mut reply, content),
            // Nobody can read it in another way either.
            Err(Failed::Corrupt) => {}
            Err(Failed::TooLarge) => return Err(Unfit::NotAcceptable { coding: codec.name() }),
            Err(Failed::NoRoom) => return Err(Unfit::NoRoom),
        }
    }
    reply.fields.set(REPLAYED, HeaderValue::from_static("true"));
    if reply.fields.has(ACCESS_CONTROL_ALLOW_ORIGIN) {
        reply.fields.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Idempotent-Replayed"));
    }
    Ok(reply)
}

/// The coding of a reply that the client does not take, where it can be undone.
fn coding_to_undo(reply: &FullResponse, accepts: &Accepts) -> Option<Codec> {
    let Coding::Known(codec) = coding_of(reply.fields.lines(CONTENT_ENCODING)) else { return None };
    // A range is of the coded bytes: without the others it cannot be decoded.
    let is_part = reply.status == StatusCode::PARTIAL_CONTENT || reply.fields.has(CONTENT_RANGE);
    let is_taken = accepts.takes(codec.name()) || reply.body.is_empty() || is_part;
    (!is_taken).then_some(codec)
}

fn without_coding(reply: &mut FullResponse, content: Bytes) {
    reply.body = content;
    reply.fields.remove(CONTENT_ENCODING);
    // They are of the coded bytes (RFC 9530 section 2; RFC 3230; RFC 1864).
    for name in ["content-digest", "repr-digest", "digest", "content-md5"] {
        reply.fields.remove(name);
    }
    // The bytes are others now, the content is the same (RFC 9110 section 8.8.1).
    if let Some(tag) = reply.fields.get(ETAG)
        && !tag.starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag].concat())
    {
        reply.fields.set(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_plugin::Fields;

    /// `content` in gzip, as zlib writes it.
    const GZIP: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xce\xcf\x2b\x49\xcd\x2b\x01\x00\xa9\x30\xc5\xfe\x07\x00\x00\x00";

    fn reply(fields: &[(HeaderName, &str)]) -> FullResponse {
        let fields =
            fields.iter().map(|(name, value)| (name, HeaderValue::from_str(value).expect("a value"))).collect();
        FullResponse { status: StatusCode::CREATED, fields, body: Bytes::from_static(GZIP) }
    }

    async fn prepared(reply: FullResponse, accepts: &Accepts) -> FullResponse {
        prepare(reply, accepts, 1 << 20, &mut (), &Decoders::default()).await.expect("fit")
    }

    fn accepts(lines: &[&'static str]) -> Accepts {
        let lines = lines.iter().map(|line| (ACCEPT_ENCODING, HeaderValue::from_static(line)));
        let mut fields = Fields::new();
        fields.extend(lines);
        Accepts::of(&fields)
    }

    #[tokio::test]
    async fn what_speaks_of_the_coded_bytes_goes_with_them() {
        let digest = HeaderName::from_static("content-digest");
        let coded = reply(&[(CONTENT_ENCODING, "gzip"), (digest.clone(), "sha-256=:AAAA:")]);
        let decoded = prepared(coded, &accepts(&["identity"])).await;
        assert!(!decoded.fields.has(&digest));
        let part = reply(&[(CONTENT_ENCODING, "gzip"), (CONTENT_RANGE, "bytes 0-26/100")]);
        let part = prepared(part, &accepts(&["identity"])).await;
        assert_eq!(part.body, GZIP, "a part stays as it is");
    }

    #[tokio::test]
    async fn a_coding_that_the_client_does_not_take_is_undone() {
        let stored = [(CONTENT_ENCODING, "gzip"), (ETAG, "\"a\"")];
        for lines in [&["br"][..], &["identity"], &["gzip;q=0"], &["br, *;q=0"], &["gzip;q=0.000", "*"], &[""]] {
            let reply = prepared(reply(&stored), &accepts(lines)).await;
            assert_eq!(&reply.body[..], b"content", "{lines:?}");
            assert!(!reply.fields.has(CONTENT_ENCODING));
            assert_eq!(reply.fields.text(ETAG), Some("W/\"a\""));
        }
        for lines in [&[][..], &["gzip"], &["br", "GZIP;q=0.5"], &["*"], &["x-gzip"]] {
            let reply = prepared(reply(&stored), &accepts(lines)).await;
            assert_eq!((&reply.body[..], reply.fields.text(ETAG)), (GZIP, Some("\"a\"")), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_undone_is_sent_as_it_is() {
        let odd = prepared(reply(&[(CONTENT_ENCODING, "compress")]), &accepts(&["identity"])).await;
        assert_eq!(&odd.body[..], GZIP);
        let broken = reply(&[(CONTENT_ENCODING, "br"), (ETAG, "\"a\"")]);
        let broken = prepared(broken, &accepts(&["identity"])).await;
        assert_eq!((&broken.body[..], broken.fields.text(ETAG)), (GZIP, Some("\"a\"")));
    }

    /// ID-08.
    #[tokio::test]
    async fn the_marker_is_readable_across_origins() {
        let plain = prepared(reply(&[]), &Accepts::default()).await;
        assert!(plain.fields.text(REPLAYED) == Some("true") && !plain.fields.has(ACCESS_CONTROL_EXPOSE_HEADERS));
        let shared = reply(&[(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_EXPOSE_HEADERS, "X-A")]);
        let shared = prepared(shared, &Accepts::default()).await;
        let exposed: Vec<_> = shared.fields.lines(ACCESS_CONTROL_EXPOSE_HEADERS).collect();
        assert_eq!(exposed, [&b"X-A"[..], b"Idempotent-Replayed"]);
    }

    #[tokio::test]
    async fn what_is_too_large_without_its_coding_is_not_acceptable() {
        let coded = || reply(&[(CONTENT_ENCODING, "gzip")]);
        let identity = accepts(&["identity"]);
        let refused = prepare(coded(), &identity, 6, &mut (), &Decoders::default()).await;
        assert_eq!(refused.err(), Some(Unfit::NotAcceptable { coding: "gzip" }));
        assert!(prepare(coded(), &identity, 7, &mut (), &Decoders::default()).await.is_ok());
        assert!(prepare(coded(), &accepts(&["gzip"]), 6, &mut (), &Decoders::default()).await.is_ok());
    }
}
