//! When something breaks: what the client is told, and how it is counted.

use crate::answer::answer;
use crate::connections::BROKEN_HEAD;
use crate::downstream::Downstream;
use crate::edge::threats::Threat;
use crate::exchange::Exchange;
use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::time::Duration;
use vestibule_plugin::{AnsweredBy, Ended, Problem};

/// A request body turned out larger than allowed while it streamed.
pub const BODY_TOO_LARGE: ErrorType = ErrorType::Custom("BodyTooLarge");
/// Longest pause in a request body that is held, whatever it has earned: it takes memory meanwhile.
pub const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The connection ended without a byte of an answer, as opposed to a deadline that passed, an answer that made no
/// sense, or one that was cut off.
pub fn is_broken_connection(error: &Error) -> bool {
    matches!(
        error.etype,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error
    )
}

/// `error.type` of an attempt, as OpenTelemetry would have it, from a closed set.
pub fn error_type(error: &Error) -> &'static str {
    match &error.etype {
        ErrorType::ConnectRefused => "connect_refused",
        ErrorType::ConnectTimedout => "connect_timeout",
        ErrorType::ConnectNoRoute if error.to_string().contains("resolving") => "name_resolution",
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout | ErrorType::InvalidCert => "tls",
        ErrorType::WriteTimedout => "write_timeout",
        ErrorType::ReadTimedout => "read_timeout",
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => "reset",
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade => "protocol",
        e if *e == BODY_TOO_LARGE => "body_too_large",
        e if *e == BROKEN_HEAD => "reset",
        ErrorType::InternalError => "internal",
        _ => "_OTHER",
    }
}

/// How an error ends an exchange, and what the client is told; `None` when there is nobody to tell.
fn verdict(error: &Error, exchange: &Exchange) -> (Ended, Option<Problem>) {
    if error.etype == BODY_TOO_LARGE {
        let limit = exchange.pipeline.settings.server.max_body_bytes.unwrap_or(0);
        return (Ended::Ok, Some(too_large(limit)));
    }
    match error.esource {
        ErrorSource::Downstream => of_client(error, exchange),
        ErrorSource::Upstream => of_upstream(error),
        ErrorSource::Internal | ErrorSource::Unset => (Ended::UpstreamError, Some(internal().caused_by(error))),
    }
}

fn of_client(error: &Error, exchange: &Exchange) -> (Ended, Option<Problem>) {
    if exchange.connection.is_answered() {
        return (Ended::Ok, None);
    }
    if exchange.connection.had_slow_body() {
        exchange.blocked(Threat::SlowBody);
        let floor = exchange.pipeline.settings.server.min_body_rate;
        let problem = Problem::new("request-timeout", StatusCode::REQUEST_TIMEOUT, "Request timeout").detail(format!(
            "the request body came slower than {floor} bytes a second, or not at all for {} s",
            MAX_SILENCE.as_secs()
        ));
        return (Ended::Timeout, Some(problem));
    }
    if exchange.connection.had_bad_body() {
        exchange.blocked(Threat::Framing);
        let problem = Problem::new("bad-request", StatusCode::BAD_REQUEST, "Bad request")
            .detail("the request body is malformed or was cut off");
        // A client that half-closed may still read; one that left will not.
        return (Ended::ClientGone, Some(problem));
    }
    match error.etype {
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => {
            exchange.blocked(Threat::Framing);
            let problem =
                Problem::new("bad-request", StatusCode::BAD_REQUEST, "Bad request").detail("the request is malformed");
            (Ended::Ok, Some(problem.caused_by(error.etype.as_str())))
        }
        ErrorType::Custom(_) | ErrorType::CustomCode(..) => {
            // The engine's chunk parser reports what it does not understand this way.
            exchange.blocked(Threat::Framing);
            let problem = Problem::new("bad-request", StatusCode::BAD_REQUEST, "Bad request")
                .detail("the request body is malformed");
            (Ended::Ok, Some(problem))
        }
        _ => (Ended::ClientGone, None),
    }
}

fn of_upstream(error: &Error) -> (Ended, Option<Problem>) {
    let problem = match error.etype {
        ErrorType::ConnectTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout
        | ErrorType::TLSHandshakeTimedout => {
            Problem::new("upstream-timeout", StatusCode::GATEWAY_TIMEOUT, "Upstream timeout")
                .detail("the application did not answer in time")
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 | ErrorType::H2Downgrade => {
            Problem::new("upstream-invalid", StatusCode::BAD_GATEWAY, "Invalid answer from upstream")
                .detail("the application's answer is not valid HTTP")
        }
        _ => Problem::new("upstream-unreachable", StatusCode::BAD_GATEWAY, "Upstream unreachable")
            .detail("the application could not be reached, or closed the connection before it answered"),
    };
    let ended = if problem.status == StatusCode::GATEWAY_TIMEOUT { Ended::Timeout } else { Ended::UpstreamError };
    (ended, Some(problem.caused_by(cause_of(error))))
}

/// What went wrong, for the log: type and root cause. The engine's own context may quote raw bytes, so it is left out but
/// for TLS, where it is the library's reason.
pub fn cause_of(error: &Error) -> String {
    let kind = error_type(error);
    if kind == "tls"
        && let Some(why) = &error.context
    {
        return format!("{kind}: {}", why.as_str());
    }
    match std::error::Error::source(error.root_cause()) {
        Some(source) => format!("{kind}: {source}"),
        None => match error.root_cause() {
            root if root.is::<std::io::Error>() => format!("{kind}: {root}"),
            _ => format!("{kind} ({})", error.etype.as_str()),
        },
    }
}

fn broken_answer() -> Problem {
    Problem::new("upstream-invalid", StatusCode::BAD_GATEWAY, "Invalid answer from upstream")
        .detail("the application's answer broke off before its end")
}

/// 413 with the limit.
pub fn too_large(limit: u64) -> Problem {
    Problem::new("content-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Content too large")
        .detail(format!("the request body may have at most {limit} bytes"))
}

/// 503, nobody waits for the upstream any longer.
pub fn stopped() -> Problem {
    Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
        .detail("the proxy stopped before the application answered")
}

/// 503, there is no memory to hold this request or its answer in.
pub fn no_memory() -> Problem {
    Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
        .detail("this request must be held in memory, and there is no room for it now; repeat it shortly")
        .retry_after(Duration::from_secs(1))
}

/// 500, the proxy's own fault.
pub fn internal() -> Problem {
    Problem::new("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
        .detail("the proxy failed to handle this request")
}

/// Whether the upstream had begun to answer when an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its head had come.
    Begun,
    /// Nothing had.
    NotBegun,
}

/// What to tell the client when the last attempt failed.
pub fn upstream_problem(error: &Error, answer: Answer) -> (Ended, Problem) {
    match of_upstream(error) {
        (Ended::UpstreamError, Some(_)) if answer == Answer::Begun => {
            (Ended::UpstreamError, broken_answer().caused_by(cause_of(error)))
        }
        (ended, Some(problem)) => (ended, problem),
        (ended, None) => (ended, internal()),
    }
}

/// The exchange failed for good: tells the client, if a response has not begun and somebody is there.
pub async fn give_up(downstream: &mut Downstream, exchange: &mut Exchange, error: &Error) {
    let (ended, problem) = verdict(error, exchange);
    exchange.story.ended.get_or_insert(ended);
    // Behind a 101 bytes belong to another protocol.
    let is_final = |status: StatusCode| !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS;
    let begun = downstream.written().is_some_and(is_final);
    if let Some(problem) = problem
        && !begun
    {
        // The connection of an exchange that failed closes; the answer says so.
        downstream.close_after();
        if answer(downstream, exchange, AnsweredBy::Edge, problem.into()).await.is_err() {
            exchange.story.ended = Some(Ended::ClientGone);
        }
    }
}

/// A plugin panicked.
pub fn panic_error() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a plugin panicked").into_in()
}

/// A plugin panicked: those around it, not it, have a word on the answer.
pub async fn panicked(downstream: &mut Downstream, exchange: &mut Exchange) -> Result<()> {
    exchange.story.ended = Some(Ended::UpstreamError);
    downstream.close_after();
    if downstream.written().is_some() {
        return Err(panic_error());
    }
    answer(downstream, exchange, AnsweredBy::Edge, internal().into()).await
}
