//! The answer to a head that was refused below the parser.

use super::judge::{Refusal, judge};
use crate::downstream::Head;
use crate::downstream::refused::{RefusedHead, Unread, Why};
use crate::edge::target::BadTarget;
use crate::exchange::Request;
use crate::pipeline::Pipeline;
use http::{Method, StatusCode};
use vestibule_http1::RequestFault;
use vestibule_plugin::{Problem, RouteId};

/// The refusal of the head for which `head` stands in; notes in `request` what of it was not read.
pub fn refusal(
    refused: RefusedHead,
    pipeline: &Pipeline,
    request: &mut Request,
    head: &mut Head,
) -> Result<RouteId, Box<Refusal>> {
    request.unread = Some(refused.unread);
    if refused.why == Why::Connect {
        request.method = Method::CONNECT;
        request.unread = Some(Unread { method: false, ..refused.unread });
        // No more than the edge asks of any method.
        return judge(pipeline, request, head);
    }
    Err(Box::new(Refusal { threat: Some(refused.why.threat()), problem: problem(refused.why) }))
}

/// The problem of a refused head.
pub fn problem(why: Why) -> Problem {
    match why {
        Why::Fault(fault) => of_fault(fault),
        Why::Slow(limit) => Problem::new("request-timeout", StatusCode::REQUEST_TIMEOUT, "Request timeout")
            .detail(format!("the request head took longer than {limit:?}")),
        Why::Target(bad) => {
            let (slug, title) = match bad {
                BadTarget::Host => ("bad-host", "Bad host"),
                _ => ("bad-target", "Bad target"),
            };
            Problem::new(slug, StatusCode::BAD_REQUEST, title).detail(bad.to_string())
        }
        Why::Connect => Problem::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .detail("CONNECT is not served"),
    }
}

fn of_fault(fault: RequestFault) -> Problem {
    let status = fault.status();
    let (slug, title) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("header-too-large", "Request header fields too large"),
        StatusCode::NOT_IMPLEMENTED => ("not-implemented", "Not implemented"),
        _ => ("bad-request", "Bad request"),
    };
    Problem::new(slug, status, title).detail(fault.to_string())
}
