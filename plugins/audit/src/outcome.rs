//! What came of a request. Pure.

use http::StatusCode;
use vestibule_plugin::{AnsweredBy, AttemptResult, End, Ended};

/// What came of a request, and the status that says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) word: &'static str,
    pub(crate) status: Option<u16>,
    /// Who refused it here.
    pub(crate) denied_by: Option<&'static str>,
}

impl Outcome {
    /// Of a request that is over.
    pub(crate) fn of(end: &End<'_>) -> Self {
        let status = end.status.map(|status| status.as_u16());
        let of = |word| Self { word, status, denied_by: None };
        let failed = matches!(end.attempts.last().map(|attempt| attempt.result), Some(AttemptResult::Error(_)));
        match end.answered_by {
            AnsweredBy::Edge if is_upstreams(end.problem) => return of("error"),
            // A drain cut it off: it was forwarded, and what became of it nobody knows.
            AnsweredBy::Edge if end.ended == Ended::Drained && !end.attempts.is_empty() => return of("error"),
            // It put into its own words what became of the attempt.
            AnsweredBy::Plugin(_) if failed => return of("error"),
            _ => {}
        }
        if let (Some(_), AnsweredBy::Plugin(_) | AnsweredBy::Edge) = (end.problem, end.answered_by) {
            return Self { denied_by: Some(end.answered_by.as_str()), ..of("denied") };
        }
        match (end.ended, end.status) {
            (Ended::Ok | Ended::Refused, Some(status)) => of(by_status(status)),
            (Ended::ClientGone, None) => match executed(end) {
                // The call outlived its client, and this is what it did.
                Some(status) => Self { word: by_status(status), status: Some(status.as_u16()), denied_by: None },
                None => of("aborted"),
            },
            (Ended::ClientGone, Some(_)) => of("aborted"),
            (Ended::UpstreamError | Ended::Timeout | Ended::Drained, _) | (Ended::Ok | Ended::Refused, None) => {
                of("error")
            }
        }
    }
}

/// Whether a problem says that the application gave no usable answer.
fn is_upstreams(problem: Option<&str>) -> bool {
    problem.is_some_and(|slug| slug.starts_with("upstream-") || slug == "internal")
}

fn by_status(status: StatusCode) -> &'static str {
    if status.is_client_error() || status.is_server_error() { "failure" } else { "success" }
}

/// The status of a reply that came whole though nobody was there to get it.
fn executed(end: &End<'_>) -> Option<StatusCode> {
    match end.attempts.last()?.result {
        AttemptResult::Status(status) => Some(status),
        AttemptResult::Error(_) | AttemptResult::Abandoned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Version};
    use std::time::Duration;
    use vestibule_plugin::{Attempt, Monotonic};

    fn of(
        answered_by: AnsweredBy,
        problem: Option<&str>,
        status: Option<u16>,
        ended: Ended,
        reply: Option<u16>,
    ) -> Outcome {
        let code = |status: u16| StatusCode::from_u16(status).expect("a status");
        let attempt = |status| Attempt {
            duration: Duration::ZERO,
            first_byte: None,
            result: AttemptResult::Status(code(status)),
        };
        let attempts: Vec<Attempt> = reply.into_iter().map(attempt).collect();
        Outcome::of(&End {
            method: &Method::POST,
            version: Version::HTTP_11,
            status: status.map(code),
            ended,
            answered_by,
            problem,
            reason: None,
            began: Monotonic(0),
            duration: Duration::ZERO,
            first_byte: None,
            attempts: &attempts,
            request_bytes: 0,
            response_bytes: 0,
        })
    }

    /// AUD-03, AUD-25: who answered and how it ended make the outcome.
    #[test]
    fn an_outcome_follows_from_the_end() {
        use AnsweredBy::{Edge, Plugin, Upstream};
        use Ended::{ClientGone, Ok, Timeout, UpstreamError};
        let word = |outcome: Outcome| (outcome.word, outcome.status);
        assert_eq!(word(of(Upstream, None, Some(201), Ok, Some(201))), ("success", Some(201)));
        assert_eq!(word(of(Upstream, None, Some(304), Ok, Some(200))), ("success", Some(304)));
        assert_eq!(word(of(Upstream, None, Some(404), Ok, Some(404))), ("failure", Some(404)));
        assert_eq!(word(of(Plugin("idempotency"), None, Some(201), Ok, None)), ("success", Some(201)));
        let denied = of(Plugin("auth"), Some("invalid-token"), Some(401), Ok, None);
        assert_eq!((denied.word, denied.denied_by), ("denied", Some("auth")));
        assert_eq!(word(of(Edge, Some("content-too-large"), Some(413), Ok, None)), ("denied", Some(413)));
        assert_eq!(word(of(Edge, Some("upstream-timeout"), Some(504), Timeout, None)), ("error", Some(504)));
        assert_eq!(word(of(Upstream, None, Some(200), ClientGone, Some(200))), ("aborted", Some(200)));
        assert_eq!(word(of(Upstream, None, None, ClientGone, None)), ("aborted", None));
        assert_eq!(word(of(Upstream, None, None, ClientGone, Some(201))), ("success", Some(201)));
        assert_eq!(word(of(Upstream, None, Some(200), UpstreamError, Some(200))), ("error", Some(200)));
    }
}
