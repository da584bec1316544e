//! The driver of an exchange, from the last word of the plugins to the last byte of the response.
//!
//! ```text
//! run ── body held, or streamed by `Intake` ── on_forward ── Call::execute (call.rs) ── write
//!         └ on_request_body, look, on_looked                  └ attempts, keep, on_held
//! ```
//!
//! A body that a plugin asked for is read whole first; any other streams up while the response streams down. A call can
//! outlive the client that asked for it.

mod address;
mod call;
mod gather;
mod intake;
mod keep;
mod look;
pub mod tunnel;
mod unread;

use super::request;
use super::response;
use crate::answer::{answer, close_when_done};
use crate::connections::{Reason, upload};
use crate::exchange::{Exchange, Returning, Story};
use crate::listener::connection::Expecting;
use crate::memory_budget::{ConnectionReplies, Reservation, STEP};
use crate::proxy::failure;
use bytes::Bytes;
use call::{Call, CallBody, Early, Outcome};
use futures::FutureExt;
use gather::Gather;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use intake::Intake;
use keep::{Body, Rest};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession as Session;
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;
use unread::Unread;
use vestibule_plugin::{
    AnsweredBy, Detach, Ended, Flow, HeldRequest, Hold, Keep, Looked, Response, ResponseHead, Soon, WhyFlowing,
};

/// Bytes of a kept body written at once.
const PIECE: usize = 64 * 1024;
/// How long the rest of a request body may take once its response is complete.
const LATE_UPLOAD: Duration = Duration::from_secs(5);
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

/// Serves the request, holding what the plugins asked for. What is rare is boxed, so that what is usual has little to move.
pub async fn run(session: &mut Session, exchange: &mut Exchange, hold: Option<Hold>) -> Result<()> {
    let hold = hold.unwrap_or(NO_HOLD);
    let (mut room, mut intake) = (None, None);
    let body = match hold.request_body {
        Some(wanted) => match Box::pin(take_body(session, exchange, wanted, hold.detach)).await? {
            Some((body, reserved)) => {
                room = reserved;
                whole(exchange, session, body)
            }
            None => return Ok(()),
        },
        None if exchange.request.body_length == Some(0) => whole(exchange, session, Bytes::new()),
        None => {
            let room = exchange.host.memory.nothing_yet(exchange.story.facts.address());
            let (sender, upload) = upload(room);
            intake = Some(Box::new(Intake::new(sender)));
            CallBody::Streamed(upload)
        }
    };
    if !request::forward(session, exchange).await? {
        return Ok(());
    }

    let call = Call::new(session.req_header().as_owned_parts(), body, hold, room, exchange);
    match hold.detach {
        Detach::WithClient => accompany(session, exchange, call, intake).await,
        Detach::Survives { .. } => {
            let outcome = Box::pin(survive(session, exchange, call)).await?;
            let length = if let Outcome::Reply(reply) = &outcome { reply.body.len() } else { 0 };
            let _unread = count_unread(exchange, length);
            finish(session, exchange, outcome, None).await
        }
    }
}

/// A body that is here. One that was declared, and empty, is still one (RFC 9110 section 8.6).
fn whole(exchange: &Exchange, session: &Session, body: Bytes) -> CallBody {
    let fields = &session.req_header().headers;
    let is_declared = exchange.request.version != Version::HTTP_2 && fields.contains_key(header::TRANSFER_ENCODING)
        || fields.contains_key(header::CONTENT_LENGTH);
    if body.is_empty() && !is_declared { CallBody::None } else { CallBody::Whole(body) }
}

/// Tells the client what came of the call.
async fn finish(
    session: &mut Session,
    exchange: &mut Exchange,
    outcome: Outcome,
    intake: Option<Box<Intake>>,
) -> Result<()> {
    match outcome {
        Outcome::Reply(reply) => write(session, exchange, reply, intake).await,
        Outcome::Answer(by, response) => answer(session, exchange, by, *response).await,
        Outcome::Failed(problem) => answer(session, exchange, AnsweredBy::Edge, (*problem).into()).await,
    }
}

/// Reads the request body whole and lets the plugins that asked for it decide on it. With it comes memory for the reply
/// of a call that survives its client. `None`: the request has been answered.
async fn take_body(
    session: &mut Session,
    exchange: &mut Exchange,
    wanted: usize,
    detach: Detach,
) -> Result<Option<(Bytes, Option<Reservation>)>> {
    let problem = match read_body(session, exchange, wanted).await? {
        Upload::Whole(body) => {
            exchange.connection.expect(Expecting::Nothing);
            match reply_room(exchange, detach) {
                Ok(room) => return ask_with_body(session, exchange, body, room).await,
                Err(NoRoom) => failure::no_memory(),
            }
        }
        Upload::TooLarge { limit } => {
            session.set_keepalive(None);
            failure::too_large(limit)
        }
        Upload::NoRoom => {
            session.set_keepalive(None);
            exchange.host.memory.count_shed();
            failure::no_memory()
        }
    };
    answer(session, exchange, AnsweredBy::Edge, problem.into()).await?;
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
fn count_unread(exchange: &Exchange, length: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
    exchange.connection.replies()?.count_up_to(length)
}

/// Lets the plugins that asked for the body decide on it.
async fn ask_with_body(
    session: &mut Session,
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
                gone = client_leaves(session) => Err(gone),
            },
        };
        attached.leave();
        let (flow, by) = (flow?, AnsweredBy::Plugin(attached.name));
        let flow = match flow {
            Flow::Look(wanted) => match Box::pin(look_first(session, exchange, at, wanted)).await? {
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
            answer(session, exchange, by, response).await?;
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
async fn look_first(session: &mut Session, exchange: &mut Exchange, at: usize, wanted: Keep) -> Result<Option<Flow>> {
    let head = session.req_header().as_owned_parts();
    let looked = tokio::select! {
        biased;
        looked = look::look(head, exchange, wanted) => looked,
        gone = client_leaves(session) => return Err(gone),
    };
    let (head, body) = match looked {
        Ok(seen) => seen,
        Err(error) => {
            let (ended, problem) = failure::upstream_problem(&error, failure::Answer::NotBegun);
            exchange.story.ended = Some(ended);
            answer(session, exchange, AnsweredBy::Edge, problem.into()).await?;
            return Ok(None);
        }
    };
    if let Body::Flowing { rest, .. } = &body
        && rest.why == WhyFlowing::NoRoom
    {
        body.discard(&exchange.host, wanted);
        exchange.host.memory.count_shed();
        answer(session, exchange, AnsweredBy::Edge, failure::no_memory().into()).await?;
        return Ok(None);
    }
    let Story { hooks, facts, .. } = &mut exchange.story;
    let attached = &mut hooks[at];
    let looked = Looked { status: head.status, fields: &head.headers, body: body.as_held(wanted) };
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
async fn read_body(session: &mut Session, exchange: &mut Exchange, wanted: usize) -> Result<Upload> {
    let server = &exchange.pipeline.settings.server;
    let limit = server.max_body_bytes.unwrap_or(u64::MAX).min(wanted as u64);
    let has_floor = server.min_body_rate > 0;
    if exchange.request.body_length.is_some_and(|length| length > limit) {
        return Ok(Upload::TooLarge { limit });
    }
    if exchange.request.expects_continue {
        session.write_continue_response().await.map_err(pingora::Error::into_down)?;
    }

    exchange.connection.upload().begin();
    let mut whole = Gather::new(exchange.host.memory.nothing_yet(exchange.story.facts.address()));
    loop {
        let read = session.read_request_body();
        let read = if has_floor { timeout(failure::MAX_SILENCE, read).await } else { Ok(read.await) };
        let Ok(read) = read else {
            exchange.connection.mark_slow_body();
            return Err(Error::explain(ErrorType::ReadTimedout, "a held request body stands still").into_down());
        };
        let Some(chunk) = read.map_err(pingora::Error::into_down)? else { break };
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

/// Resolves when nobody waits for the answer any more.
pub(super) async fn client_leaves(session: &mut Session) -> Box<Error> {
    match session.read_body_or_idle(true).await {
        Err(error) => error.into_down(),
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left").into_down(),
    }
}

/// Runs the call as long as the client waits for it, and passes the client's body on meanwhile.
async fn accompany(
    session: &mut Session,
    exchange: &mut Exchange,
    call: Call,
    mut intake: Option<Box<Intake>>,
) -> Result<()> {
    let early = Early::default();
    let outcome = {
        let (story, mut client) = exchange.split();
        let mut executed = std::pin::pin!(call.execute(story, Some(&early)));
        loop {
            tokio::select! {
                biased;
                outcome = &mut executed => break outcome,
                heads = early.come() => write_interim(session, heads).await?,
                gone = intake::attend(session, &mut client, intake.as_deref_mut()) => return Err(gone),
            }
        }
    };
    write_interim(session, early.take()).await?;
    finish(session, exchange, outcome, intake).await
}

/// Runs the call in a task of its own, which ends the exchange itself when the client leaves.
async fn survive(session: &mut Session, exchange: &mut Exchange, call: Call) -> Result<Outcome> {
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
        gone = client_leaves(session) => Err(gone),
    }
}

async fn write_interim(session: &mut Session, heads: Vec<ResponseHeader>) -> Result<()> {
    for head in heads {
        let written = Box::pin(session.write_response_header(Box::new(head)));
        written.await.map_err(pingora::Error::into_down)?;
    }
    Ok(())
}

/// Sends the reply: head, what was kept, and what flows on behind it.
async fn write(
    session: &mut Session,
    exchange: &mut Exchange,
    reply: call::Reply,
    intake: Option<Box<Intake>>,
) -> Result<()> {
    write_interim(session, reply.interim).await?;
    let mut head = reply.head;
    response::depart(ResponseHead { status: &mut head.status, fields: &mut head.headers }, exchange)?;
    close_when_done(session, exchange);

    let reason = head.extensions.remove::<Reason>();
    let mut head = Box::new(ResponseHeader::from(*head));
    if let Some(Reason(reason)) = reason {
        // It was valid when it came.
        let _ = head.set_reason_phrase(Some(&reason));
    }
    if exchange.request.version != Version::HTTP_2 {
        head.set_version(Version::HTTP_11);
    }

    let bodiless = exchange.request.method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match reply.body {
        Body::Whole { bytes, trailers } => {
            if !bodiless {
                head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()))?;
            }
            let ends = trailers.is_none() || exchange.request.version != Version::HTTP_2;
            let empty = bodiless || bytes.is_empty();
            if empty
                && ends
                && let Session::H2(h2) = session
            {
                // The head ends the stream: an empty DATA frame would contradict the length that a 304 may name.
                return h2.write_response_header(head, true).map_err(pingora::Error::into_down);
            }
            session.write_response_header(head).await.map_err(pingora::Error::into_down)?;
            if !empty {
                write_whole(session, exchange, bytes, ends).await?;
            }
            if let Some(trailers) = trailers.filter(|_| !ends) {
                session.write_response_trailers(trailers).await.map_err(pingora::Error::into_down)?;
            }
        }
        Body::Flowing { first, rest } => {
            if !bodiless {
                frame_flow(&mut head, exchange, session);
            }
            session.write_response_header(head).await.map_err(pingora::Error::into_down)?;
            Box::pin(flow(session, exchange, first, rest, intake)).await?;
        }
    }
    session.finish_body().await.map_err(pingora::Error::into_down)
}

/// Piece by piece: the engine's deadline is for one write, and a client that takes a large body slowly still takes it.
async fn write_whole(session: &mut Session, exchange: &mut Exchange, mut bytes: Bytes, ends: bool) -> Result<()> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        pass_on(session, exchange, piece, ends && bytes.is_empty()).await?;
    }
    Ok(())
}

/// Writes a piece of a body, and counts it once it is written.
async fn pass_on(session: &mut Session, exchange: &mut Exchange, piece: Bytes, end: bool) -> Result<()> {
    let length = piece.len() as u64;
    session.write_response_body(piece, end).await.map_err(pingora::Error::into_down)?;
    exchange.response_bytes += length;
    Ok(())
}

/// A body of unknown length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
fn frame_flow(head: &mut ResponseHeader, exchange: &Exchange, session: &mut Session) {
    if head.headers.contains_key(header::CONTENT_LENGTH) {
        return;
    }
    match exchange.request.version {
        Version::HTTP_11 => {
            // Cannot fail: name and value are valid.
            let _ = head.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Version::HTTP_2 => {}
        _ => session.set_keepalive(None),
    }
}

/// Passes a body on as it comes, and the rest of the client's body the other way.
async fn flow(
    session: &mut Session,
    exchange: &mut Exchange,
    first: Vec<Bytes>,
    mut rest: Box<Rest>,
    mut intake: Option<Box<Intake>>,
) -> Result<()> {
    for chunk in first {
        pass_on(session, exchange, chunk, false).await?;
    }
    rest.room = None;
    let unread = Unread::of(exchange);
    loop {
        let piece = {
            let (story, mut client) = exchange.split();
            tokio::select! {
                biased;
                piece = unread::next(&mut rest, story, unread.as_ref()) => piece,
                gone = intake::attend(session, &mut client, intake.as_deref_mut()) => return Err(gone),
            }
        };
        match piece {
            Ok((Some(chunk), _room)) => pass_on(session, exchange, chunk, false).await?,
            Ok((None, _)) => break,
            Err(error) if error.esource == ErrorSource::Downstream => return Err(error),
            Err(error) => {
                exchange.story.end_attempt(exchange.host.clock.now(), Some(failure::error_type(&error)));
                return Err(error.into_up());
            }
        }
    }

    let trailers = rest.trailers().await.map_err(pingora::Error::into_up)?;
    exchange.story.end_attempt(exchange.host.clock.now(), None);
    match trailers {
        Some(trailers) if exchange.request.version == Version::HTTP_2 => {
            session.write_response_trailers(trailers).await.map_err(pingora::Error::into_down)?;
        }
        _ => session.write_response_body(Bytes::new(), true).await.map_err(pingora::Error::into_down)?,
    }

    if let Some(intake) = intake
        && !rest.request_is_sent()
    {
        Box::pin(send_rest(session, exchange, &mut rest, *intake)).await;
    }
    rest.release(&exchange.host.connector).await;
    Ok(())
}

/// The response is complete; an application that answered early may still want the rest of the body, and gets what comes
/// of it in a short while.
async fn send_rest(session: &mut Session, exchange: &mut Exchange, rest: &mut Rest, mut intake: Intake) {
    exchange.connection.mark_answered();
    let (story, mut client) = exchange.split();
    tokio::select! {
        biased;
        () = rest.send_rest(story) => {}
        // The response was whole: nobody is told of what came after it.
        _gone = intake::attend(session, &mut client, Some(&mut intake)) => {}
        () = tokio::time::sleep(LATE_UPLOAD) => {}
    }
}
