//! What may be sent again after an attempt failed. The one rule, for every way a request goes.

use crate::proxy::failure::is_broken_connection;
use crate::upstream::Reuse;
use http::Method;
use pingora::{Error, ErrorType};
use vestibule_plugin::Detach;

/// Attempts of a request of which nothing was processed, the first included.
const MAX_UNPROCESSED: usize = 3;
/// Attempts of a request that may have met a dead connection, the first included.
const MAX_ON_DEAD_CONNECTIONS: usize = 2;

/// How sure it is that the upstream did nothing with a request whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processed {
    /// No byte of it was written: there was no connection.
    NothingWritten,
    /// The peer refused the stream (RFC 9113 section 8.7: REFUSED_STREAM).
    Refused,
    /// The stream lies above the last one of a GOAWAY (RFC 9113 section 6.8).
    AboveGoaway,
    /// It may have been processed.
    Unknown,
}

/// An attempt that failed, and those before it.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt {
    /// Attempts made, this one included.
    pub made: usize,
    /// A byte of the request may have been written.
    pub sent: bool,
    /// Others had used the connection before.
    pub reused: bool,
    /// A byte of an answer has come.
    pub heard: bool,
}

/// The request, as far as it decides what may be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Resendable<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether it has a body.
    pub has_body: bool,
    /// Whether all that was sent of the body is still here.
    pub body_is_here: bool,
    /// Whether the call outlives its client.
    pub detach: Detach,
}

impl Processed {
    /// Read from what the peer said, not from the method.
    pub fn of(error: &Error, attempt: FailedAttempt) -> Self {
        if !attempt.sent {
            return Self::NothingWritten;
        }
        let said = error.root_cause().downcast_ref::<h2::Error>();
        match said {
            Some(said) if said.is_remote() && said.is_go_away() => Self::AboveGoaway,
            Some(said) if said.is_remote() && said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM) => {
                Self::Refused
            }
            _ => Self::Unknown,
        }
    }
}

/// How the next attempt finds its connection. `None`: there is no next attempt.
///
/// A request of which nothing was processed is sent again whatever its method, as long as its body is here. One that may
/// have met a connection the upstream had closed is, once, when it changes nothing if it arrives twice. After a byte of an
/// answer, a deadline, or on a fresh connection nothing is.
pub fn next_attempt(error: &Error, attempt: FailedAttempt, request: Resendable<'_>) -> Option<Reuse> {
    if !request.body_is_here {
        return None;
    }
    match Processed::of(error, attempt) {
        Processed::NothingWritten => (attempt.made < MAX_UNPROCESSED && !is_final(error)).then_some(Reuse::Pooled),
        Processed::Refused | Processed::AboveGoaway => (attempt.made < MAX_UNPROCESSED).then_some(Reuse::Fresh),
        Processed::Unknown => {
            let met_dead_connection = attempt.reused && !attempt.heard && is_broken_connection(error);
            let again = met_dead_connection && request.changes_nothing() && attempt.made < MAX_ON_DEAD_CONNECTIONS;
            again.then_some(Reuse::Fresh)
        }
    }
}

/// Whether another connection would fail alike: a deadline has used up the time for it, or a name has no address.
fn is_final(error: &Error) -> bool {
    matches!(error.etype, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout)
        || crate::proxy::failure::error_type(error) == "name_resolution"
}

impl Resendable<'_> {
    /// Whether it does no harm when it arrives twice. Every method that is not named here might.
    fn changes_nothing(&self) -> bool {
        if self.detach != Detach::WithClient {
            return false;
        }
        match self.method.as_str() {
            "GET" | "HEAD" | "OPTIONS" => !self.has_body,
            "QUERY" => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(method: &Method) -> Resendable<'_> {
        Resendable { method, has_body: false, body_is_here: true, detach: Detach::WithClient }
    }

    const SENT: FailedAttempt = FailedAttempt { made: 1, sent: true, reused: true, heard: false };

    fn broken() -> Box<Error> {
        Error::explain(ErrorType::ConnectionClosed, "closed").into_up()
    }

    fn said(reason: h2::Reason) -> Box<Error> {
        Error::because(ErrorType::H2Error, "stream", h2::Error::from(reason)).into_up()
    }

    #[test]
    fn where_nothing_was_written_any_method_is_sent_again_twice() {
        let error = Error::explain(ErrorType::ConnectRefused, "refused").into_up();
        for (made, next) in [(1, Some(Reuse::Pooled)), (2, Some(Reuse::Pooled)), (3, None)] {
            let attempt = FailedAttempt { made, sent: false, ..SENT };
            assert_eq!(next_attempt(&error, attempt, request(&Method::POST)), next, "{made}");
        }
        let late = Error::explain(ErrorType::ConnectTimedout, "late").into_up();
        let attempt = FailedAttempt { sent: false, ..SENT };
        assert_eq!(next_attempt(&late, attempt, request(&Method::GET)), None, "no time is left");
        let gone = Resendable { body_is_here: false, ..request(&Method::POST) };
        assert_eq!(next_attempt(&error, attempt, gone), None, "a part of the body is gone");
    }

    #[test]
    fn on_a_connection_that_had_died_only_what_changes_nothing_is_sent_again_once() {
        let query = Method::from_bytes(b"QUERY").expect("a method");
        for (method, has_body, again) in [
            (&Method::GET, false, true),
            (&Method::GET, true, false),
            (&Method::HEAD, false, true),
            (&query, true, true),
            (&Method::PUT, true, false),
            (&Method::DELETE, false, false),
        ] {
            let asked = Resendable { has_body, ..request(method) };
            assert_eq!(next_attempt(&broken(), SENT, asked).is_some(), again, "{method}");
        }
        for attempt in [
            FailedAttempt { made: 2, ..SENT },
            FailedAttempt { reused: false, ..SENT },
            FailedAttempt { heard: true, ..SENT },
        ] {
            assert_eq!(next_attempt(&broken(), attempt, request(&Method::GET)), None, "{attempt:?}");
        }
        let deadline = Duration::from_secs(1);
        let detached = Resendable { detach: Detach::Survives { deadline }, ..request(&Method::GET) };
        assert_eq!(next_attempt(&broken(), SENT, detached), None);
    }

    #[test]
    fn our_own_reset_of_a_stream_says_nothing_about_the_peer() {
        assert_eq!(Processed::of(&said(h2::Reason::REFUSED_STREAM), SENT), Processed::Unknown);
        assert_eq!(Processed::of(&broken(), SENT), Processed::Unknown);
    }
}
