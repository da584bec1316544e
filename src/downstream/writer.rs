//! How a response is put on an HTTP/1 connection: the head in one pass, and the framing of its body. Pure.

use crate::connections::Reason;
use bytes::BufMut;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use vestibule_http1::Framing;

/// How the body of a response to `method` ends, as its fields say.
pub fn framing_of(head: &Parts, method: &Method) -> Framing {
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless || *method == Method::HEAD || head.status.is_informational() {
        return Framing::None;
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        return Framing::Chunked;
    }

    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
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

/// Says in `headers` whether another request may follow, where the version alone does not.
pub fn tell_next(headers: &mut HeaderMap, next: Next, version: Version) {
    let option = match (next, version) {
        (Next::Closes, _) => "close",
        (Next::Serves, Version::HTTP_10) => "keep-alive",
        (Next::Serves, _) => return,
    };
    headers.insert(header::CONNECTION, HeaderValue::from_static(option));
}

/// Writes the head.
pub fn write_head(head: &Parts, out: &mut Vec<u8>) {
    let reason = head.extensions.get::<Reason>().map(|Reason(reason)| reason.as_str());
    let reason = reason.or_else(|| head.status.canonical_reason()).unwrap_or_default();
    for part in [b"HTTP/1.1 ", head.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"] {
        out.put_slice(part);
    }
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.put_slice(part);
        }
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
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
        head.extensions.insert(Reason("Fine".to_owned()));
        tell_next(&mut head.headers, Next::Closes, Version::HTTP_11);
        let mut out = Vec::new();
        write_head(&head, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "HTTP/1.1 200 Fine\r\nx: 1\r\nconnection: close\r\n\r\n");
        for (next, version, told) in [
            (Next::Serves, Version::HTTP_11, None),
            (Next::Serves, Version::HTTP_10, Some("keep-alive")),
            (Next::Closes, Version::HTTP_10, Some("close")),
        ] {
            let mut headers = HeaderMap::new();
            tell_next(&mut headers, next, version);
            assert_eq!(headers.get(header::CONNECTION).map(|value| value.to_str().expect("text")), told);
        }
    }
}
