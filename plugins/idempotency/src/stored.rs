//! A reply as it lies in the store: the application's status, fields and body, and nothing of this proxy's.
//!
//! What is read back is hostile: anybody who can write to the store may have put it there. It is read by the rules by
//! which replies are stored, so that nothing leaves here that the application could not have had replayed.
//!
//! ```text
//! version (1) · 0 · status (2) · fields (2) · [name length (2) · name · value length (4) · value]… · body length (4) · body
//! version (1) · 1 · sealed form of what stands behind the 0
//! ```

use crate::hooks::STATUS;
use crate::policy::Policy;
use crate::replay::REPLAYED;
use crate::seal::{Belongs, Keyring};
use crate::word;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderName as Name, StatusCode};
use std::ops::RangeInclusive;
use vestibule_plugin::{Fields, FullResponse};
use vestibule_store::records::{Hold, stored_bound};

/// Of this format. Another number is another format, which this version cannot read.
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Statuses that are given again: an interim one would be followed by another head (RFC 9110 section 15.2), and one
/// beyond 599 is of no class.
const STATUSES: RangeInclusive<u16> = 200..=599;

/// Most field lines of a reply that is read back; what was stored came through a head of at most this many.
const MAX_FIELDS: usize = 1024;

/// Fields of a reply that are not kept: they belong to a connection, to a moment, or to the one who got it first.
static DROPPED: [HeaderName; 36] = [
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
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
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

/// Whether replies in the clear are read where there are keys to encrypt them with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClearRecords {
    /// They are: there are no keys, or the operator vouches for the store.
    Accepted,
    /// They are not: whoever can write to the store could have put them there.
    Refused,
}

impl ClearRecords {
    pub(crate) fn accepted(are: bool) -> Self {
        if are { Self::Accepted } else { Self::Refused }
    }
}

/// Whether such a reply has no body (RFC 9110 sections 15.3.5 and 15.4.5).
fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Puts a reply into the form in which it is stored. One that could not be read back is not.
pub(crate) fn encode(
    status: StatusCode,
    fields: &Fields,
    body: &[u8],
    policy: &Policy,
    hold: &Hold,
) -> Result<Bytes, Unstorable> {
    let most = stored_bound(policy.max_response_body as u64);
    let stored = encode_within(status, fields, body, policy.keys.as_deref(), hold)?;
    if stored.len() as u64 > most {
        return Err(Unstorable("its fields are too long"));
    }
    Ok(stored)
}

pub(crate) fn encode_within(
    status: StatusCode,
    fields: &Fields,
    body: &[u8],
    keys: Option<&Keyring>,
    hold: &Hold,
) -> Result<Bytes, Unstorable> {
    if !STATUSES.contains(&status.as_u16()) {
        return Err(Unstorable("its status is of no class"));
    }
    let body: &[u8] = if is_bodiless(status) { &[] } else { body };

    let named = fields.iter().filter_map(|(name, value)| Some((HeaderName::from_bytes(name).ok()?, value)));
    let lines: Vec<(HeaderName, &[u8])> = named.filter(|(name, _)| is_kept(name)).collect();
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
        out.extend_from_slice(value);
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

/// Why a stored reply is not given. It is there all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreadable {
    /// It is in the clear where replies are encrypted: nobody knows who wrote it.
    Clear,
    /// It is not what is stored here.
    Broken(&'static str),
}

fn belongs(hold: &Hold) -> Belongs {
    Belongs { name: hold.name, fingerprint: hold.fingerprint, version: VERSION }
}

/// Reads a stored reply back. `hold` is the asker's: name and fingerprint are those it was stored under.
pub(crate) fn decode(stored: &Bytes, policy: &Policy, hold: &Hold) -> Result<FullResponse, Unreadable> {
    decode_with(stored, policy.keys.as_deref(), policy.clear_records, hold)
}

pub(crate) fn decode_with(
    stored: &Bytes,
    keys: Option<&Keyring>,
    clear: ClearRecords,
    hold: &Hold,
) -> Result<FullResponse, Unreadable> {
    match stored.get(..2) {
        Some(&[VERSION, PLAIN]) if clear == ClearRecords::Refused => Err(Unreadable::Clear),
        Some(&[VERSION, PLAIN]) => parse(stored.slice(2..)),
        Some(&[VERSION, SEALED]) => {
            let keys = keys.ok_or(Unreadable::Broken("it is encrypted, and there is no encryption_keys_file"))?;
            let plain = keys.open(&stored[2..], &belongs(hold)).map_err(|why| Unreadable::Broken(why.0))?;
            parse(plain.into())
        }
        Some(_) => Err(Unreadable::Broken("another version of the program wrote it")),
        None => Err(CUT),
    }
}

const CUT: Unreadable = Unreadable::Broken("it is cut off");

fn parse(mut rest: Bytes) -> Result<FullResponse, Unreadable> {
    let status = Some(short(&mut rest)?).filter(|status| STATUSES.contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or(Unreadable::Broken("its status is not one that is stored"))?;

    let count = usize::from(short(&mut rest)?);
    if count > MAX_FIELDS {
        return Err(Unreadable::Broken("it has too many fields"));
    }

    let mut fields = Fields::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(short(&mut rest)?);
        let name = Name::from_bytes(&take(&mut rest, length)?);
        let name = name.map_err(|_| Unreadable::Broken("a field has no name"))?;
        if !is_kept(&name) {
            return Err(Unreadable::Broken("it has a field that is not stored"));
        }
        let length = long(&mut rest)?;
        let value = HeaderValue::from_maybe_shared(take(&mut rest, length)?);
        fields.append(name, value.map_err(|_| Unreadable::Broken("a field has no value"))?);
    }

    if long(&mut rest)? != rest.len() {
        return Err(CUT);
    }
    if is_bodiless(status) && !rest.is_empty() {
        return Err(Unreadable::Broken("it has a body that its status does not have"));
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
    use vestibule_store::records::{Fingerprint, Name as RecordName, Owner, Payer};

    const HOLD: Hold = Hold {
        name: RecordName([1; 16]),
        fingerprint: Fingerprint([2; 32]),
        owner: Owner([3; 16]),
        trace_id: 4,
        payer: Payer { principal: None, address: None },
    };

    fn read(stored: &Bytes, keys: Option<&Keyring>) -> Result<FullResponse, Unreadable> {
        decode_with(stored, keys, ClearRecords::Accepted, &HOLD)
    }

    fn fields(lines: &[(&str, &[u8])]) -> Fields {
        let mut map = Fields::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        map
    }

    fn lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        fields.iter().map(|(name, value)| (text(name), value.to_vec())).collect()
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
        let stored = encode_within(StatusCode::CREATED, &kept, &body, None, &HOLD).expect("stored");
        let back = read(&stored, None).expect("read");
        assert_eq!((back.status, &back.body[..]), (StatusCode::CREATED, &body[..]));
        assert_eq!(lines(&back.fields), lines(&kept));
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
        let stored = encode_within(StatusCode::OK, &fields(&given), b"", None, &HOLD).expect("stored");
        assert_eq!(lines(&read(&stored, None).expect("read").fields), []);

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
        let stored = encode_within(StatusCode::OK, &fields(&given), b"", None, &HOLD).expect("stored");
        assert_eq!(read(&stored, None).expect("read").fields.len(), kept.len());
    }

    #[test]
    fn a_sealed_reply_shows_nothing() {
        let keys_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(keys_file.path(), "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").expect("written");
        let keys = Keyring::read(keys_file.path().to_str().expect("a path")).expect("keys");
        let kept = fields(&[("location", b"/orders/7")]);
        let stored = encode_within(StatusCode::CREATED, &kept, b"secret text", Some(&keys), &HOLD).expect("stored");
        let holds = |needle: &[u8]| stored.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(b"secret text") && !holds(b"location") && !holds(b"/orders/7") && holds(b"k1"));
        let back = read(&stored, Some(&keys)).expect("read");
        assert_eq!((back.status, &back.body[..]), (StatusCode::CREATED, &b"secret text"[..]));
        assert!(read(&stored, None).is_err());
        let refused = |stored: &Bytes| decode_with(stored, Some(&keys), ClearRecords::Refused, &HOLD);
        assert!(refused(&stored).is_ok());
        let clear = encode_within(StatusCode::CREATED, &kept, b"secret text", None, &HOLD).expect("stored");
        assert_eq!(refused(&clear).err(), Some(Unreadable::Clear));
        assert!(read(&clear, Some(&keys)).is_ok());
        let other = Hold { name: RecordName([9; 16]), ..HOLD };
        assert!(decode_with(&stored, Some(&keys), ClearRecords::Accepted, &other).is_err());
    }

    /// A reply as somebody forged it, with these lines.
    fn forged(status: u16, lines: &[(&str, &str)], body: &[u8]) -> Bytes {
        let mut out = vec![VERSION, PLAIN];
        out.extend_from_slice(&status.to_be_bytes());
        out.extend_from_slice(&u16::try_from(lines.len()).expect("few").to_be_bytes());
        for (name, value) in lines {
            out.extend_from_slice(&u16::try_from(name.len()).expect("short").to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(&u32::try_from(body.len()).expect("short").to_be_bytes());
        out.extend_from_slice(body);
        out.into()
    }

    #[test]
    fn what_could_not_have_been_stored_is_not_read() {
        assert!(read(&forged(200, &[("x-a", "1"), ("location", "/a")], b"body"), None).is_ok());
        for status in [0, 99, 100, 101, 103, 199, 600, 999, 1000, u16::MAX] {
            assert!(read(&forged(status, &[], b""), None).is_err(), "{status}");
        }
        for name in DROPPED.iter().map(HeaderName::as_str).chain(["ratelimit", "x-ratelimit-limit", "x-b3-traceid"]) {
            assert!(read(&forged(200, &[(name, "1")], b""), None).is_err(), "{name}");
            let upper = name.to_ascii_uppercase();
            assert!(read(&forged(200, &[(&upper, "1")], b""), None).is_err(), "{upper}");
        }
        for name in ["", " ", "a b", "a:", ":status", "a\r\nb", "\u{e4}", "transfer-encoding "] {
            assert!(read(&forged(200, &[(name, "1")], b""), None).is_err(), "{name:?}");
        }
        for value in ["a\r\nx-b: 1", "\n", "\0", "\u{7f}"] {
            assert!(read(&forged(200, &[("x-a", value)], b""), None).is_err(), "{value:?}");
        }
        for status in [204, 304] {
            assert!(read(&forged(status, &[], b""), None).is_ok(), "{status}");
            assert!(read(&forged(status, &[], b"HTTP/1.1 200 OK"), None).is_err(), "{status} has no body");
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_stored() {
        let status = |status| StatusCode::from_u16(status).expect("a status");
        for beyond in [100, 103, 600, 999] {
            assert!(encode_within(status(beyond), &Fields::new(), b"", None, &HOLD).is_err(), "{beyond}");
        }
        let stored = encode_within(status(204), &Fields::new(), b"odd", None, &HOLD).expect("stored");
        assert_eq!(read(&stored, None).expect("read").body.len(), 0);
    }

    #[test]
    fn another_version_is_not_read() {
        let stored = encode_within(StatusCode::OK, &Fields::new(), b"", None, &HOLD).expect("stored");
        for (at, byte) in [(0, 2), (1, 2)] {
            let mut other = stored.to_vec();
            other[at] = byte;
            assert!(read(&other.into(), None).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&bytes.clone().into(), None);
            let plain = [&[VERSION, PLAIN, 0, 200][..], &bytes].concat();
            let _ = read(&plain.into(), None);
        }

        #[test]
        fn a_cut_reply_is_not_read(cut in 0_usize..40) {
            let fields = fields(&[("location", b"/orders/7")]);
            let stored = encode_within(StatusCode::CREATED, &fields, b"body", None, &HOLD).expect("stored");
            prop_assume!(cut < stored.len());
            prop_assert!(read(&stored.slice(..cut), None).is_err());
        }
    }
}
