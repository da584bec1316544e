//! Heads that are refused, and the harmless head that stands in for one.
//!
//! What cannot be read is an exchange like any other: with a problem, a trace id and an access line. It gets a head that keeps
//! what was readable of the refused one, and finds the refusal beside it.

use crate::edge::target::BadTarget;
use crate::edge::threats::Threat;
use http::{HeaderValue, Method};
use std::time::Duration;
use vestibule_http1::{FaultKind, RequestFault};
use vestibule_plugin::is_authority;

/// Longest method and target that are told on.
const MAX_METHOD: usize = 32;
const MAX_TARGET: usize = 8 * 1024;
/// Lines of a refused head that are looked at.
const MAX_LINES: usize = 64;

/// Fields that decide on the form of the answer, who may read it, and which trace it belongs to.
const KEPT: [&str; 7] = ["host", "accept", "origin", "user-agent", "content-type", "traceparent", "tracestate"];

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not one that all readers read the same.
    Fault(RequestFault),
    /// It took longer than this.
    Slow(Duration),
    /// Its Host is none, or its target does not go with it, or is of a form that is not served.
    Target(BadTarget),
    /// CONNECT, whose target is no path.
    Connect,
}

impl Why {
    /// The kind it counts as.
    pub fn threat(self) -> Threat {
        match self {
            Self::Fault(fault) => match fault.kind() {
                FaultKind::Framing => Threat::Framing,
                FaultKind::Smuggling => Threat::Smuggling,
                FaultKind::HeaderSize => Threat::HeaderSize,
            },
            Self::Slow(_) => Threat::SlowHead,
            Self::Target(BadTarget::Host) => Threat::BadHost,
            Self::Target(_) => Threat::BadTarget,
            Self::Connect => Threat::Method,
        }
    }
}

/// A head that was refused, until the exchange it became takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedHead {
    /// Why.
    pub why: Why,
    /// What of it could not be read.
    pub unread: Unread,
}

/// Parts of a head that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The method.
    pub method: bool,
    /// The target.
    pub target: bool,
    /// The version.
    pub version: bool,
}

/// The head to go on with instead of the refused one that begins with `bytes`.
pub fn stand_in(bytes: &[u8]) -> (Vec<u8>, Unread) {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    // Of a line that is not whole nobody knows what it says.
    let bytes = &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |newline| newline + 1)];
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));

    let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let method = method.filter(|name| is_method(name));
    let target = target.filter(|target| is_path(target));
    let version = version.filter(|version| matches!(*version, b"HTTP/1.0" | b"HTTP/1.1"));
    let unread = Unread { method: method.is_none(), target: target.is_none(), version: version.is_none() };

    let start = [method.unwrap_or(b"_OTHER"), target.unwrap_or(b"/"), version.unwrap_or(b"HTTP/1.1")];
    let mut head = start.join(&b' ');
    let mut seen = [false; KEPT.len()];
    for line in lines.take(MAX_LINES) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let Some(at) = KEPT.iter().position(|kept| kept.as_bytes().eq_ignore_ascii_case(name)) else {
            continue;
        };
        let is_good = HeaderValue::from_bytes(value).is_ok() && (KEPT[at] != "host" || is_authority(value));
        if is_good && !std::mem::replace(&mut seen[at], true) {
            for part in [b"\r\n", KEPT[at].as_bytes(), b": ", value] {
                head.extend_from_slice(part);
            }
        }
    }
    head.extend_from_slice(b"\r\n\r\n");
    (head, unread)
}

/// Whether it can stand in a head that is read again.
fn is_method(name: &[u8]) -> bool {
    name.len() <= MAX_METHOD && Method::from_bytes(name).is_ok_and(|method| method != Method::CONNECT)
}

/// Whether it is a target in origin-form that needs no change.
fn is_path(target: &[u8]) -> bool {
    target.starts_with(b"/")
        && target.len() <= MAX_TARGET
        && target.iter().all(u8::is_ascii_graphic)
        && !target.contains(&b'#')
        && crate::edge::target::encoded(target).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vestibule_http1::{Framing, Known, Limits, Parsed, Progress, read_request};

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(stand_in(bytes).0).expect("text")
    }

    #[test]
    fn what_was_readable_is_kept() {
        let head = b"POST /a?b HTTP/1.0\r\nHost: a.test\r\nhost: b\r\nX: y\r\ntraceparent: 00-1\r\naccept: \0\r\nContent-Length: 5, 5\r\norigin: cu";
        assert_eq!(text(head), "POST /a?b HTTP/1.0\r\nhost: a.test\r\ntraceparent: 00-1\r\n\r\n");
        assert_eq!(text(b"GET /a b HTTP/1.1\r\n\r\n"), "GET /a HTTP/1.1\r\n\r\n");
        assert_eq!(text(b"CONNECT a:80 HTTP/1.1\r\nhost: a@b\r\n\r\n"), "_OTHER / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn what_could_not_be_read_is_told() {
        let unread = |bytes| {
            let unread = stand_in(bytes).1;
            (unread.method, unread.target, unread.version)
        };
        assert_eq!(unread(b"GET / HTTP/1.1\r\n"), (false, false, false));
        assert_eq!(unread(b"GET /\r\n"), (false, false, true));
        assert_eq!(unread(b"G{T x HTTP/3.0\r\n"), (true, true, true));
        assert_eq!(unread(b""), (true, true, true));
        assert_eq!(unread(&[b'a'; 64]), (true, true, true));
    }

    proptest! {
        #[test]
        fn every_stand_in_is_a_head_without_a_body(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(GET|X) [ -~]{0,9} HTTP/1.[01]\r\n((Host|Accept|x): [ -~\t]{0,9}\r\n){0,4}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let (head, _) = stand_in(bytes);
                let limits = Limits { max_bytes: head.len(), max_fields: 256 };
                let Ok(Parsed::Complete(read)) = read_request(&head, &mut Progress::default(), &limits) else { panic!("{head:?}") };
                prop_assert_eq!((read.len(), read.framing()), (head.len(), Framing::None));
                prop_assert!(!read.fields().has(Known::Connection));
            }
        }
    }
}
