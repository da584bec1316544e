//! A request body that a plugin asked for: read whole, within the memory there is, and shown to the plugins before anything
//! is sent.

use super::gather::Gather;
use super::keep::Body;
use super::look;
use crate::answer::answer;
use crate::downstream::connection::Expecting;
use crate::downstream::{Downstream, Head};
use crate::exchange::{Exchange, Story};
use crate::memory_budget::{ConnectionReplies, Reservation, STEP};
use crate::proxy::failure;
use bytes::Bytes;
use pingora::{Error, ErrorType, Result};
use tokio::time::timeout;
use vestibule_plugin::{AnsweredBy, Detach, Flow, HeldRequest, Keep, Looked, Response, Soon, WhyFlowing};

/// Reads the request body whole and lets the plugins that asked for it decide on it. With it comes memory for the reply
/// of a call that survives its client. `None`: the request has been answered.
pub async fn take_body(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    wanted: usize,
    detach: Detach,
) -> Result<Option<(Bytes, Option<Reservation>)>> {
    let problem = match read_body(downstream, exchange, wanted).await? {
        Upload::Whole(body) => {
            exchange.connection.expect(Expecting::Nothing);
            match reply_room(exchange, detach) {
                Ok(room) => return ask_with_body(downstream, exchange, body, room).await,
                Err(NoRoom) => failure::no_memory(),
            }
        }
        Upload::TooLarge { limit } => {
            downstream.close_after();
            failure::too_large(limit)
        }
        Upload::NoRoom => {
            downstream.close_after();
            exchange.host.memory.count_shed();
            failure::no_memory()
        }
    };

    answer(downstream, exchange, AnsweredBy::Edge, problem.into()).await?;
    Ok(None)
}

/// There is no memory for the reply.
struct NoRoom;

/// Memory for a reply that must be kept whatever else is held, so that no record is without its reply for want of a step.
fn reply_room(exchange: &Exchange, detach: Detach) -> Result<Option<Reservation>, NoRoom> {
    if detach == Detach::WithClient {
        return Ok(None);
    }
    // A client that leaves its replies unread gets no more of them to be kept.
    let is_full = exchange.connection.replies().is_some_and(ConnectionReplies::is_full);
    let room = exchange.host.memory.reserve(exchange.story.facts.address(), STEP).filter(|_| !is_full);
    if room.is_none() {
        exchange.host.memory.count_shed();
    }
    room.map(Some).ok_or(NoRoom)
}

/// Over HTTP/2: counts a reply of this length among those of its connection that are unread.
pub fn count_unread(exchange: &Exchange, length: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
    exchange.connection.replies()?.count_up_to(length)
}

/// Lets the plugins that asked for the body decide on it.
async fn ask_with_body(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    mut body: Bytes,
    mut room: Option<Reservation>,
) -> Result<Option<(Bytes, Option<Reservation>)>> {
    for at in 0..exchange.story.hooks.len() {
        let Story { hooks, facts, .. } = &mut exchange.story;
        let attached = &mut hooks[at];
        if attached.hold.is_none_or(|hold| hold.request_body.is_none()) {
            continue;
        }

        let mut none = exchange.host.memory.nothing_yet(facts.address());
        let request = HeldRequest { body: &mut body, room: room.as_mut().unwrap_or(&mut none) };
        let flow = match attached.enter().on_request_body(request, facts) {
            Soon::Now(flow) => Ok(flow),
            Soon::Later(decided) => tokio::select! {
                biased;
                flow = decided => Ok(flow),
                gone = downstream.leaves() => Err(gone),
            },
        };
        attached.leave();

        let (flow, by) = (flow?, AnsweredBy::Plugin(attached.name));
        let flow = match flow {
            Flow::Look(wanted) => match Box::pin(look_first(downstream, exchange, at, wanted)).await? {
                Some(flow) => flow,
                None => return Ok(None),
            },
            decided => decided,
        };

        if let Flow::Respond(response) = flow {
            drop(body);
            let response = with_room(*response, room);
            let length = if let Response::Full(full) = &response { full.body.len() } else { 0 };
            let _unread = count_unread(exchange, length);
            answer(downstream, exchange, by, response).await?;
            return Ok(None);
        }
    }

    Ok(Some((body, room)))
}

/// The body of an answer keeps its room until it is written.
fn with_room(response: Response, room: Option<Reservation>) -> Response {
    match (response, room) {
        (Response::Full(mut full), Some(room)) => {
            full.body = room.bind(full.body);
            Response::Full(full)
        }
        (response, _) => response,
    }
}

/// Looks at what the target holds for the plugin at `at`, which then decides. `None`: answered, as it could not be seen.
async fn look_first(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    at: usize,
    wanted: Keep,
) -> Result<Option<Flow>> {
    let head = Head::clone(&exchange.head);
    let looked = tokio::select! {
        biased;
        looked = look::look(head, exchange, wanted) => looked,
        gone = downstream.leaves() => return Err(gone),
    };

    let (head, body) = match looked {
        Ok(seen) => seen,
        Err(error) => {
            let (ended, problem) = failure::upstream_problem(&error, failure::Answer::NotBegun);
            exchange.story.ended = Some(ended);
            answer(downstream, exchange, AnsweredBy::Edge, problem.into()).await?;
            return Ok(None);
        }
    };

    if let Body::Flowing { rest, .. } = &body
        && rest.why == WhyFlowing::NoRoom
    {
        body.discard(&exchange.host, wanted);
        exchange.host.memory.count_shed();
        answer(downstream, exchange, AnsweredBy::Edge, failure::no_memory().into()).await?;
        return Ok(None);
    }

    let Story { hooks, facts, .. } = &mut exchange.story;
    let attached = &mut hooks[at];
    let looked = Looked { status: head.status, fields: &head.fields, body: body.as_held(wanted) };
    let flow = attached.enter().on_looked(looked, facts).get().await;
    attached.leave();
    body.discard(&exchange.host, wanted);
    Ok(Some(flow))
}

/// What came of reading a request body whole.
enum Upload {
    Whole(Bytes),
    TooLarge { limit: u64 },
    NoRoom,
}

/// Reads the whole body: at most what was `wanted`, and as long as there is memory for it.
async fn read_body(downstream: &mut Downstream, exchange: &mut Exchange, wanted: usize) -> Result<Upload> {
    let server = &exchange.pipeline.settings.server;
    let limit = server.max_body_bytes.unwrap_or(u64::MAX).min(wanted as u64);
    let has_floor = server.min_body_rate > 0;
    if exchange.request.body_length.is_some_and(|length| length > limit) {
        return Ok(Upload::TooLarge { limit });
    }
    if exchange.request.expects_continue {
        downstream.write_continue().await?;
    }

    exchange.connection.upload().begin();
    let mut whole = Gather::new(exchange.host.memory.nothing_yet(exchange.story.facts.address()));
    loop {
        let client = exchange.split().1;
        let read = client.in_time(downstream.read_body());
        let read = if has_floor { timeout(failure::MAX_SILENCE, read).await } else { Ok(read.await) };
        let Ok(read) = read else {
            exchange.connection.mark_slow_body();
            return Err(Error::explain(ErrorType::ReadTimedout, "a held request body stands still").into_down());
        };
        let Some(chunk) = read? else { break };
        exchange.request_bytes += chunk.len() as u64;
        if exchange.request_bytes > limit {
            return Ok(Upload::TooLarge { limit });
        }
        exchange.split().1.keep_pace(chunk.len())?;
        exchange.story.show_upload(&chunk);
        if !whole.put(chunk) {
            return Ok(Upload::NoRoom);
        }
    }
    Ok(Upload::Whole(whole.whole()))
}
