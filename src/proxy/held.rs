//! The held lane: the exchange is driven here instead of by the engine, so that a response can be seen whole before its
//! first byte leaves, and an upstream call can outlive the client that asked for it.
//!
//! ```text
//! run ── body read whole ── on_request_body ── on_forward ── Call::execute (call.rs) ── write
//!                            └ look, on_looked                └ attempts, keep, on_held
//! ```

mod call;
mod keep;
mod look;
pub mod tunnel;
mod upward;

use super::request;
use super::response;
use crate::answer::{answer, close_when_done};
use crate::exchange::{Exchange, Returning, Story};
use crate::listener::connection::Expecting;
use crate::proxy::failure;
use bytes::{Bytes, BytesMut};
use call::{Call, Early, Outcome};
use futures::FutureExt;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use keep::{Body, Rest};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use std::panic::AssertUnwindSafe;
use vestibule_plugin::{AnsweredBy, Detach, Ended, Flow, Hold, Keep, Looked, ResponseHead, Soon};

/// Bytes of a kept body written at once.
const PIECE: usize = 64 * 1024;

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

/// Serves the request in this lane, holding what the plugins asked for. What is rare is boxed, so that what is usual
/// has little to move.
pub async fn run(session: &mut Session, exchange: &mut Exchange, hold: Hold) -> Result<()> {
    let body = match hold.request_body {
        None => Bytes::new(),
        Some(wanted) => match Box::pin(take_body(session, exchange, wanted)).await? {
            Some(body) => body,
            None => return Ok(()),
        },
    };
    if !request::forward(session, exchange).await? {
        return Ok(());
    }
    let call = Call::new(session.req_header().as_owned_parts(), body, hold, exchange);
    let outcome = match hold.detach {
        Detach::WithClient => accompany(session, &mut exchange.story, call).await?,
        Detach::Survives { .. } => Box::pin(survive(session, exchange, call)).await?,
    };
    match outcome {
        Outcome::Reply(reply) => write(session, exchange, reply).await,
        Outcome::Answer(by, response) => answer(session, exchange, by, *response).await,
        Outcome::Failed(problem) => answer(session, exchange, AnsweredBy::Edge, (*problem).into()).await,
    }
}

/// Reads the request body whole, if a plugin asked for it, and lets those plugins decide on it. `None`: answered.
async fn take_body(session: &mut Session, exchange: &mut Exchange, wanted: usize) -> Result<Option<Bytes>> {
    let server_limit = exchange.pipeline.settings.server.max_body_bytes.unwrap_or(u64::MAX);
    let limit = server_limit.min(wanted as u64);
    let declared_too_large = exchange.request.body_length.is_some_and(|length| length > limit);
    let body = if declared_too_large { None } else { read_body(session, exchange, limit).await? };
    let Some(body) = body else {
        session.as_downstream_mut().set_keepalive(None);
        answer(session, exchange, AnsweredBy::Edge, failure::too_large(limit).into()).await?;
        return Ok(None);
    };
    exchange.connection.expect(Expecting::Nothing);
    for at in 0..exchange.story.hooks.len() {
        let Story { hooks, facts, .. } = &mut exchange.story;
        let attached = &mut hooks[at];
        if attached.hold.is_none_or(|hold| hold.request_body.is_none()) {
            continue;
        }
        let flow = match attached.enter().on_request_body(&body, facts) {
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
            answer(session, exchange, by, *response).await?;
            return Ok(None);
        }
    }
    Ok(Some(body))
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
    let Story { hooks, facts, .. } = &mut exchange.story;
    let attached = &mut hooks[at];
    let looked = Looked { status: head.status, fields: &head.headers, body: body.as_held(wanted) };
    let flow = attached.enter().on_looked(looked, facts).get().await;
    attached.leave();
    body.discard(&exchange.host, wanted);
    Ok(Some(flow))
}

/// The whole body; `None` when it is larger than `limit`.
async fn read_body(session: &mut Session, exchange: &mut Exchange, limit: u64) -> Result<Option<Bytes>> {
    if exchange.request.expects_continue {
        session.as_downstream_mut().write_continue_response().await.map_err(pingora::Error::into_down)?;
    }
    exchange.connection.upload().begin();
    let mut whole = BytesMut::new();
    while let Some(chunk) = session.as_downstream_mut().read_request_body().await.map_err(pingora::Error::into_down)? {
        exchange.request_bytes += chunk.len() as u64;
        if exchange.request_bytes > limit {
            return Ok(None);
        }
        request::keep_pace(chunk.len(), exchange)?;
        request::show_upload(&chunk, exchange);
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole.freeze()))
}

/// Resolves when nobody waits for the answer any more.
pub(super) async fn client_leaves(session: &mut Session) -> Box<Error> {
    match session.as_downstream_mut().read_body_or_idle(true).await {
        Err(error) => error.into_down(),
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client left").into_down(),
    }
}

/// Runs the call as long as the client waits for it.
async fn accompany(session: &mut Session, story: &mut Story, call: Call) -> Result<Outcome> {
    let early = Early::default();
    let mut executed = std::pin::pin!(call.execute(story, Some(&early)));
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut executed => break outcome,
            heads = early.come() => write_interim(session, heads).await?,
            gone = client_leaves(session) => return Err(gone),
        }
    };
    write_interim(session, early.take()).await?;
    Ok(outcome)
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
        let written = Box::pin(session.write_response_header(Box::new(head), false));
        written.await.map_err(pingora::Error::into_down)?;
    }
    Ok(())
}

/// Sends the reply: head, what was kept, and what flows on behind it.
async fn write(session: &mut Session, exchange: &mut Exchange, reply: call::Reply) -> Result<()> {
    write_interim(session, reply.interim).await?;
    let mut head = reply.head;
    response::depart(ResponseHead { status: &mut head.status, fields: &mut head.headers }, exchange)?;
    close_when_done(session);
    let mut head = Box::new(ResponseHeader::from(*head));
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
                && let ServerSession::H2(h2) = session.as_downstream_mut()
            {
                // The head ends the stream: an empty DATA frame would contradict the length that a 304 may name.
                return h2.write_response_header(head, true).map_err(pingora::Error::into_down);
            }
            session.write_response_header(head, empty && ends).await.map_err(pingora::Error::into_down)?;
            if !empty {
                write_whole(session, exchange, bytes, ends).await?;
            }
            if let Some(trailers) = trailers.filter(|_| !ends) {
                session
                    .as_downstream_mut()
                    .write_response_trailers(trailers)
                    .await
                    .map_err(pingora::Error::into_down)?;
            }
        }
        Body::Flowing { first, rest } => {
            frame_flow(&mut head, exchange, session);
            session.write_response_header(head, false).await.map_err(pingora::Error::into_down)?;
            Box::pin(flow(session, exchange, first, rest)).await?;
        }
    }
    session.as_downstream_mut().finish_body().await.map_err(pingora::Error::into_down)
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
    session.write_response_body(Some(piece), end).await.map_err(pingora::Error::into_down)?;
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
        _ => session.as_downstream_mut().set_keepalive(None),
    }
}

async fn flow(session: &mut Session, exchange: &mut Exchange, first: Vec<Bytes>, mut rest: Box<Rest>) -> Result<()> {
    for chunk in first {
        pass_on(session, exchange, chunk, false).await?;
    }
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = rest.next() => chunk,
            gone = client_leaves(session) => return Err(gone),
        };
        match chunk {
            Ok(Some(chunk)) => {
                pass_on(session, exchange, chunk, false).await?;
            }
            Ok(None) => break,
            Err(error) => {
                exchange.story.end_attempt(exchange.host.clock.now(), Some(failure::error_type(&error)));
                return Err(error.into_up());
            }
        }
    }
    let trailers = rest.trailers().await.map_err(pingora::Error::into_up)?;
    exchange.story.end_attempt(exchange.host.clock.now(), None);
    rest.release(&exchange.host.connector).await;
    match trailers {
        Some(trailers) if exchange.request.version == Version::HTTP_2 => {
            session.as_downstream_mut().write_response_trailers(trailers).await.map_err(pingora::Error::into_down)
        }
        _ => session.write_response_body(None, true).await.map_err(pingora::Error::into_down),
    }
}
