//! The rules for request heads, row by row.

use super::{LIMITS, request, trickled};
use http::{StatusCode, Version};
use vestibule_http1::HeadFault::*;
use vestibule_http1::LengthFault::*;
use vestibule_http1::RequestFault::*;
use vestibule_http1::{FaultKind, Framing, Known, Limits, Parsed, Progress, RequestFault, RequestHead, read_request};

/// Heads that are refused, each with its fault. `{}` is a request line and a Host.
const REFUSED: &[(&str, RequestFault)] = &[
    // Lines and fields.
    ("GET / HTTP/1.1\nhost: a\r\n\r\n", Head(BareLf)),
    ("{}x: y\n\r\n", Head(BareLf)),
    ("{}x: y\r\n\n", Head(BareLf)),
    ("\nGET / HTTP/1.1\r\n\r\n", Head(BareLf)),
    ("{}x: a\rb\r\n\r\n", Head(FieldValue)),
    ("{}x: a\r\r\n\r\n", Head(FieldValue)),
    ("{}x: a\0b\r\n\r\n", Head(FieldValue)),
    ("{}x: a\x1bb\r\n\r\n", Head(FieldValue)),
    ("{}x: a\x7fb\r\n\r\n", Head(FieldValue)),
    ("{}x: a\r\n b\r\n\r\n", Head(ObsoleteFold)),
    ("{}x: a\r\n\tb\r\n\r\n", Head(ObsoleteFold)),
    ("{} \r\n\r\n", Head(ObsoleteFold)),
    ("GET / HTTP/1.1\r\n host: a\r\n\r\n", Head(ObsoleteFold)),
    ("{}x : y\r\n\r\n", Head(SpaceBeforeColon)),
    ("{}x\t: y\r\n\r\n", Head(SpaceBeforeColon)),
    ("{}content-length : 1\r\n\r\n", Head(SpaceBeforeColon)),
    ("{}x y: z\r\n\r\n", Head(FieldName)),
    ("{}: y\r\n\r\n", Head(FieldName)),
    ("{}no colon\r\n\r\n", Head(FieldName)),
    ("{}no-colon\r\n\r\n", Head(FieldName)),
    ("{}(x): y\r\n\r\n", Head(FieldName)),
    ("{}x\0: y\r\n\r\n", Head(FieldName)),
    ("{}x\u{e9}: y\r\n\r\n", Head(FieldName)),
    ("{}\r: y\r\n\r\n", Head(FieldName)),
    ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", EmptyLines),
    // The request line.
    ("GET /\r\n\r\n", RequestLine),
    ("GET\r\n\r\n", RequestLine),
    ("GET  HTTP/1.1\r\n\r\n", RequestLine),
    (" / HTTP/1.1\r\n\r\n", RequestLine),
    (" GET / HTTP/1.1\r\n\r\n", RequestLine),
    ("G(T / HTTP/1.1\r\n\r\n", RequestLine),
    ("GET\t/ HTTP/1.1\r\n\r\n", RequestLine),
    ("GET / HTTP/1.2\r\n\r\n", RequestLine),
    ("GET / HTTP/1.10\r\n\r\n", RequestLine),
    ("GET / HTTP/2.0\r\n\r\n", RequestLine),
    ("GET / HTTP/0.9\r\n\r\n", RequestLine),
    ("GET / http/1.1\r\n\r\n", RequestLine),
    ("GET / HTTP/1.1 \r\n\r\n", RequestLine),
    ("GET /\tHTTP/1.1\r\n\r\n", RequestLine),
    ("\x16\x03\x01\r\n\r\n", RequestLine),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestLine),
    ("GET  / HTTP/1.1\r\n\r\n", Target),
    ("GET /  HTTP/1.1\r\n\r\n", Target),
    ("GET /a b HTTP/1.1\r\n\r\n", Target),
    ("GET /a\tb HTTP/1.1\r\n\r\n", Target),
    ("GET /a\0 HTTP/1.1\r\n\r\n", Target),
    ("GET /a\r HTTP/1.1\r\n\r\n", Target),
    ("GET /a\x7f HTTP/1.1\r\n\r\n", Target),
    ("GET /a#b HTTP/1.1\r\n\r\n", Target),
    // Lengths.
    ("{}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Length(Both)),
    ("{}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", Length(Both)),
    ("{}transfer-encoding: gzip, chunked\r\ncontent-length: x\r\n\r\n", Length(Both)),
    ("{}content-length: 1\r\ncontent-length: 1\r\n\r\n", Length(Repeated)),
    ("{}content-length: 1\r\nContent-Length: 2\r\n\r\n", Length(Repeated)),
    ("{}content-length: 1, 1\r\n\r\n", Length(Repeated)),
    ("{}content-length: 1,\r\n\r\n", Length(Repeated)),
    ("{}content-length:\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 010\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 00\r\n\r\n", Length(NotANumber)),
    ("{}content-length: +3\r\n\r\n", Length(NotANumber)),
    ("{}content-length: -3\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 0x1\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 1 1\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 1_0\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 1.0\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 1;x\r\n\r\n", Length(NotANumber)),
    ("{}content-length: \u{661}\r\n\r\n", Length(NotANumber)),
    ("{}content-length: 1000000000000000000\r\n\r\n", Length(NotANumber)),
    // Transfer codings.
    ("{}transfer-encoding:\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: gzip\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: identity\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: xchunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: \"chunked\"\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked;x\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked,\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: ,chunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked, chunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked, gzip\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked, gzip, chunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", Length(Coding)),
    ("{}transfer-encoding: gzip, chunked\r\n\r\n", Length(UnknownCoding)),
    ("{}transfer-encoding: br;q=1, gzip, CHUNKED\r\n\r\n", Length(UnknownCoding)),
    ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", Length(CodingInHttp10)),
    ("POST / HTTP/1.0\r\ntransfer-encoding: gzip, chunked\r\n\r\n", Length(CodingInHttp10)),
    // Names that somebody may read as another.
    ("{}content_length: 1\r\n\r\n", UnderscoreTwin),
    ("{}Transfer_Encoding: chunked\r\n\r\n", UnderscoreTwin),
    ("{}CONNECTION_: x\r\n_host: x\r\nhost_: y\r\nx: y\r\ncontent_Length: 1\r\n\r\n", UnderscoreTwin),
];

#[test]
fn what_two_readers_could_read_differently_is_refused_however_it_comes() {
    for (text, fault) in REFUSED {
        let head = text.replace("{}", "GET / HTTP/1.1\r\nhost: a\r\n");
        // In Latin-1, so that bytes from 0x80 come as one.
        let head: Vec<u8> = head.chars().map(|char| char as u32 as u8).collect();
        assert_eq!(request(&head), Err(*fault), "{text:?}");
        assert_eq!(trickled(&head), Err(*fault), "{text:?}, byte by byte");
    }
}

#[test]
fn each_fault_has_its_answer_and_its_kind() {
    for (fault, status, kind) in [
        (Head(BareLf), StatusCode::BAD_REQUEST, FaultKind::Framing),
        (Target, StatusCode::BAD_REQUEST, FaultKind::Framing),
        (Length(Both), StatusCode::BAD_REQUEST, FaultKind::Smuggling),
        (Length(UnknownCoding), StatusCode::NOT_IMPLEMENTED, FaultKind::Smuggling),
        (UnderscoreTwin, StatusCode::BAD_REQUEST, FaultKind::Smuggling),
        (Head(TooManyBytes), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, FaultKind::HeaderSize),
        (Head(TooManyFields), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, FaultKind::HeaderSize),
    ] {
        assert_eq!((fault.status(), fault.kind()), (status, kind), "{fault:?}");
    }
}

fn accepted(bytes: &[u8]) -> RequestHead {
    match (request(bytes), trickled(bytes)) {
        (Ok(Parsed::Complete(head)), Ok(Parsed::Complete(again))) => {
            assert_eq!(head, again);
            head
        }
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn a_head_is_what_its_bytes_say() {
    let bytes = b"\r\nPOST /a?b=\"<>`{}|\\^\xff HTTP/1.1\r\nHost:a\r\nX:\t y z \t\r\nx: \xe9\tb\r\nEmpty:\r\n\
                  Content-Length: 5\r\nExpect: 100-Continue\r\nConnection: Keep-Alive, x\r\nconnection: close\r\n\r\nhello";
    let head = accepted(bytes);
    assert_eq!((head.method(bytes), head.target(bytes)), (&b"POST"[..], &b"/a?b=\"<>`{}|\\^\xff"[..]));
    assert_eq!((head.version(), head.framing(), head.len()), (Version::HTTP_11, Framing::Length(5), bytes.len() - 5));
    assert!(head.expects_continue());
    let connection = head.connection();
    assert!(connection.close && connection.keep_alive && connection.names_others && !connection.upgrade);

    let fields = head.fields();
    assert_eq!(fields.len(), 8);
    assert_eq!(fields.get(bytes, Known::Host), Some(&b"a"[..]));
    assert_eq!(fields.get(bytes, Known::Upgrade), None);
    assert_eq!(fields.lines(bytes, b"x").collect::<Vec<_>>(), [&b"y z"[..], b"\xe9\tb"]);
    assert_eq!(fields.all(bytes, Known::Connection).count(), 2);
    let first: Vec<_> = fields.iter(bytes).take(4).collect();
    assert_eq!(first, [(&b"Host"[..], &b"a"[..]), (b"X", b"y z"), (b"x", b"\xe9\tb"), (b"Empty", b"")]);
}

#[test]
fn bodies_are_framed_by_one_reading() {
    for (fields, framing) in [
        ("", Framing::None),
        ("content-length: 0\r\n", Framing::Length(0)),
        ("content-length: \t7 \r\n", Framing::Length(7)),
        ("content-length: 999999999999999999\r\n", Framing::Length(999_999_999_999_999_999)),
        ("transfer-encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: CHUNKED \r\n", Framing::Chunked),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        assert_eq!(accepted(bytes.as_bytes()).framing(), framing, "{fields:?}");
    }
}

#[test]
fn a_client_of_http_1_0_waits_for_no_100() {
    assert!(!accepted(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\n\r\n").expects_continue());
}

/// SEC-14: bytes count from the first one of the request line to the end of the blank line.
#[test]
fn one_byte_or_one_field_too_many_is_too_large() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n";
    let read = |max_bytes, max_fields, bytes: &[u8]| {
        read_request(bytes, &mut Progress::default(), &Limits { max_bytes, max_fields }).map(|_| ())
    };
    let size = bytes.len() - 2;
    assert_eq!(read(size, 2, bytes), Ok(()));
    assert_eq!(read(size - 1, 2, bytes), Err(Head(TooManyBytes)));
    assert_eq!(read(size, 1, bytes), Err(Head(TooManyFields)));
    assert_eq!(read(10, 1, &[b'a'; 10]), Ok(()), "not before there is one more");
    assert_eq!(read(10, 1, &[b'a'; 11]), Err(Head(TooManyBytes)));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(LIMITS.max_fields));
    assert_eq!(accepted(many.as_bytes()).fields().len(), 256);
}
