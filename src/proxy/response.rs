//! The way out of the stream lane.

use super::wire;
use crate::answer::respond_hooks;
use crate::exchange::Exchange;
use http::StatusCode;
use http::header;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use vestibule_plugin::AnsweredBy;

/// Most interim responses passed on (security.md section 2).
pub const MAX_INTERIM: usize = 16;

/// A head came from the upstream.
pub fn arrived(head: &ResponseHeader, exchange: &mut Exchange) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        exchange.interim += 1;
        if exchange.interim > MAX_INTERIM {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "too many interim responses").into_up());
        }
    } else {
        exchange.story.attempt_answered(exchange.host.clock.now(), head.status);
    }
    Ok(())
}

/// A head leaves for the client: hop-by-hop fields go, hooks run on the final one.
pub fn leave(head: &mut ResponseHeader, exchange: &mut Exchange) {
    wire::strip_response_hops(head);
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    depart(head, exchange);
}

/// What both lanes do with the final head of a response that the upstream wrote.
pub fn depart(head: &mut ResponseHeader, exchange: &mut Exchange) {
    exchange.story.answered_by = AnsweredBy::Upstream;
    exchange.story.status = Some(head.status);
    exchange.story.head_at = Some(exchange.host.clock.now());
    exchange.open_ended = head.status == StatusCode::SWITCHING_PROTOCOLS
        || head.headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    respond_hooks(exchange, head);
}
