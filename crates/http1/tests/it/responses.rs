//! The rules for response heads, row by row.

use super::LIMITS;
use vestibule_http1::HeadFault::*;
use vestibule_http1::LengthFault::*;
use vestibule_http1::ResponseFault::*;
use vestibule_http1::{Framing, Known, Parsed, Progress, RequestKind, ResponseFault, ResponseHead, read_response};

fn read(bytes: &[u8], request: RequestKind) -> Result<Parsed<ResponseHead>, ResponseFault> {
    let whole = read_response(bytes, &mut Progress::default(), &LIMITS, request);
    let mut progress = Progress::default();
    let cut = (0..=bytes.len())
        .map(|end| read_response(&bytes[..end], &mut progress, &LIMITS, request))
        .find(|read| read != &Ok(Parsed::Incomplete));
    assert_eq!(cut.unwrap_or(Ok(Parsed::Incomplete)), whole, "{:?}", String::from_utf8_lossy(bytes));
    whole
}

fn accepted(text: &str, request: RequestKind) -> ResponseHead {
    match read(text.as_bytes(), request) {
        Ok(Parsed::Complete(head)) => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for (text, fault) in [
        ("HTTP/1.1 200 OK\nx: y\r\n\r\n", Head(BareLf)),
        ("{}x: y\n\r\n", Head(BareLf)),
        ("{}x: y\r\n z\r\n\r\n", Head(ObsoleteFold)),
        ("{}x : y\r\n\r\n", Head(SpaceBeforeColon)),
        ("{}x: a\0\r\n\r\n", Head(FieldValue)),
        ("{}x: a\x0b\r\n\r\n", Head(FieldValue)),
        ("{}x\r\n\r\n", Head(FieldName)),
        ("{}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Length(Both)),
        ("{}content-length: 1\r\ncontent-length: 1\r\n\r\n", Length(Repeated)),
        ("{}content-length: 1, 1\r\n\r\n", Length(Repeated)),
        ("{}content-length: 01\r\n\r\n", Length(NotANumber)),
        ("{}transfer-encoding: gzip, chunked\r\n\r\n", Length(UnknownCoding)),
        ("{}transfer-encoding: identity\r\n\r\n", Length(Coding)),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Length(CodingInHttp10)),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 200\tOK\r\n\r\n", StatusLine),
        ("HTTP/1.1 200 O\x01K\r\n\r\n", StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", StatusLine),
        ("ICY 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", UnaskedSwitch),
    ] {
        let head = text.replace("{}", "HTTP/1.1 200 OK\r\nserver: a\r\n");
        assert_eq!(read(head.as_bytes(), RequestKind::Other), Err(fault), "{text:?}");
    }
}

#[test]
fn a_body_ends_as_status_request_and_fields_say() {
    use RequestKind::*;
    for (head, request, framing) in [
        ("HTTP/1.1 200 OK\r\n", Other, Framing::UntilClose),
        ("HTTP/1.1 200\r\ncontent-length: 3\r\n", Other, Framing::Length(3)),
        ("HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n", Other, Framing::Chunked),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", Head, Framing::None),
        ("HTTP/1.1 200 OK\r\n", Head, Framing::None),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n", Other, Framing::None),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n", Other, Framing::None),
        ("HTTP/1.1 103 Early Hints\r\n", Other, Framing::None),
        ("HTTP/1.1 101 Switching Protocols\r\n", Upgrade, Framing::None),
        ("HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n", Other, Framing::Length(0)),
    ] {
        let head = accepted(&format!("{head}\r\n"), request);
        assert_eq!(head.framing(), framing, "{head:?}");
    }
    let declared = accepted("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Head);
    assert_eq!(declared.declared_length(), Some(3));
}

#[test]
fn a_head_is_what_its_bytes_say() {
    let text = "HTTP/1.0 404 Not  here\r\nDate: x\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n";
    let head = accepted(text, RequestKind::Other);
    assert_eq!((head.status(), head.reason(text.as_bytes()), head.len()), (404, &b"Not  here"[..], text.len()));
    assert_eq!(head.fields().get(text.as_bytes(), Known::Date), Some(&b"x"[..]));
    assert!(head.persists() && !head.is_interim());
    assert!(!accepted("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", RequestKind::Other).persists());
    assert!(!accepted("HTTP/1.1 200 OK\r\n\r\n", RequestKind::Other).persists(), "nothing else ends its body");
}
