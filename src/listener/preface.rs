//! The protocol of a client in clear: HTTP/2 begins with a preface (RFC 9113 section 3.4), everything else is HTTP/1.
//!
//! The engine can tell them apart as well, but waits for the whole preface and for ever.

use super::socket::Socket;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The first bytes of a client that knows that HTTP/2 is spoken here.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of it that begin no other request: its method is reserved.
const RESERVED: usize = "PRI ".len();
/// Bytes read at once: most heads in one piece.
const PIECE: usize = 2 * 1024;

/// A protocol, and when the first byte came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.0 or HTTP/1.1, or bytes that its reader refuses.
    Http1(Instant),
    /// HTTP/2 by prior knowledge.
    Http2(Instant),
}

/// Recognises the protocol as soon as its bytes allow it, and leaves them to be read again. `None`: the client sent
/// nothing in time, or left, or sent no more than the beginning of a preface.
pub async fn recognise(socket: &mut Socket, accepted: Instant, header_timeout: Duration) -> Option<Spoken> {
    let (mut began, mut seen) = (None, 0);
    loop {
        let deadline = began.unwrap_or(accepted) + header_timeout;
        let Ok(peeked) = timeout_at(deadline, socket.peek_on(PIECE)).await else {
            // A method that has begun like the preface is the HTTP/1 reader's to refuse.
            return began.filter(|_| seen < RESERVED).map(Spoken::Http1);
        };
        let bytes = peeked.ok()?;
        if bytes.len() == seen {
            return None;
        }

        let began = *began.get_or_insert_with(Instant::now);
        match compare(bytes) {
            Likeness::Preface => return Some(Spoken::Http2(began)),
            Likeness::Other => return Some(Spoken::Http1(began)),
            Likeness::Open => seen = bytes.len(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Likeness {
    Preface,
    Other,
    Open,
}

fn compare(bytes: &[u8]) -> Likeness {
    if bytes.starts_with(PREFACE) {
        Likeness::Preface
    } else if PREFACE.starts_with(bytes) {
        Likeness::Open
    } else {
        Likeness::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_told_from_requests_as_soon_as_it_can_be() {
        assert_eq!(compare(PREFACE), Likeness::Preface);
        assert_eq!(compare(&[PREFACE, b"more"].concat()), Likeness::Preface);
        for length in 0..PREFACE.len() {
            assert_eq!(compare(&PREFACE[..length]), Likeness::Open, "{length}");
            let other = [&PREFACE[..length], b"?"].concat();
            assert_eq!(compare(&other), Likeness::Other, "{length}");
        }
        for request in ["POST / HTTP/1.1\r\n", "PRIX / HTTP/1.1\r\n", "GET", "PRI * HTTP/1.1\r\n\r\n"] {
            assert_eq!(compare(request.as_bytes()), Likeness::Other, "{request}");
        }
    }
}
