//! The way in: read the head, judge it at the edge, ask the plugins.

use super::driver;
use super::failure;
use super::judge::judge;
use super::provenance::{self, locate};
use super::refused_head;
use super::wire;
use crate::answer::answer;
use crate::downstream::connection::Expecting;
use crate::downstream::{Downstream, Head};
use crate::edge::threats::Threat;
use crate::edge::{path, rules, target};
use crate::exchange::{Exchange, Request};
use crate::pipeline::Pipeline;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vestibule_plugin::{AnsweredBy, Ended, Facts, Flow, Hold, Problem, Response, RouteId, Soon, list, media};

/// Reads the head, applies the edge rules, finds the client and the route, and attaches the plugins.
pub fn enter(downstream: &Downstream, exchange: &mut Exchange) {
    let head = Arc::make_mut(&mut exchange.head);
    if head.version == Version::HTTP_2 {
        encode_target(head);
        wire::join_cookies(head);
    }

    let mut request = read(head, exchange.connection.tls, downstream.has_no_body());

    let refused = exchange.connection.take_refused_head();
    let judged = match refused {
        // What was refused below the parser is a stand-in here.
        Some(refused) => refused_head::refusal(refused, &exchange.pipeline, &mut request, head),
        None => judge(&exchange.pipeline, &mut request, head),
    };

    let (route, refusal) = match judged {
        Ok(route) => (route, None),
        Err(refusal) => {
            request.normal_path = path::normal(request.sent_path());
            (RouteId::UNMATCHED, Some(refusal))
        }
    };

    let located = locate(&exchange.pipeline, &exchange.connection, &mut request, head);
    exchange.threat = refusal.as_ref().map_or(located.spoofed.then_some(Threat::SpoofedHeader), |r| r.threat);
    if let Some(unheard) = located.unheard
        && exchange.host.unheard_proxy.is_due(exchange.host.clock.now())
    {
        tracing::warn!(
            target: "edge",
            network = provenance::network(exchange.connection.peer),
            "{}",
            unheard.warning()
        );
    }

    exchange.story.facts = Facts::new(route, located.client, *exchange.story.facts.trace());
    settle_upgrade(&exchange.pipeline, route, &mut request, head);

    exchange.connection.expect(match request.body_length {
        // What a client sends before its tunnel is there waits.
        _ if request.upgrade => Expecting::Nothing,
        _ if request.is_grpc => Expecting::SlowBody,
        Some(0) => Expecting::Nothing,
        _ => Expecting::Body,
    });

    exchange.request = Arc::new(request);
    exchange.pipeline.attach(&exchange.request, head, &mut exchange.story);
    exchange.refusal = refusal;
}

/// Percent-encodes bytes that HTTP/1 and applications do not take; of a head of HTTP/1 that was done when it was read.
fn encode_target(head: &mut Head) {
    if let Some(encoded) = target::encoded(&head.target) {
        head.target = encoded.into();
    }
}

/// `empty`: it is known that no body follows, also where HTTP/2 declares no length.
pub(super) fn read(head: &Head, tls: bool, empty: bool) -> Request {
    let fields = &head.fields;
    let authority = fields
        .value(header::HOST)
        .or_else(|| head.authority.as_ref().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()));

    let declared = fields.text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse().ok());
    let chunked = fields.has(header::TRANSFER_ENCODING);

    Request {
        method: head.method.clone(),
        target: String::from_utf8_lossy(&head.target).into_owned(),
        normal_path: None,
        authority,
        scheme: if tls { "https" } else { "http" },
        version: head.version,
        body_length: if empty { Some(0) } else { declared.filter(|_| !chunked) },
        is_grpc: fields.get(header::CONTENT_TYPE).is_some_and(media::is_grpc),
        upgrade: false,
        expects_continue: fields.has(header::EXPECT),
        takes_trailers: match head.version {
            Version::HTTP_2 => true,
            Version::HTTP_11 => list::has_token(fields, &header::TE, "trailers"),
            _ => false,
        },
        user_agent: fields.value(header::USER_AGENT),
        unread: None,
        provenance: None,
    }
}

/// Lets a complete WebSocket handshake through where the route says so; elsewhere the request is an ordinary one.
fn settle_upgrade(pipeline: &Pipeline, route: RouteId, request: &mut Request, head: &mut Head) {
    if !head.fields.has(header::UPGRADE) {
        return;
    }
    request.upgrade = pipeline.allows_upgrade(route)
        && request.method == Method::GET
        && request.version == Version::HTTP_11
        && rules::is_websocket_handshake(&head.fields);
    if !request.upgrade {
        head.fields.remove(header::UPGRADE);
    }
}

/// Asks the plugins, outermost first, and serves what they let through.
pub async fn admit(downstream: &mut Downstream, exchange: &mut Exchange) -> Result<()> {
    // Those that watch see the request before anything refuses it.
    let watching = exchange.story.hooks.iter().take_while(|attached| attached.stage.observes()).count();
    let answered = ask(downstream, exchange, watching).await?;
    if let Some(threat) = exchange.threat.take() {
        exchange.blocked(threat);
    }
    if answered {
        return Ok(());
    }

    if let Some(refusal) = exchange.refusal.take() {
        downstream.close_after();
        exchange.story.ended = Some(Ended::Refused);
        answer(downstream, exchange, AnsweredBy::Edge, refusal.problem.into()).await?;
        return Ok(());
    }
    if let Some(problem) = overload(exchange) {
        answer(downstream, exchange, AnsweredBy::Edge, problem.into()).await?;
        return Ok(());
    }

    let all = exchange.story.hooks.len();
    if ask(downstream, exchange, all).await? {
        return Ok(());
    }
    if let Some(limit) = exchange.pipeline.settings.server.max_body_bytes
        && exchange.request.body_length.is_some_and(|length| length > limit)
    {
        downstream.close_after();
        answer(downstream, exchange, AnsweredBy::Edge, failure::too_large(limit).into()).await?;
        return Ok(());
    }

    end_empty_body(downstream, exchange).await?;
    if exchange.request.upgrade {
        return Box::pin(driver::tunnel::run(downstream, exchange)).await;
    }
    let hold = wanted_hold(exchange);
    Box::pin(driver::run(downstream, exchange, hold)).await
}

/// Waits for the end of a body over HTTP/2 that is declared empty, before anything goes on: a DATA frame with bytes is an
/// error of its stream (RFC 9113 section 8.1.1), which is told only to who reads the body.
async fn end_empty_body(downstream: &mut Downstream, exchange: &Exchange) -> Result<()> {
    if exchange.request.version != Version::HTTP_2
        || exchange.request.body_length != Some(0)
        || !exchange.head.fields.has(header::CONTENT_LENGTH)
    {
        return Ok(());
    }
    let connection = &exchange.connection;
    connection.expect(Expecting::Body);
    connection.upload().begin();
    while downstream.read_body().await?.is_some() {}
    connection.expect(Expecting::Nothing);
    Ok(())
}

/// Runs `on_request` of the hooks up to `until`; whether one of them answered.
async fn ask(downstream: &mut Downstream, exchange: &mut Exchange, until: usize) -> Result<bool> {
    let Some((by, response)) = first_answer(downstream, exchange, until).await? else { return Ok(false) };
    answer(downstream, exchange, by, *response).await?;
    Ok(true)
}

async fn first_answer(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    until: usize,
) -> Result<Option<(AnsweredBy, Box<Response>)>> {
    if exchange.story.entered >= until {
        return Ok(None);
    }

    // What a client sends behind a complete request is kept back below the parser, so that only its leaving is read. A
    // body that is still to come would be read instead: such a client is not watched.
    let is_complete = exchange.connection.expecting() == Expecting::Nothing;
    while exchange.story.entered < until {
        let at = exchange.story.entered;
        exchange.story.entered += 1;
        let story = &mut exchange.story;
        let attached = &mut story.hooks[at];

        let mut head = exchange.request.head(&mut Arc::make_mut(&mut exchange.head).fields);
        let flow = match attached.enter().on_request(&mut head, &mut story.facts) {
            Soon::Now(flow) => Ok(flow),
            Soon::Later(decided) if is_complete => tokio::select! {
                biased;
                flow = decided => Ok(flow),
                gone = downstream.leaves() => Err(gone),
            },
            Soon::Later(decided) => Ok(decided.await),
        };
        attached.leave();

        match flow? {
            // Nothing can be looked at before the body has come.
            Flow::Continue | Flow::Look(_) => {}
            Flow::Hold(hold) => attached.hold = Some(hold),
            Flow::Respond(response) => return Ok(Some((AnsweredBy::Plugin(attached.name), response))),
        }
    }
    Ok(None)
}

fn overload(exchange: &Exchange) -> Option<Problem> {
    let limit = exchange.pipeline.settings.server.max_requests;
    if limit == 0 || exchange.host.in_flight.load(Ordering::Relaxed) <= limit {
        return None;
    }
    exchange.host.counts.shed_requests.inc();
    Some(
        Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
            .detail("more requests are being served than this proxy may take on; try again shortly")
            .retry_after(Duration::from_secs(1)),
    )
}

/// What the plugins want held, taken together; `None` when both bodies stream.
fn wanted_hold(exchange: &mut Exchange) -> Option<Hold> {
    let holds = exchange.story.hooks.iter().filter_map(|attached| attached.hold);
    let merged = holds.reduce(|a, b| Hold {
        request_body: a.request_body.max(b.request_body),
        response: driver::larger(a.response, b.response),
        detach: a.detach.max(b.detach),
    })?;
    let has_body = exchange.request.body_length != Some(0);
    // Nobody asked for the body, so nobody bounded it: it streams, and the response with it.
    if merged.request_body.is_none() && has_body {
        exchange.story.hooks.iter_mut().for_each(|attached| attached.hold = None);
        return None;
    }
    Some(merged)
}

/// The last word before the first attempt; whether the request goes on to the upstream.
pub async fn forward(downstream: &mut Downstream, exchange: &mut Exchange) -> Result<bool> {
    for at in 0..exchange.story.hooks.len() {
        let story = &mut exchange.story;
        let attached = &mut story.hooks[at];
        let flow = match attached.enter().on_forward(&story.facts) {
            Soon::Now(flow) => flow,
            Soon::Later(flow) => flow.await,
        };
        attached.leave();
        match flow {
            Flow::Continue | Flow::Hold(_) | Flow::Look(_) => {}
            Flow::Respond(response) => {
                let by = AnsweredBy::Plugin(attached.name);
                answer(downstream, exchange, by, *response).await?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}
