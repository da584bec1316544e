//! The one function that writes a local response.

mod form;

use crate::downstream::Downstream;
use crate::exchange::Exchange;
use crate::proxy::failure;
use crate::response_head::ResponseHead;
use bytes::Bytes;
use form::Form;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::Result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;
use vestibule_plugin::{AnsweredBy, Ended, FullResponse, Problem, Response, ResponseHead as Edited};

/// A refused body of at most this declared length is read and thrown away to keep the connection.
const DRAIN_BYTES: u64 = 64 * 1024;
/// Bytes of an upload over HTTP/2 that are read when its answer is out; with its windows full a client reads answers.
const UPLOAD_BYTES: usize = 1024 * 1024;
/// Bytes of a body written at once.
const PIECE: usize = 64 * 1024;
/// The longest such a drain takes.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Writes `response` in the form this client understands, after every hook entered so far has seen it. Boxed: most
/// requests are answered by the upstream, and need not carry the room for this.
pub fn answer<'a>(
    downstream: &'a mut Downstream,
    exchange: &'a mut Exchange,
    by: AnsweredBy,
    response: Response,
) -> BoxFuture<'a, Result<()>> {
    let full = match response {
        Response::Full(full) => full,
        Response::Problem(problem) => render(exchange, &problem),
    };
    Box::pin(write(downstream, exchange, by, full))
}

/// Of requests that are refused for want of a store, of which an outage makes thousands.
const WITHOUT_STORE: &str = "store-unavailable";

/// The problem in the form this client understands; named in the access line, and its cause in the log.
fn render(exchange: &mut Exchange, problem: &Problem) -> FullResponse {
    exchange.story.problem = Some(problem.slug);
    exchange.story.reason.clone_from(&problem.reason);
    if let Some(cause) = &problem.cause
        // One that fails is told by whoever keeps it; each request has its access line.
        && (problem.slug != WITHOUT_STORE || exchange.host.store_outage.is_due(exchange.host.clock.now()))
    {
        let trace = exchange.story.facts.trace();
        // Which one is a question of the route alone.
        let upstream = problem
            .slug
            .starts_with("upstream-")
            .then(|| exchange.pipeline.upstream(exchange.story.facts.route()).settings.url.as_str());
        tracing::warn!(
            target: "answer",
            trace_id = format_args!("{:032x}", trace.trace_id),
            span_id = format_args!("{:016x}", trace.span_id),
            trace_flags = format_args!("{:02x}", trace.flags),
            route = exchange.route_name(),
            problem = problem.slug,
            upstream,
            cause = %cause,
            "answered with a problem"
        );
    }

    let form = Form::of(&exchange.request, &exchange.head);
    form.render(problem, exchange.story.facts.trace().trace_id)
}

fn head_of(full: &FullResponse) -> ResponseHead {
    let mut head = ResponseHead { status: full.status, reason: None, fields: full.fields.clone() };
    if may_have_body(full.status) {
        head.fields.set(header::CONTENT_LENGTH, HeaderValue::from(full.body.len()));
    }
    head
}

fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

async fn write(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    by: AnsweredBy,
    mut full: FullResponse,
) -> Result<()> {
    exchange.story.answered_by = by;
    let mut head = head_of(&full);
    // Ends: each time round, one hook more is not asked again.
    while let Err(Panicked) = respond_hooks(exchange, &mut head.edited()) {
        full = render(exchange, &failure::internal());
        exchange.story.answered_by = AnsweredBy::Edge;
        exchange.story.ended = Some(Ended::UpstreamError);
        head = head_of(&full);
    }

    let body_allowed = may_have_body(full.status);
    let send_body = body_allowed && exchange.request.method != Method::HEAD && !full.body.is_empty();
    exchange.story.status = Some(head.status);
    exchange.story.head_at = Some(exchange.host.clock.now());

    plan_unread_body(downstream, exchange).await;
    close_when_done(downstream, exchange);
    if !send_body {
        // Over HTTP/2 one HEADERS frame with END_STREAM: what a gRPC client calls trailers-only.
        downstream.write_last_head(head).await?;
        return downstream.finish().await;
    }
    downstream.write_head(head).await?;
    write_body(downstream, exchange, full.body, true).await
}

/// Writes a body that is here, piece by piece: a client that takes a large body slowly still takes it. With `ends` nothing
/// follows it.
pub async fn write_body(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    mut body: Bytes,
    ends: bool,
) -> Result<()> {
    loop {
        let piece = body.split_to(body.len().min(PIECE));
        let is_last = body.is_empty();
        write_piece(downstream, exchange, piece, ends && is_last).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// Writes a piece of a body, and counts it once it is written.
pub async fn write_piece(downstream: &mut Downstream, exchange: &mut Exchange, piece: Bytes, ends: bool) -> Result<()> {
    let length = piece.len() as u64;
    downstream.write_body(piece, ends).await?;
    exchange.response_bytes += length;
    Ok(())
}

/// A hook panicked; it is not asked again in this exchange.
#[derive(Debug)]
pub struct Panicked;

/// Runs `on_response` over the hooks that have seen the request or dress every response, innermost first. When one
/// panics, `head` is spoilt.
pub fn respond_hooks(exchange: &mut Exchange, head: &mut Edited<'_>) -> Result<(), Panicked> {
    let (hooks, facts) = exchange.story.dressing();
    for attached in hooks {
        let hooks = attached.enter();
        catch_unwind(AssertUnwindSafe(|| hooks.on_response(head, facts))).map_err(|_| Panicked)?;
        attached.leave();
    }
    Ok(())
}

/// Says that no further request will be served on this connection, once the drain has begun.
pub fn close_when_done(downstream: &mut Downstream, exchange: &Exchange) {
    if exchange.host.is_draining.load(Ordering::Acquire) {
        downstream.close_after();
    }
}

/// A small body that nobody read is thrown away so that the connection can go on; a large one ends it. Of one that did
/// not say how large it is only what is here already is known to be small.
async fn plan_unread_body(downstream: &mut Downstream, exchange: &mut Exchange) {
    if exchange.request.expects_continue
        || exchange.connection.had_slow_body()
        || exchange.request.version == Version::HTTP_2
    {
        return;
    }
    let small = match exchange.request.body_length {
        Some(length) => length <= DRAIN_BYTES,
        None => {
            let mut thrown = 0;
            while thrown <= DRAIN_BYTES
                && let Some(Ok(Some(chunk))) = tokio::task::unconstrained(downstream.read_body()).now_or_never()
            {
                thrown += chunk.len() as u64;
            }
            exchange.request_bytes += thrown;
            downstream.body_is_done()
        }
    };
    if small {
        downstream.discard_body();
    }
}

/// Lets an HTTP/2 client that has its answer finish a short upload, or notice: when a reset comes right behind the answer,
/// the client may never see it. curl 7.88 drops it.
pub async fn let_upload_end(downstream: &mut Downstream) {
    let Downstream::Http2(http2) = downstream else { return };
    if !http2.is_answered_early() {
        return;
    }

    let read = async {
        let mut left = UPLOAD_BYTES;
        while let Ok(Some(chunk)) = http2.read_body().await
            && chunk.len() < left
        {
            left -= chunk.len();
        }
    };
    // Either way the stream ends now.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}
