//! The driver of an exchange, from the last word of the plugins to the last byte of the response.
//!
//! ```text
//! run ── held_body: on_request_body, look  ─┬─ on_forward ── call: attempt, keep, on_held ── reply
//!     └─ intake: streamed while the call runs ┘
//! ```
//!
//! A body that a plugin asked for is read whole first; any other streams up while the response streams down. A call can
//! outlive the client that asked for it.

mod attempt;
mod call;
mod gather;
mod held_body;
mod intake;
mod interim;
mod keep;
mod look;
mod reply;
pub mod tunnel;
mod unread;
mod upstream_head;

use super::request;
use crate::answer::answer;
use crate::connections::upload;
use crate::downstream::Downstream;
use crate::exchange::{Exchange, Returning};
use crate::proxy::failure;
use bytes::Bytes;
use call::{Call, CallBody, Outcome};
use futures::FutureExt;
use held_body::{count_unread, take_body};
use http::{Version, header};
use intake::Intake;
use interim::InterimResponses;
use pingora::{Error, ErrorType, Result};
use reply::write_interim;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use vestibule_plugin::{AnsweredBy, Detach, Ended, Hold, Keep};

/// Nobody holds anything.
const NO_HOLD: Hold = Hold { request_body: None, response: Keep::Nothing, detach: Detach::WithClient };

/// The larger of two wishes.
pub fn larger(a: Keep, b: Keep) -> Keep {
    match (a, b) {
        (Keep::Nothing, other) | (other, Keep::Nothing) => other,
        (Keep::Whole { max: a, within: wa }, Keep::Whole { max: b, within: wb }) => Keep::Whole {
            max: a.max(b),
            // One that would wait for ever wins over one that would not.
            within: wa.and_then(|wa| wb.map(|wb| wa.max(wb))),
        },
    }
}

/// What came of a call.
struct Called {
    outcome: Outcome,
    /// What of the client's body is still to come.
    intake: Option<Box<Intake>>,
    /// The reply's place among those of its connection that are unread.
    _unread: Option<OwnedSemaphorePermit>,
}

/// Serves the request, holding what the plugins asked for. A call is boxed, so that nothing of it is kept while its reply
/// waits for a client.
pub async fn run(downstream: &mut Downstream, exchange: &mut Exchange, hold: Option<Hold>) -> Result<()> {
    match Box::pin(call(downstream, exchange, hold.unwrap_or(NO_HOLD))).await? {
        Some(called) => Box::pin(finish(downstream, exchange, called)).await,
        None => Ok(()),
    }
}

/// Takes the body, as far as it is held, and makes the call; `None` when a hook has answered instead. What is rare is boxed,
/// so that what is usual has little to move.
async fn call(downstream: &mut Downstream, exchange: &mut Exchange, hold: Hold) -> Result<Option<Called>> {
    let (mut room, mut intake) = (None, None);
    let body = match hold.request_body {
        Some(wanted) => match Box::pin(take_body(downstream, exchange, wanted, hold.detach)).await? {
            Some((body, reserved)) => {
                room = reserved;
                whole(exchange, body)
            }
            None => return Ok(None),
        },
        None if exchange.request.body_length == Some(0) => whole(exchange, Bytes::new()),
        None => {
            let room = exchange.host.memory.nothing_yet(exchange.story.facts.address());
            let (sender, upload) = upload(room);
            intake = Some(Box::new(Intake::new(sender)));
            CallBody::Streamed(upload)
        }
    };
    if !request::forward(downstream, exchange).await? {
        return Ok(None);
    }

    let call = Call::new(Arc::clone(&exchange.head), body, hold, room, exchange);
    match hold.detach {
        Detach::WithClient => {
            let outcome = run_attached(downstream, exchange, &call, intake.as_deref_mut()).await?;
            Ok(Some(Called { outcome, intake, _unread: None }))
        }
        Detach::Survives { .. } => {
            let outcome = Box::pin(run_detached(downstream, exchange, call)).await?;
            let length = if let Outcome::Reply(reply) = &outcome { reply.body.len() } else { 0 };
            let unread = count_unread(exchange, length);
            Ok(Some(Called { outcome, intake: None, _unread: unread }))
        }
    }
}

/// A body that is here. One that was declared, and empty, is still one (RFC 9110 section 8.6).
fn whole(exchange: &Exchange, body: Bytes) -> CallBody {
    let fields = &exchange.head.fields;
    let is_declared = exchange.request.version != Version::HTTP_2 && fields.has(header::TRANSFER_ENCODING)
        || fields.has(header::CONTENT_LENGTH);
    if body.is_empty() && !is_declared { CallBody::None } else { CallBody::Whole(body) }
}

/// Tells the client what came of the call.
async fn finish(downstream: &mut Downstream, exchange: &mut Exchange, called: Called) -> Result<()> {
    match called.outcome {
        Outcome::Reply(reply) => reply::write(downstream, exchange, reply, called.intake).await,
        Outcome::Answer(by, response) => Box::pin(answer(downstream, exchange, by, *response)).await,
        Outcome::Failed(problem) => Box::pin(answer(downstream, exchange, AnsweredBy::Edge, (*problem).into())).await,
    }
}

/// Runs the call as long as the client waits for it, and passes the client's body on meanwhile.
async fn run_attached(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    call: &Call,
    mut intake: Option<&mut Intake>,
) -> Result<Outcome> {
    let interim = InterimResponses::default();
    let outcome = {
        let (story, mut client) = exchange.split();
        let mut executed = std::pin::pin!(call.execute(story, Some(&interim)));
        loop {
            tokio::select! {
                biased;
                outcome = &mut executed => break outcome,
                heads = interim.received() => write_interim(downstream, heads).await?,
                gone = intake::attend(downstream, &mut client, intake.as_deref_mut()) => return Err(gone),
            }
        }
    };
    write_interim(downstream, interim.take()).await?;
    Ok(outcome)
}

/// Runs the call in a task of its own, which ends the exchange itself when the client leaves.
async fn run_detached(downstream: &mut Downstream, exchange: &mut Exchange, call: Call) -> Result<Outcome> {
    let (mut story, closing) = exchange.lend();
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let executed = AssertUnwindSafe(call.execute_to_the_end(&mut story)).catch_unwind().await;
        let outcome = executed.unwrap_or_else(|_| {
            story.ended = Some(Ended::UpstreamError);
            Outcome::Failed(Box::new(failure::internal()))
        });
        // Whoever drops it, here or on the way, ends the exchange.
        drop(tell.send((Returning::new(story, closing), outcome)));
    });
    tokio::select! {
        biased;
        told = told => {
            let vanished = || Error::explain(ErrorType::InternalError, "a detached call vanished").into_in();
            let (returning, outcome) = told.map_err(|_| vanished())?;
            let (story, closing) = returning.take().ok_or_else(vanished)?;
            exchange.take_back(story, closing);
            Ok(outcome)
        }
        gone = downstream.leaves() => Err(gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that a function makes.
    fn size<A, F: Future>(_function: impl FnOnce(&'static mut Downstream, &'static mut Exchange, A) -> F) -> usize {
        size_of::<F>()
    }

    /// Each is moved to the heap once a request, and lives as long as its half of an exchange.
    #[test]
    fn the_futures_of_an_exchange_stay_small() {
        for (what, size) in [("a call", size(call)), ("its reply", size(finish))] {
            assert!(size <= 2_560, "{what} takes {size} bytes");
        }
    }
}
