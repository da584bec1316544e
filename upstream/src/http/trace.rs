//! The trace a request belongs to: the caller's when `traceparent` is valid, else a fresh random one.

use std::fmt;

use axum::http::HeaderMap;
use uuid::Uuid;

/// A W3C trace id: 32 lower-case hexadecimal digits, not all zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceId(String);

impl TraceId {
    /// The id of the request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all("traceparent").iter();
        let only = match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok(),
            _ => None,
        };
        only.and_then(parse).unwrap_or_else(Self::fresh)
    }

    // The low 56 bits of a version 4 UUID are random, which is what the specification asks of a trace id.
    fn fresh() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Its 32 digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// W3C Trace Context Level 2, section 3.2: version 00 has exactly 55 characters, later versions may go on after a dash.
fn parse(value: &str) -> Option<TraceId> {
    let value = value.trim_matches([' ', '\t']);
    let (known, rest) = (value.get(..55)?, value.get(55..)?);
    let [version, trace, parent, flags] = known.split('-').collect::<Vec<_>>().try_into().ok()?;
    let shaped = [(version, 2), (trace, 32), (parent, 16), (flags, 2)].iter().all(|(part, digits)| {
        part.len() == *digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let ends = match version {
        "00" => rest.is_empty(),
        "ff" => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let nonzero = |id: &str| id.bytes().any(|byte| byte != b'0');
    (shaped && ends && nonzero(trace) && nonzero(parent)).then(|| TraceId(trace.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_trace_is_continued() {
        for value in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff\t",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(parse(value), Some(TraceId(TRACE.to_owned())), "{value}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for value in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0ä",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_fresh_trace_has_the_shape_of_one() {
        let fresh = TraceId::fresh();
        assert!(parse(&format!("00-{fresh}-00f067aa0ba902b7-01")).is_some());
        assert_ne!(fresh, TraceId::fresh());
    }
}
