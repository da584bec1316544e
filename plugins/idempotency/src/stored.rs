//! A reply as it lies in the store: the application's status, fields and body, and nothing of this proxy's.
//!
//! ```text
//! version (1) · 0 · status (2) · fields (2) · [name length (2) · name · value length (4) · value]… · body length (4) · body
//! version (1) · 1 · sealed form of what stands behind the 0
//! ```

use crate::hooks::STATUS;
use crate::replay::REPLAYED;
use crate::seal::{Belongs, Keyring};
use crate::word;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{HeaderName as Name, StatusCode};
use vestibule_plugin::FullResponse;
use vestibule_store::records::Hold;

/// Of this format. Another number is another format, which this version cannot read.
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Most field lines of a reply that is read back; what was stored came through a head of at most this many.
const MAX_FIELDS: usize = 1024;

/// Fields of a reply that are not kept: they belong to a connection, to a moment, or to the one who got it first.
static DROPPED: [HeaderName; 34] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::DATE,
    header::AGE,
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("authentication-info"),
    HeaderName::from_static("proxy-authentication-info"),
    header::ALT_SVC,
    HeaderName::from_static("server-timing"),
    header::RETRY_AFTER,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("traceresponse"),
    HeaderName::from_static("x-trace-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-amz-request-id"),
    HeaderName::from_static("x-amzn-trace-id"),
    HeaderName::from_static("x-cloud-trace-context"),
    HeaderName::from_static("uber-trace-id"),
    HeaderName::from_static("b3"),
    // Marks of ours: a reply that another proxy replayed is a first one here.
    REPLAYED,
    STATUS,
    word::FIELD,
];

/// Families of such fields.
const DROPPED_FAMILIES: [&str; 4] = ["ratelimit", "x-ratelimit", "x-rate-limit", "x-b3-"];

fn is_kept(name: &HeaderName) -> bool {
    !DROPPED.contains(name) && !DROPPED_FAMILIES.iter().any(|family| name.as_str().starts_with(family))
}

/// Puts a reply into the form in which it is stored.
pub(crate) fn encode(
    status: StatusCode,
    fields: &HeaderMap,
    body: &[u8],
    keys: Option<&Keyring>,
    hold: &Hold,
) -> Result<Bytes, Unstorable> {
    let lines: Vec<(&HeaderName, &HeaderValue)> = fields.iter().filter(|(name, _)| is_kept(name)).collect();
    let size: usize = lines.iter().map(|(name, value)| 6 + name.as_str().len() + value.len()).sum();
    let mut out = Vec::with_capacity(10 + size + body.len());
    out.extend_from_slice(&[VERSION, PLAIN]);
    out.extend_from_slice(&status.as_u16().to_be_bytes());
    let count = u16::try_from(lines.len()).ok().filter(|count| usize::from(*count) <= MAX_FIELDS);
    out.extend_from_slice(&count.ok_or(Unstorable("it has too many fields"))?.to_be_bytes());
    for (name, value) in lines {
        let too_long = |_| Unstorable("one of its fields is too long");
        out.extend_from_slice(&u16::try_from(name.as_str().len()).map_err(too_long)?.to_be_bytes());
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(&u32::try_from(value.len()).map_err(too_long)?.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(body.len()).map_err(|_| Unstorable("its body is too long"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    let Some(keys) = keys else { return Ok(out.into()) };
    let sealed = keys.seal(&out[2..], &belongs(hold)).map_err(|why| Unstorable(why.0))?;
    Ok([&[VERSION, SEALED], &sealed[..]].concat().into())
}

/// Why a reply has no stored form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unstorable(pub(crate) &'static str);

/// Why a stored reply cannot be read. It is there all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable(pub(crate) &'static str);

fn belongs(hold: &Hold) -> Belongs {
    Belongs { name: hold.name, fingerprint: hold.fingerprint, version: VERSION }
}

/// Reads a stored reply back. `hold` is the asker's: name and fingerprint are those it was stored under.
pub(crate) fn decode(stored: &Bytes, keys: Option<&Keyring>, hold: &Hold) -> Result<FullResponse, Unreadable> {
    match stored.get(..2) {
        Some(&[VERSION, PLAIN]) => parse(stored.slice(2..)),
        Some(&[VERSION, SEALED]) => {
            let keys = keys.ok_or(Unreadable("it is encrypted, and there is no encryption_keys_file"))?;
            let plain = keys.open(&stored[2..], &belongs(hold)).map_err(|why| Unreadable(why.0))?;
            parse(plain.into())
        }
        Some(_) => Err(Unreadable("another version of the program wrote it")),
        None => Err(CUT),
    }
}

const CUT: Unreadable = Unreadable("it is cut off");

fn parse(mut rest: Bytes) -> Result<FullResponse, Unreadable> {
    let status = StatusCode::from_u16(short(&mut rest)?).map_err(|_| Unreadable("it has no status"))?;
    let count = usize::from(short(&mut rest)?);
    if count > MAX_FIELDS {
        return Err(Unreadable("it has too many fields"));
    }
    let mut fields = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(short(&mut rest)?);
        let name = Name::from_bytes(&take(&mut rest, length)?).map_err(|_| Unreadable("a field has no name"))?;
        let length = long(&mut rest)?;
        let value = take(&mut rest, length)?;
        fields.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Unreadable("a field has no value"))?);
    }
    if long(&mut rest)? != rest.len() {
        return Err(CUT);
    }
    Ok(FullResponse { status, fields, body: rest })
}

fn long(rest: &mut Bytes) -> Result<usize, Unreadable> {
    let length = u32::from_be_bytes(take(rest, 4)?[..].try_into().map_err(|_| CUT)?);
    usize::try_from(length).map_err(|_| CUT)
}

fn short(rest: &mut Bytes) -> Result<u16, Unreadable> {
    Ok(u16::from_be_bytes(take(rest, 2)?[..].try_into().map_err(|_| CUT)?))
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, Unreadable> {
    if rest.len() < length {
        return Err(CUT);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vestibule_store::records::{Fingerprint, Name as RecordName, Owner};

    const HOLD: Hold =
        Hold { name: RecordName([1; 16]), fingerprint: Fingerprint([2; 32]), owner: Owner([3; 16]), trace_id: 4 };

    fn fields(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        map
    }

    fn lines(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_reply_reads_back_byte_for_byte() {
        let kept = fields(&[
            ("location", b"/orders/7"),
            ("link", b"</a>; rel=next"),
            ("link", b"</b>; rel=prev, </c>"),
            ("x-name", b"J\xf6rg \xc3\xa4"),
            ("etag", b"\"v1\""),
            ("x-empty", b""),
        ]);
        let body: Vec<u8> = (0..=255).collect();
        let stored = encode(StatusCode::CREATED, &kept, &body, None, &HOLD).expect("stored");
        let read = decode(&stored, None, &HOLD).expect("read");
        assert_eq!((read.status, &read.body[..]), (StatusCode::CREATED, &body[..]));
        assert_eq!(lines(&read.fields), lines(&kept));
    }

    #[test]
    fn what_belongs_to_a_moment_or_to_the_first_client_is_dropped() {
        let all = [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "trailer",
            "content-length",
            "date",
            "age",
            "set-cookie",
            "www-authenticate",
            "proxy-authenticate",
            "authentication-info",
            "alt-svc",
            "server-timing",
            "ratelimit",
            "ratelimit-policy",
            "ratelimit-limit",
            "x-ratelimit-limit",
            "x-ratelimit-reset",
            "retry-after",
            "traceparent",
            "tracestate",
            "x-trace-id",
            "x-request-id",
            "b3",
            "x-b3-traceid",
            "vestibule-idempotency",
        ];
        let given: Vec<(&str, &[u8])> = all.iter().map(|name| (*name, &b"1"[..])).collect();
        let stored = encode(StatusCode::OK, &fields(&given), b"", None, &HOLD).expect("stored");
        assert_eq!(lines(&decode(&stored, None, &HOLD).expect("read").fields), []);
        let kept = [
            "location",
            "content-location",
            "etag",
            "last-modified",
            "link",
            "content-type",
            "content-encoding",
            "content-language",
            "content-disposition",
            "vary",
            "cache-control",
            "access-control-allow-origin",
        ];
        let given: Vec<(&str, &[u8])> = kept.iter().map(|name| (*name, &b"1"[..])).collect();
        let stored = encode(StatusCode::OK, &fields(&given), b"", None, &HOLD).expect("stored");
        assert_eq!(decode(&stored, None, &HOLD).expect("read").fields.len(), kept.len());
    }

    #[test]
    fn a_sealed_reply_shows_nothing() {
        let keys_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(keys_file.path(), "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").expect("written");
        let keys = Keyring::read(keys_file.path().to_str().expect("a path")).expect("keys");
        let kept = fields(&[("location", b"/orders/7")]);
        let stored = encode(StatusCode::CREATED, &kept, b"secret text", Some(&keys), &HOLD).expect("stored");
        let holds = |needle: &[u8]| stored.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(b"secret text") && !holds(b"location") && !holds(b"/orders/7") && holds(b"k1"));
        let read = decode(&stored, Some(&keys), &HOLD).expect("read");
        assert_eq!((read.status, &read.body[..]), (StatusCode::CREATED, &b"secret text"[..]));
        assert!(decode(&stored, None, &HOLD).is_err());
        let other = Hold { name: RecordName([9; 16]), ..HOLD };
        assert!(decode(&stored, Some(&keys), &other).is_err());
    }

    #[test]
    fn another_version_is_not_read() {
        let stored = encode(StatusCode::OK, &HeaderMap::new(), b"", None, &HOLD).expect("stored");
        for (at, byte) in [(0, 2), (1, 2)] {
            let mut other = stored.to_vec();
            other[at] = byte;
            assert!(decode(&other.into(), None, &HOLD).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes.clone().into(), None, &HOLD);
            let plain = [&[VERSION, PLAIN, 0, 200][..], &bytes].concat();
            let _ = decode(&plain.into(), None, &HOLD);
        }

        #[test]
        fn a_cut_reply_is_not_read(cut in 0_usize..40) {
            let fields = fields(&[("location", b"/orders/7")]);
            let stored = encode(StatusCode::CREATED, &fields, b"body", None, &HOLD).expect("stored");
            prop_assume!(cut < stored.len());
            prop_assert!(decode(&stored.slice(..cut), None, &HOLD).is_err());
        }
    }
}
