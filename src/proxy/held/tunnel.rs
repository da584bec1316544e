//! WebSocket: the handshake goes up, and after a 101 bytes pass both ways until one side is done.
//!
//! The engine's own lane is not used: its end of an empty request body races with the 101, and when it comes second it
//! ends the tunnel.

use super::call::{Call, Reached, Reply};
use super::keep;
use super::upward::Upward;
use crate::exchange::Exchange;
use crate::proxy::{failure, request, response};
use bytes::Bytes;
use http::StatusCode;
use pingora::Result;
use pingora::proxy::Session;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use vestibule_plugin::{Detach, Ended, Hold, Keep};

/// Nothing of a handshake is held.
const NO_HOLD: Hold = Hold { request_body: None, response: Keep::Nothing, detach: Detach::WithClient };

/// Serves a handshake that the route lets through.
pub async fn run(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    if !request::forward(session, exchange).await? {
        return Ok(());
    }
    let call = Call::new(session.req_header().as_owned_parts(), Bytes::new(), NO_HOLD, exchange);
    let (mut upward, interim, mut head): Reached = call.shake_hands(&mut exchange.story).await?;
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        let body = keep::keep(upward, &head, &exchange.request.method, Keep::Nothing, &exchange.host.connector).await?;
        return super::write(session, exchange, Reply { interim, head, body }).await;
    }
    response::depart(&mut head, exchange)?;
    session.write_response_header(head, false).await.map_err(pingora::Error::into_down)?;
    upward.become_tunnel();
    let upstream = exchange.pipeline.upstream(exchange.story.facts.route());
    let patience = upstream.settings.read_timeout;
    let ended = pass(session, exchange, &mut upward, patience).await;
    exchange.story.end_attempt(exchange.host.clock.now(), None);
    exchange.story.ended = ended;
    Ok(())
}

/// Passes bytes both ways until one side is done, or neither has sent for `patience`; how it ended, when not well.
async fn pass(
    session: &mut Session,
    exchange: &mut Exchange,
    upward: &mut Upward,
    patience: Duration,
) -> Option<Ended> {
    loop {
        let quiet = sleep_until(Instant::now() + patience);
        tokio::select! {
            up = session.as_downstream_mut().read_request_body() => match up {
                Ok(Some(bytes)) => {
                    exchange.request_bytes += bytes.len() as u64;
                    if upward.push(bytes).await.is_err() {
                        return Some(Ended::UpstreamError);
                    }
                }
                Ok(None) => return None,
                Err(_) => return Some(Ended::ClientGone),
            },
            down = upward.pull() => match down {
                Ok(Some(bytes)) => {
                    exchange.response_bytes += bytes.len() as u64;
                    if session.write_response_body(Some(bytes), false).await.is_err() {
                        return Some(Ended::ClientGone);
                    }
                }
                Ok(None) => return None,
                Err(error) if failure::is_broken_connection(&error) => return None,
                Err(_) => return Some(Ended::UpstreamError),
            },
            () = quiet => return Some(Ended::Timeout),
        }
    }
}
