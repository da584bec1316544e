//! How a response is put on an HTTP/1 connection: the head in one pass, and the framing of its body. Pure.

use crate::response_head::ResponseHead;
use bytes::BufMut;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use vestibule_http1::Framing;
use vestibule_plugin::{Fields, Spelling};

/// How the body of a response to `method` ends, as its fields say.
pub fn framing_of(head: &ResponseHead, method: &Method) -> Framing {
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless || *method == Method::HEAD || head.status.is_informational() {
        return Framing::None;
    }
    if head.fields.has(header::TRANSFER_ENCODING) {
        return Framing::Chunked;
    }

    let length = head.fields.text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    length.map_or(Framing::UntilClose, Framing::Length)
}

/// The life of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It may.
    Serves,
    /// It may not.
    Closes,
}

/// Says in `fields` whether another request may follow, where the version alone does not.
pub fn tell_next(fields: &mut Fields, next: Next, version: Version) {
    let option = match (next, version) {
        (Next::Closes, _) => "close",
        (Next::Serves, Version::HTTP_10) => "keep-alive",
        (Next::Serves, _) => return,
    };
    fields.set(header::CONNECTION, HeaderValue::from_static(option));
}

/// Writes the head.
pub fn write_head(head: &ResponseHead, out: &mut Vec<u8>) {
    let usual = || head.status.canonical_reason().unwrap_or_default().as_bytes();
    let reason = head.reason.as_deref().unwrap_or_else(usual);
    for part in [b"HTTP/1.1 ", head.status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        out.put_slice(part);
    }
    head.fields.write(Spelling::Small, out);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHead {
        let mut head = ResponseHead::new(StatusCode::from_u16(status).expect("a status"));
        let lines = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        head.fields.extend(lines);
        head
    }

    #[test]
    fn a_body_is_framed_by_its_head_and_some_have_none() {
        let of = |status, fields: &[(&'static str, &'static str)], method: &str| {
            framing_of(&head(status, fields), &Method::from_bytes(method.as_bytes()).expect("a method"))
        };
        assert_eq!(of(200, &[("content-length", "3")], "GET"), Framing::Length(3));
        assert_eq!(of(200, &[("transfer-encoding", "chunked")], "GET"), Framing::Chunked);
        assert_eq!(of(200, &[], "GET"), Framing::UntilClose);
        for (status, method) in [(204, "GET"), (304, "GET"), (103, "GET"), (200, "HEAD")] {
            assert_eq!(of(status, &[("content-length", "3")], method), Framing::None, "{status} {method}");
        }
    }

    #[test]
    fn a_head_is_written_with_its_reason_and_says_what_follows() {
        let mut head = head(200, &[("x", "1")]);
        head.reason = Some("Fine".into());
        tell_next(&mut head.fields, Next::Closes, Version::HTTP_11);
        let mut out = Vec::new();
        write_head(&head, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "HTTP/1.1 200 Fine\r\nx: 1\r\nconnection: close\r\n\r\n");
        for (next, version, told) in [
            (Next::Serves, Version::HTTP_11, None),
            (Next::Serves, Version::HTTP_10, Some("keep-alive")),
            (Next::Closes, Version::HTTP_10, Some("close")),
        ] {
            let mut fields = Fields::new();
            tell_next(&mut fields, next, version);
            assert_eq!(fields.text(header::CONNECTION), told);
        }
    }
}
