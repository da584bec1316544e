//! The head of a response that the upstream wrote, on its way out.

use super::failure;
use crate::answer::{Panicked, respond_hooks};
use crate::exchange::Exchange;
use http::StatusCode;
use http::header;
use pingora::Result;
use vestibule_plugin::{AnsweredBy, ResponseHead, media};

/// Has the plugins edit the final head, and notes it.
///
/// # Errors
///
/// A plugin panicked.
pub fn finish_head(mut head: ResponseHead<'_>, exchange: &mut Exchange) -> Result<()> {
    respond_hooks(exchange, &mut head).map_err(|Panicked| failure::panic_error())?;
    for name in &exchange.pipeline.kept_back {
        head.fields.remove(name);
    }

    exchange.story.answered_by = AnsweredBy::Upstream;
    exchange.story.status = Some(*head.status);
    exchange.story.head_at = Some(exchange.host.clock.now());
    exchange.open_ended = *head.status == StatusCode::SWITCHING_PROTOCOLS
        || head.fields.get(&header::CONTENT_TYPE).is_some_and(media::is_event_stream);
    Ok(())
}
