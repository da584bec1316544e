//! The way in: read the head, judge it at the edge, ask the plugins, count the body.

use super::failure;
use super::held;
use super::wire::{self, RequestFields, UpstreamFields};
use crate::answer::answer;
use crate::edge::connection_options::{self, BadOption};
use crate::edge::forwarded::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP};
use crate::edge::threats::Threat;
use crate::edge::{path, rules};
use crate::exchange::{Exchange, Provenance, Request};
use crate::listener::connection::{Connection, Expecting};
use crate::pipeline::Pipeline;
use crate::upstream::Reuse;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vestibule_plugin::{AnsweredBy, Facts, Flow, Hold, Problem, RouteId};

/// What the edge found wrong; answered once the plugins that watch have seen the request.
pub struct Refusal {
    /// Counted under this kind.
    threat: Option<Threat>,
    /// Told to the client.
    problem: Problem,
}

/// Reads the head, applies the edge rules, finds the client and the route, and attaches the plugins.
pub fn enter(session: &mut Session, exchange: &mut Exchange) {
    let downstream = session.as_downstream_mut();
    // The guard below the parser keeps time.
    downstream.set_read_timeout(None);
    let server = &exchange.pipeline.settings.server;
    downstream.set_write_timeout(Some(server.idle_timeout));

    // RFC 9110 section 15.2: they came after HTTP/1.0.
    let is_http10 = downstream.req_header().version == Version::HTTP_10;
    downstream.set_ignore_info_resp(is_http10);
    let empty = downstream.is_body_empty();
    let head = downstream.req_header_mut();
    settle_target(head);
    wire::join_cookies(head);
    let mut request = read(head, exchange.connection.tls, empty);
    let judged = judge(&exchange.pipeline, &mut request, head);
    let (route, refusal) = match judged {
        Ok(route) => (route, None),
        Err(refusal) => (RouteId::UNMATCHED, Some(refusal)),
    };
    let (address, spoofed) = locate(&exchange.pipeline, &exchange.connection, &mut request, head);
    if let Some(threat) = refusal.as_ref().map_or(spoofed.then_some(Threat::SpoofedHeader), |r| r.threat) {
        exchange.host.threats.blocked(threat);
    }
    exchange.story.facts = Facts::new(route, address, *exchange.story.facts.trace());
    settle_upgrade(&exchange.pipeline, route, &mut request, head);
    exchange.connection.expect(match request.body_length {
        _ if request.upgrade || request.is_grpc => Expecting::Anything,
        Some(0) => Expecting::Nothing,
        _ => Expecting::Body,
    });
    exchange.request = std::sync::Arc::new(request);
    let pipeline = std::sync::Arc::clone(&exchange.pipeline);
    pipeline.attach(&exchange.request, head, &mut exchange.story);
    exchange.refusal = refusal;
}

/// Brings an absolute-form target of HTTP/1 into origin-form, so that routes and the application see its path. The
/// engine has compared its authority with Host.
fn settle_target(head: &mut RequestHeader) {
    if head.version == Version::HTTP_2 || head.raw_path().starts_with(b"/") {
        return;
    }
    if let Ok(absolute) = http::Uri::try_from(head.raw_path())
        && matches!(absolute.scheme_str(), Some("http" | "https"))
        && let Some(target) = absolute.path_and_query().cloned()
    {
        head.set_uri(target.into());
    }
}

/// `empty`: the engine knows that no body follows, also where HTTP/2 declares no length.
fn read(head: &RequestHeader, tls: bool, empty: bool) -> Request {
    let headers = &head.headers;
    let target = match head.uri.path_and_query() {
        Some(target) => target.as_str().to_owned(),
        None => String::from_utf8_lossy(head.raw_path()).into_owned(),
    };
    let authority = headers
        .get(header::HOST)
        .cloned()
        .or_else(|| head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    Request {
        method: head.method.clone(),
        target,
        normal_path: None,
        authority,
        scheme: if tls { "https" } else { "http" },
        version: head.version,
        body_length: if empty { Some(0) } else { declared.filter(|_| !chunked) },
        is_grpc: headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")),
        upgrade: false,
        expects_continue: headers.contains_key(header::EXPECT),
        user_agent: headers.get(header::USER_AGENT).cloned(),
        provenance: None,
    }
}

/// The edge rules, in the order in which they count.
fn judge(pipeline: &Pipeline, request: &mut Request, head: &mut RequestHeader) -> Result<RouteId, Box<Refusal>> {
    let refuse = |threat, problem| Box::new(Refusal { threat, problem });
    let bad_request = |slug, title, detail: String| Problem::new(slug, StatusCode::BAD_REQUEST, title).detail(detail);
    let host_ok = match request.version {
        Version::HTTP_10 | Version::HTTP_2 => request.authority.as_ref().is_none_or(|a| rules::is_host(a.as_bytes())),
        _ => rules::names_one_host(&head.headers),
    };
    if !host_ok {
        let problem = bad_request("bad-host", "Bad host", "send exactly one Host field, a name or an address".into());
        return Err(refuse(Some(Threat::BadHost), problem));
    }
    if !pipeline.settings.server.methods.contains(&request.method) {
        let allowed = pipeline.settings.server.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let mut problem = Problem::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .detail(format!("this service takes {allowed}"));
        if let Ok(allow) = HeaderValue::from_str(&allowed) {
            problem = problem.field(header::ALLOW, allow);
        }
        return Err(refuse(Some(Threat::Method), problem));
    }
    if request.expects_continue
        && !head.headers.get(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        let problem = Problem::new("expectation-failed", StatusCode::EXPECTATION_FAILED, "Expectation failed")
            .detail("the only expectation that can be met is 100-continue");
        return Err(refuse(None, problem));
    }
    if head.headers.contains_key(header::CONNECTION) {
        let named = connection_options::nominated(&head.headers, &pipeline.protected).map_err(|bad| match bad {
            BadOption::NotAToken => refuse(
                Some(Threat::Framing),
                bad_request("bad-request", "Bad request", "an option of Connection is not a token".into()),
            ),
            BadOption::Protected(name) => refuse(
                Some(Threat::ConnectionNomination),
                bad_request(
                    "connection-nomination",
                    "Bad connection option",
                    format!("Connection must not name `{name}`: the proxy relies on that field"),
                ),
            ),
            BadOption::Pseudo => refuse(
                Some(Threat::ConnectionNomination),
                bad_request(
                    "connection-nomination",
                    "Bad connection option",
                    "Connection must not name a pseudo-header field".into(),
                ),
            ),
            BadOption::TooMany => refuse(
                Some(Threat::ConnectionNomination),
                bad_request(
                    "connection-nomination",
                    "Bad connection option",
                    "Connection names more than 9 fields".into(),
                ),
            ),
        })?;
        for name in named {
            head.remove_header(&name);
        }
    }
    if pipeline.via.as_ref().is_some_and(|via| via.is_loop(&head.headers)) {
        let problem = Problem::new("loop", StatusCode::LOOP_DETECTED, "Loop detected")
            .detail("the request has passed this proxy eight times: an upstream points back at it");
        return Err(refuse(None, problem));
    }
    let bad_target = |detail: String| refuse(Some(Threat::BadTarget), bad_request("bad-target", "Bad target", detail));
    if request.target == "*" {
        return if request.method == Method::OPTIONS {
            Ok(RouteId::UNMATCHED)
        } else {
            Err(bad_target("`*` is a target for OPTIONS only".into()))
        };
    }
    if head.version != Version::HTTP_2 && !head.raw_path().starts_with(b"/") {
        return Err(bad_target("the target is neither a path nor an http or https URL".into()));
    }
    let readings = path::read(request.sent_path()).map_err(|why| bad_target(why.to_string()))?;
    let route = pipeline.routes.find(&request.method, &readings).map_err(|_| {
        bad_target(format!(
            "the path can be read as `{}` or `{}`, which are different routes",
            readings.normal, readings.decoded
        ))
    })?;
    let normal = (readings.normal != readings.sent).then(|| readings.normal.clone().into_owned());
    request.normal_path = normal;
    Ok(route)
}

/// Fields about a request's way here that only a trusted peer may bring along.
const TRUSTED_ONLY: [HeaderName; 8] = [
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Fields that are always written anew.
const REBUILT: [HeaderName; 5] = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_REAL_IP, header::FORWARDED];

/// Finds the client, removes what only others may say about it, and prepares what the application is told.
fn locate(
    pipeline: &Pipeline,
    connection: &Connection,
    request: &mut Request,
    head: &mut RequestHeader,
) -> (vestibule_plugin::ClientAddress, bool) {
    let peer = connection.peer;
    let trusted = pipeline.trust.holds(peer);
    let origin = pipeline.trust.origin(peer, &head.headers);
    let mut host = request.authority.clone();
    if trusted {
        if let Some(scheme) = pipeline.trust.scheme(&head.headers) {
            request.scheme = scheme;
        }
        if let Some(said) = pipeline.trust.host(&head.headers).and_then(|h| HeaderValue::from_str(&h).ok()) {
            host = Some(said);
        }
    }
    let spoofed = remove_spoofed(head, trusted);
    request.provenance = Some(describe(&origin, connection, host, request.scheme));
    (pipeline.trust.key(origin.client), spoofed)
}

/// Removes forwarding fields, and names that spell one of them or a credential with `_`; whether one of the latter
/// was there.
fn remove_spoofed(head: &mut RequestHeader, trusted: bool) -> bool {
    let mut doomed: Vec<HeaderName> = Vec::new();
    let mut spoofed = false;
    for name in head.headers.keys() {
        let text = name.as_str();
        // Every name in the tables starts with one of these letters; most names are settled by the first byte.
        if matches!(text.as_bytes()[0], b'x' | b'f' | b't' | b'c')
            && (REBUILT.contains(name) || (!trusted && TRUSTED_ONLY.contains(name)))
        {
            doomed.push(name.clone());
        } else if let Some(twin) = rules::dashed_twin(name)
            && (REBUILT.iter().chain(&TRUSTED_ONLY).any(|n| n.as_str() == twin) || is_credential(&twin))
        {
            spoofed = true;
            doomed.push(name.clone());
        }
    }
    for name in &doomed {
        head.remove_header(name);
    }
    spoofed
}

fn is_credential(dashed: &str) -> bool {
    matches!(dashed, "idempotency-key" | "x-api-key") || dashed.starts_with("x-auth-")
}

fn describe(origin: &Origin, connection: &Connection, host: Option<HeaderValue>, scheme: &str) -> Provenance {
    let value = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let text = |ip: &IpAddr| if *ip == connection.peer { connection.peer_text.clone() } else { value(ip.to_string()) };
    let nodes: Vec<HeaderValue> = std::iter::once(&origin.client).chain(&origin.hops).map(text).collect();
    let host_text = host.as_ref().and_then(|host| host.to_str().ok());
    // A host that the edge has let through needs no escaping inside quotes.
    let host_text = host_text.filter(|host| rules::is_host(host.as_bytes()));
    let mut forwarded = String::with_capacity(nodes.len() * 24 + host_text.map_or(0, str::len) + 24);
    for (n, node) in nodes.iter().filter_map(|node| node.to_str().ok()).enumerate() {
        let (open, close) = if node.contains(':') { ("for=\"[", "]\"") } else { ("for=", "") };
        forwarded.extend([if n == 0 { "" } else { ", " }, open, node, close]);
    }
    if let Some(host) = host_text {
        forwarded.extend([";host=\"", host, "\""]);
    }
    forwarded.extend([";proto=", scheme]);
    let chain = match &nodes[..] {
        [only] => only.clone(),
        nodes => value(nodes.iter().filter_map(|node| node.to_str().ok()).collect::<Vec<_>>().join(", ")),
    };
    Provenance { client: nodes[0].clone(), chain, host, forwarded: value(forwarded) }
}

/// Lets a complete WebSocket handshake through where the route says so; elsewhere the request is an ordinary one.
fn settle_upgrade(pipeline: &Pipeline, route: RouteId, request: &mut Request, head: &mut RequestHeader) {
    if !head.headers.contains_key(header::UPGRADE) {
        return;
    }
    request.upgrade = pipeline.allows_upgrade(route)
        && request.method == Method::GET
        && request.version == Version::HTTP_11
        && rules::is_websocket_handshake(&head.headers);
    if !request.upgrade {
        head.remove_header(&header::UPGRADE);
    }
}

/// Asks the plugins, outermost first; whether the request has been answered.
pub async fn admit(session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
    // Those that watch see the request before anything refuses it.
    let watching = exchange.story.hooks.iter().take_while(|attached| attached.stage.observes()).count();
    if ask(session, exchange, watching).await? {
        return Ok(true);
    }
    if let Some(refusal) = exchange.refusal.take() {
        session.as_downstream_mut().set_keepalive(None);
        answer(session, exchange, AnsweredBy::Edge, refusal.problem.into()).await?;
        return Ok(true);
    }
    if let Some(problem) = overload(exchange) {
        answer(session, exchange, AnsweredBy::Edge, problem.into()).await?;
        return Ok(true);
    }
    let all = exchange.story.hooks.len();
    if ask(session, exchange, all).await? {
        return Ok(true);
    }
    if let Some(limit) = exchange.pipeline.settings.server.max_body_bytes
        && exchange.request.body_length.is_some_and(|length| length > limit)
    {
        session.as_downstream_mut().set_keepalive(None);
        answer(session, exchange, AnsweredBy::Edge, failure::too_large(limit).into()).await?;
        return Ok(true);
    }
    if exchange.request.upgrade {
        return Box::pin(held::tunnel::run(session, exchange)).await.map(|()| true);
    }
    match wanted_hold(exchange) {
        // Boxed, so that the engine's own lane does not carry the room this one needs.
        Some(hold) => Box::pin(held::run(session, exchange, hold)).await.map(|()| true),
        None => Ok(false),
    }
}

/// Runs `on_request` of the hooks up to `until`; whether one of them answered.
async fn ask(session: &mut Session, exchange: &mut Exchange, until: usize) -> Result<bool> {
    while exchange.story.entered < until {
        let at = exchange.story.entered;
        exchange.story.entered += 1;
        let story = &mut exchange.story;
        let attached = &mut story.hooks[at];
        let mut fields = RequestFields(session.as_downstream_mut().req_header_mut());
        let mut head = exchange.request.head(&mut fields);
        let flow = attached.enter().on_request(&mut head, &mut story.facts).get().await;
        attached.leave();
        match flow {
            Flow::Continue => {}
            Flow::Hold(hold) => attached.hold = Some(hold),
            Flow::Respond(response) => {
                let by = AnsweredBy::Plugin(attached.name);
                answer(session, exchange, by, *response).await?;
                return Ok(true);
            }
        }
    }
    Ok(false)
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

/// What the plugins want held, taken together; `None` sends the request down the stream lane.
fn wanted_hold(exchange: &Exchange) -> Option<Hold> {
    let holds = exchange.story.hooks.iter().filter_map(|attached| attached.hold);
    let merged = holds.reduce(|a, b| Hold {
        request_body: a.request_body.max(b.request_body),
        response: held::larger(a.response, b.response),
        detach: a.detach.max(b.detach),
    })?;
    let has_body = exchange.request.body_length != Some(0);
    // Nobody asked for the body, so nobody bounded it: it streams, and the response with it.
    let unbounded = merged.request_body.is_none() && has_body;
    (!unbounded).then_some(merged)
}

/// The last word before the first attempt; whether the request goes on to the upstream.
pub async fn forward(session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
    for at in 0..exchange.story.hooks.len() {
        let story = &mut exchange.story;
        let attached = &mut story.hooks[at];
        let flow = attached.enter().on_forward(&story.facts).get().await;
        attached.leave();
        match flow {
            Flow::Continue | Flow::Hold(_) => {}
            Flow::Respond(response) => {
                let by = AnsweredBy::Plugin(attached.name);
                answer(session, exchange, by, *response).await?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The peer for the next attempt of the stream lane.
pub async fn choose_peer(exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
    let again = exchange.story.attempts.last().is_some_and(|_| exchange.resend_fresh);
    let reuse = if again { Reuse::Fresh } else { Reuse::Pooled };
    exchange.story.begin_attempt(exchange.host.clock.now());
    let upstream = exchange.pipeline.upstream(exchange.story.facts.route());
    match upstream.peer(exchange.request.upgrade, reuse).await {
        Ok(peer) => Ok(Box::new(peer)),
        Err(unresolved) => {
            exchange.story.end_attempt(exchange.host.clock.now(), Some("name_resolution"));
            Err(Error::because(ErrorType::ConnectNoRoute, "resolving the upstream", unresolved).into_up())
        }
    }
}

/// Prepares the head that one attempt sends: the same in both lanes.
pub fn address(head: &mut RequestHeader, exchange: &mut Exchange) {
    if exchange.request.version == Version::HTTP_10 && !head.headers.contains_key(header::HOST) {
        let upstream = exchange.pipeline.upstream(exchange.story.facts.route());
        let host = exchange.request.authority.clone().or_else(|| HeaderValue::try_from(upstream.authority()).ok());
        if let Some(host) = host {
            // Only a map of 32,768 entries could refuse it.
            let _ = head.insert_header(header::HOST, host);
        }
    }
    let mut fields = UpstreamFields::of(head);
    wire::announce(&mut fields, &exchange.request, exchange.pipeline.via.as_ref());
    let story = &mut exchange.story;
    for attached in &mut story.hooks {
        attached.enter().on_upstream_request(&mut fields, &story.facts);
        attached.leave();
    }
}

/// Counts a piece of request body of the stream lane against the limit.
pub fn count_body(body: Option<&Bytes>, end: bool, exchange: &mut Exchange) -> Result<()> {
    exchange.request_bytes += body.map_or(0, |chunk| chunk.len() as u64);
    if end && !exchange.request.upgrade {
        exchange.connection.expect(Expecting::Nothing);
    }
    match exchange.pipeline.settings.server.max_body_bytes {
        Some(limit) if exchange.request_bytes > limit && !exchange.request.upgrade => {
            Err(Error::explain(failure::BODY_TOO_LARGE, "request body over max_body_bytes").into_down())
        }
        _ => Ok(()),
    }
}
