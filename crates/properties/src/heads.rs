//! The strict codec, held against `httparse` and against rules after `h11`.

use crate::{h11, parts};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version};
use vestibule_http1::{
    BodyReader, CHUNK_END, Chunks, Framing, LAST_CHUNK, Limits, Parsed, Progress, RequestFault, RequestHead,
    RequestKind, ResponseHead, read_request, read_response, write_chunk_head,
};
use vestibule_plugin::{Fields, Spelling};

const LIMITS: Limits = Limits { max_bytes: 64 << 10, max_fields: 256 };
const MAX_TRAILER_BYTES: usize = 8 << 10;
const MAX_TRAILERS: usize = 64;
/// A field that two readers could take for another one's length.
const TWINS: [&str; 4] = ["content-length", "transfer-encoding", "host", "connection"];

/// Holds of the bytes of a connection: whatever is taken for a request is the same request to two other readers, and ends
/// where they say.
pub fn head_guard(data: &[u8]) {
    let mut rest = data;
    while let Ok(Parsed::Complete(head)) = read_request(rest, &mut Progress::default(), &LIMITS) {
        agrees_with_httparse(&head, rest);
        let length = agrees_with_h11(&head, rest);
        is_read_alike_in_pieces(&head, rest);
        rules(&head, rest);

        let (size, is_whole) = body(head.framing(), &rest[head.len()..]);
        if let Some(length) = length {
            assert!(!is_whole || size == length, "{size} bytes of body here, {length} by h11");
        }
        if !is_whole {
            return;
        }
        rest = &rest[head.len() + size..];
    }
}

fn agrees_with_httparse(head: &RequestHead, bytes: &[u8]) {
    // It wants a target to be UTF-8, which is no question of framing.
    let target = head.target(bytes);
    let start = target.as_ptr() as usize - bytes.as_ptr() as usize;
    let mut text = bytes[..head.len()].to_vec();
    for byte in &mut text[start..start + target.len()] {
        *byte = if byte.is_ascii() { *byte } else { b'x' };
    }

    let mut fields = [httparse::EMPTY_HEADER; LIMITS.max_fields];
    let mut other = httparse::Request::new(&mut fields);
    let parsed = other.parse(&text).unwrap_or_else(|error| panic!("httparse refuses it: {error}"));
    assert_eq!(parsed, httparse::Status::Complete(head.len()));
    assert_eq!(other.method.map(str::as_bytes), Some(head.method(bytes)));
    assert_eq!(other.path.map(str::as_bytes), Some(&text[start..start + target.len()]));
    assert_eq!(other.version, Some(u8::from(head.version() == Version::HTTP_11)));
    let own: Vec<_> = head.fields().iter(bytes).collect();
    let others: Vec<_> = other.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(own, others);
}

/// Bytes of its body by the other reader; `None` when it is not whole.
fn agrees_with_h11(head: &RequestHead, bytes: &[u8]) -> Option<usize> {
    let other = h11::request(bytes).expect("h11 refuses it");
    assert_eq!((&other.method[..], &other.target[..]), (head.method(bytes), head.target(bytes)));
    assert_eq!(other.size, head.len());
    let own: Vec<_> =
        head.fields().iter(bytes).map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
    assert_eq!(own, other.fields);
    match (head.framing(), other.length) {
        (Framing::None, h11::Length::Fixed(0)) => Some(0),
        (Framing::Length(own), h11::Length::Fixed(length)) => {
            assert_eq!(own, length);
            usize::try_from(length).ok()
        }
        (Framing::Chunked, h11::Length::Chunked) => h11::chunks(&bytes[head.len()..]).map(|(_, size)| size),
        framings => panic!("framed as {framings:?}"),
    }
}

/// A head that comes in pieces is the same head, and nothing before its last byte is one.
fn is_read_alike_in_pieces(head: &RequestHead, bytes: &[u8]) {
    let stride = usize::from(bytes[0]) % 7 + 1;
    let mut progress = Progress::default();
    for end in (0..head.len()).step_by(stride) {
        let parsed = read_request(&bytes[..end], &mut progress, &LIMITS);
        assert_eq!(parsed, Ok(Parsed::Incomplete), "at {end}");
    }
    let parsed = read_request(&bytes[..head.len()], &mut progress, &LIMITS);
    assert!(parsed == Ok(Parsed::Complete(head.clone())), "{parsed:?}");
}

/// What section 2 of the rules forbids is in no head that is taken.
fn rules(head: &RequestHead, bytes: &[u8]) {
    let text = &bytes[..head.len()];
    let bare_lf = text.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || text[at - 1] != b'\r'));
    let bare_cr = text.iter().enumerate().any(|(at, byte)| *byte == b'\r' && text.get(at + 1) != Some(&b'\n'));
    assert!(!bare_lf && !bare_cr && !text.contains(&0));
    assert!(!head.target(bytes).iter().any(|byte| matches!(byte, 0..=0x20 | 0x7f | b'#')));

    let count = |wanted: &str| {
        head.fields().iter(bytes).filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).count()
    };
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    for (name, _) in head.fields().iter(bytes) {
        let dashed = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
        assert!(!name.contains(&b'_') || !TWINS.contains(&dashed.as_str()), "{dashed}");
    }
}

/// Bytes that a body takes, and whether it is whole.
fn body(framing: Framing, bytes: &[u8]) -> (usize, bool) {
    let mut reader = BodyReader::new(framing, MAX_TRAILER_BYTES, MAX_TRAILERS);
    let mut used = 0;
    loop {
        if reader.is_finished() {
            return (used, true);
        }
        match reader.step(&bytes[used..]) {
            Ok(step) if step.consumed > 0 => used += step.consumed,
            _ => return (used, false),
        }
    }
}

/// Holds of a chunked body: it is the same body in pieces and to another reader, and what is written is read.
pub fn chunks(data: &[u8]) {
    let stride = data.first().map_or(1, |byte| usize::from(*byte) % 9 + 1);
    let whole = decoded(data, data.len().max(1));
    assert_eq!(decoded(data, stride), whole, "in pieces of {stride}");
    let (bytes, used, end) = whole;
    assert!(bytes.len() <= used && used <= data.len());
    if end == End::Whole {
        assert_eq!(h11::chunks(data), Some((bytes, used)), "another reader reads another body");
    }

    let mut written = Vec::new();
    for chunk in data.chunks(stride * 40) {
        write_chunk_head(chunk.len(), &mut written);
        written.extend_from_slice(chunk);
        written.extend_from_slice(CHUNK_END);
    }
    written.extend_from_slice(LAST_CHUNK);
    assert_eq!(decoded(&written, stride), (data.to_vec(), written.len(), End::Whole));
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Refused,
}

/// The body's bytes, how much of the input it took, and how it ended. Of a refused one it says no more than that.
fn decoded(data: &[u8], stride: usize) -> (Vec<u8>, usize, End) {
    let mut reader = Chunks::new(MAX_TRAILER_BYTES, MAX_TRAILERS);
    let (mut body, mut used) = (Vec::new(), 0);
    for piece in data.chunks(stride) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ok(step) = reader.step(rest) else { return (Vec::new(), 0, End::Refused) };
            body.extend_from_slice(&rest[step.data]);
            used += step.consumed;
            if step.end {
                return (body, used, End::Whole);
            }
            assert!(step.consumed > 0, "a step takes at least one byte");
            rest = &rest[step.consumed..];
        }
    }
    (body, used, End::Cut)
}

/// Holds of a response head: another reader reads the same, and its framing follows from status, request and fields.
pub fn response_head(data: &[u8]) {
    let [kind, bytes] = parts(data);
    let kind = match kind.first() {
        Some(b'h') => RequestKind::Head,
        Some(b'u') => RequestKind::Upgrade,
        _ => RequestKind::Other,
    };
    let Ok(Parsed::Complete(head)) = read_response(bytes, &mut Progress::default(), &LIMITS, kind) else { return };

    let mut fields = [httparse::EMPTY_HEADER; LIMITS.max_fields];
    let mut other = httparse::Response::new(&mut fields);
    let parsed = other.parse(&bytes[..head.len()]).unwrap_or_else(|error| panic!("httparse refuses it: {error}"));
    assert_eq!(parsed, httparse::Status::Complete(head.len()));
    assert_eq!(other.code, Some(head.status()));
    assert_eq!(other.version, Some(u8::from(head.version() == Version::HTTP_11)));
    let own: Vec<_> = head.fields().iter(bytes).collect();
    let others: Vec<_> = other.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(own, others);

    framing_follows(&head, kind);
    let mut progress = Progress::default();
    for end in (0..head.len()).step_by(usize::from(bytes[9]) % 7 + 1) {
        let parsed = read_response(&bytes[..end], &mut progress, &LIMITS, kind);
        assert_eq!(parsed, Ok(Parsed::Incomplete), "at {end}");
    }
    let again = read_response(&bytes[..head.len()], &mut progress, &LIMITS, kind);
    assert!(again == Ok(Parsed::Complete(head)), "{again:?}");
}

fn framing_follows(head: &ResponseHead, kind: RequestKind) {
    assert!((100..=999).contains(&head.status()));
    assert!(head.status() != 101 || kind == RequestKind::Upgrade);
    let is_bodiless = kind == RequestKind::Head || head.status() < 200 || matches!(head.status(), 204 | 304);
    match head.framing() {
        Framing::None => assert!(is_bodiless),
        Framing::Length(length) => assert!(!is_bodiless && head.declared_length() == Some(length)),
        Framing::Chunked => assert!(!is_bodiless && head.declared_length().is_none()),
        Framing::UntilClose => assert!(!is_bodiless && head.declared_length().is_none() && !head.persists()),
    }
}

/// Holds of fields that are changed and written: they are those of a plain list changed alike, in its order, and read back as
/// the same.
pub fn edits(data: &[u8]) {
    let [head_bytes, changes] = parts(data);
    let Ok(Parsed::Complete(head)) = read_request(head_bytes, &mut Progress::default(), &LIMITS) else { return };
    let mut fields = Fields::of_head(Bytes::copy_from_slice(head_bytes), head.fields().ranges(), 4);
    let mut model: Vec<(Vec<u8>, Vec<u8>)> =
        head.fields().iter(head_bytes).map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();

    for (change, name, value) in changes.split(|byte| *byte == b'\n').take(64).filter_map(change) {
        let line = (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec());
        let first = model.iter().position(|(name, _)| *name == line.0);
        match (change, first) {
            (b'+', _) => fields.append(name, value),
            (b'-', _) => assert_eq!(fields.remove(name), first.is_some()),
            _ => fields.set(name, value),
        }
        if change != b'+' {
            model.retain(|(name, _)| *name != line.0);
        }
        match (change, first) {
            (b'-', _) => {}
            (b'+', _) | (_, None) => model.push(line),
            (_, Some(at)) => model.insert(at, line),
        }
    }

    assert_eq!(lines_of(fields.iter()), model);
    for (name, _) in &model {
        let wanted = model.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]);
        assert!(fields.lines(name).eq(wanted.clone()), "{}", name.escape_ascii());
        assert_eq!(fields.get(name), wanted.clone().next());
        assert_eq!(fields.only(name).is_err(), wanted.count() > 1);
    }

    let mut out = b"GET / HTTP/1.1\r\n".to_vec();
    fields.write(Spelling::Usual, &mut out);
    out.extend_from_slice(b"\r\n");
    let limits = Limits { max_bytes: out.len(), max_fields: 1 << 12 };
    match read_request(&out, &mut Progress::default(), &limits) {
        Ok(Parsed::Complete(again)) => {
            assert_eq!(again.len(), out.len(), "something stands behind the head");
            assert_eq!(lines_of(again.fields().iter(&out)), model);
        }
        // An edit may say what no head may: lengths that differ, a name that must not be spelt so. Nobody makes one.
        Err(fault) => assert!(
            matches!(fault, RequestFault::Length(_) | RequestFault::UnderscoreTwin),
            "{fault:?} of {}",
            out.escape_ascii()
        ),
        Ok(Parsed::Incomplete) => panic!("{} is no whole head", out.escape_ascii()),
    }
}

fn lines_of<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect()
}

/// `+name: value`, `-name` or `=name: value`.
fn change(line: &[u8]) -> Option<(u8, HeaderName, HeaderValue)> {
    let (kind, rest) = line.split_first()?;
    let (name, value) = match rest.iter().position(|byte| *byte == b':') {
        Some(colon) => (&rest[..colon], rest[colon + 1..].trim_ascii()),
        None => (rest, &b""[..]),
    };
    Some((*kind, HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}
