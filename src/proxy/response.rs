//! The way out of the stream lane.

use super::failure;
use super::wire::{self, ResponseFields};
use crate::answer::{Panicked, respond_hooks};
use crate::exchange::Exchange;
use http::header;
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use vestibule_plugin::{AnsweredBy, ResponseHead, media};

/// Most interim responses passed on.
pub const MAX_INTERIM: usize = 16;

/// A head came from the upstream.
pub fn arrived(head: &ResponseHeader, exchange: &mut Exchange) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        exchange.interim += 1;
        exchange.story.attempt_heard();
        if exchange.interim > MAX_INTERIM {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "too many interim responses").into_up());
        }
    } else if head.status == StatusCode::SWITCHING_PROTOCOLS && !exchange.request.upgrade {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that nobody asked for").into_up());
    } else {
        exchange.story.attempt_answered(exchange.host.clock.now(), head.status);
    }
    Ok(())
}

/// A head leaves for the client: hop-by-hop fields go, hooks run on the final one.
pub fn leave(head: &mut ResponseHeader, exchange: &mut Exchange) -> Result<()> {
    let mut status = head.status;
    let mut fields = ResponseFields::of(head);
    wire::strip_response_hops(status, fields.headers());
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    if exchange.request.version == Version::HTTP_10 {
        // It cannot read chunks (RFC 9112 section 6.1): the body ends with the connection.
        fields.headers().remove(header::TRANSFER_ENCODING);
    }
    depart(ResponseHead { status: &mut status, fields: &mut fields }, exchange)
}

/// What both lanes do with the final head of a response that the upstream wrote.
pub fn depart(mut head: ResponseHead<'_>, exchange: &mut Exchange) -> Result<()> {
    respond_hooks(exchange, &mut head).map_err(|Panicked| failure::panic_error())?;
    for name in &exchange.pipeline.kept_back {
        head.fields.remove(name);
    }
    exchange.story.answered_by = AnsweredBy::Upstream;
    exchange.story.status = Some(*head.status);
    exchange.story.head_at = Some(exchange.host.clock.now());
    exchange.open_ended = *head.status == StatusCode::SWITCHING_PROTOCOLS
        || head.fields.map().get(header::CONTENT_TYPE).is_some_and(|v| media::is_event_stream(v.as_bytes()));
    Ok(())
}
