//! Media types, compared without regard to case and parameters (RFC 9110 section 8.3.1).

use crate::fields::Fields;
use crate::list;
use http::header::{CONTENT_TYPE, HeaderName};

/// Type and subtype of a `content-type`, as they are spelt there.
pub fn essence(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    list::trim(&content_type[..end])
}

/// Whether a `content-type` is this one, e.g. `text/html`.
pub fn is(content_type: &[u8], wanted: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case(wanted.as_bytes())
}

/// Whether it is one of gRPC: `application/grpc`, with whatever stands behind it.
pub fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    essence(content_type).get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

/// Whether it is a stream of server-sent events.
pub fn is_event_stream(content_type: &[u8]) -> bool {
    is(content_type, "text/event-stream")
}

/// Whether its bytes are meant to be seen one after the other, and its end may never come.
pub fn is_open_ended(content_type: &[u8]) -> bool {
    let essence = essence(content_type);
    let is_one = |wanted: &str| essence.eq_ignore_ascii_case(wanted.as_bytes());
    is_one("text/event-stream") || is_one("multipart/x-mixed-replace") || is_grpc(essence)
}

/// Whether the bytes of a reply are meant to be seen one after the other: by its media type, or as the application asks
/// proxies not to keep it (`x-accel-buffering: no`).
pub fn is_stream(fields: &Fields) -> bool {
    const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
    fields.lines(&CONTENT_TYPE).any(is_open_ended)
        || fields.lines(&X_ACCEL_BUFFERING).any(|line| line.eq_ignore_ascii_case(b"no"))
}

/// Whether it is JSON: `application/json`, `text/json`, or a type with the suffix `+json` (RFC 6839 section 3.1).
pub fn is_json(content_type: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let mut halves = essence(content_type).split(|byte| *byte == b'/');
    match (halves.next(), halves.next(), halves.next()) {
        (Some(kind), Some(subtype), None) if subtype.eq_ignore_ascii_case(b"json") => {
            kind.eq_ignore_ascii_case(b"application") || kind.eq_ignore_ascii_case(b"text")
        }
        (Some(kind), Some(subtype), None) => {
            let suffix = subtype.len().checked_sub(SUFFIX.len()).map(|at| &subtype[at..]);
            !kind.is_empty() && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_white_space_and_parameters_make_no_difference() {
        for text in ["text/event-stream", "Text/Event-Stream; charset=utf-8", " TEXT/EVENT-STREAM\t;x"] {
            assert!(is_event_stream(text.as_bytes()) && is_open_ended(text.as_bytes()), "{text}");
        }
        for text in ["text/event-streams", "text/plain; a=text/event-stream", "", "text/event-stream, text/plain"] {
            assert!(!is_event_stream(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn grpc_begins_like_grpc() {
        for text in ["application/grpc", "Application/GRPC+proto", "application/grpc;x", " application/grpc-web"] {
            assert!(is_grpc(text.as_bytes()), "{text}");
        }
        assert!(!is_grpc(b"application/grp") && !is_grpc(b"x/y; application/grpc"));
    }

    #[test]
    fn json_is_a_subtype_or_a_suffix() {
        for text in ["application/json", "TEXT/JSON;charset=utf-8", "application/problem+JSON", "x/y+json"] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in ["application/jsonl", "json", "image/json", "/x+json", "application/json/x", "a/b;c=d+json"] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
    }
}
