//! HTTP/2 on one connection: streams side by side, each its own exchange.

use super::Listener;
use super::open_streams::OpenStreams;
use crate::downstream::Head;
use crate::downstream::connection::{Connection, Expecting};
use crate::downstream::http1::Bounds;
use crate::downstream::http2::{Http2, refuse};
use crate::downstream::lingering::LINGER;
use crate::downstream::{App, Downstream, Served};
use crate::edge::threats::Threat;
use crate::memory_budget::ConnectionReplies;
use bytes::Bytes;
use h2::server::Builder;
use h2::{Reason, RecvStream};
use http::Request;
use http::header;
use pingora::protocols::Stream;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Streams at once on one connection.
const MAX_STREAMS: u32 = 100;
/// Bytes a client may send on one stream before it must wait.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes a client may send on one connection before it must wait.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that were reset before they were served, kept at most.
const MAX_PENDING_RESETS: usize = 20;
/// Resets that the client's own errors may cause.
const MAX_ERROR_RESETS: usize = 1024;

/// How long a connection that has been told to go, and on which nothing is served, may stay.
const FAREWELL: Duration = Duration::from_secs(1);

fn options(max_header_bytes: usize) -> Builder {
    let mut options = Builder::new();
    options
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(max_header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    options
}

/// Serves until the client is done, idle for too long, or the drain has ended its streams. The client's preface is due
/// a `header_timeout` after `began`: the TLS handshake, or its own first byte, has begun the deadline.
pub async fn serve<A: App>(
    listener: &Listener<A>,
    stream: Stream,
    open: Arc<OpenStreams>,
    connection: Arc<Connection>,
    began: Instant,
    bounds: Bounds,
) {
    let options = options(bounds.max_header_bytes);
    let handshake = options.handshake::<_, Bytes>(stream);
    let preface_due = began + bounds.header_timeout;
    let Ok(Ok(mut wire)) = tokio::time::timeout_at(preface_due, handshake).await else { return };
    let streams = Arc::new(Streams::new(open));
    let replies = ConnectionReplies::new();
    let mut draining = listener.draining.clone();
    let mut leaving = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining), if !leaving => {
                wire.graceful_shutdown();
                leaving = true;
                continue;
            }
            accepted = wire.accept() => accepted,
            () = streams.idle_for(bounds.idle_timeout, bounds.idle_timeout), if !leaving => {
                // Says so; a request that is on its way already is still served.
                wire.graceful_shutdown();
                leaving = true;
                continue;
            }
            // Whoever crossed the GOAWAY is served first; whoever does not answer it is not waited for.
            () = streams.idle_for(FAREWELL, bounds.idle_timeout), if leaving => break,
        };
        match accepted {
            Some(Ok((request, respond))) => match fault_of(&request) {
                None => {
                    let own = Arc::new(connection.stream(&replies));
                    let began = listener.host.clock.now();
                    let stream = Http2::new(request, respond, bounds.idle_timeout, Arc::clone(&own), began);
                    spawn(listener, &streams, stream, own, bounds.min_body_rate);
                }
                Some(threat) => {
                    refuse(respond);
                    // Others may have streams on this connection: it stays, however many there are.
                    listener.host.refuse_head(threat, connection.peer);
                }
            },
            Some(Err(_)) | None => return,
        }
    }

    // Nothing is left to be served: what is written leaves, and the client can take it.
    wire.abrupt_shutdown(Reason::NO_ERROR);
    let _ = tokio::time::timeout(LINGER + FAREWELL, poll_fn(|cx| wire.poll_closed(cx))).await;
}

/// Serves one stream in a task of its own.
fn spawn<A: App>(
    listener: &Listener<A>,
    streams: &Arc<Streams>,
    (http2, head): (Http2, Arc<Head>),
    own: Arc<Connection>,
    floor: u64,
) {
    let busy = Busy::new(streams);
    let app = Arc::clone(listener.app());
    listener.live.spawn(async move {
        let _busy = busy;
        let mut downstream = Downstream::Http2(Box::new(http2));
        let overdue = async {
            own.upload().overdue(floor, || own.expecting() == Expecting::Body).await;
            own.mark_slow_body();
        };

        let served = tokio::select! {
            biased;
            served = app.serve(&mut downstream, head) => served,
            // The exchange is dropped where it stands, and its stream reset.
            () = overdue => Served::Failed,
        };

        if served == Served::Whole {
            // Whoever cannot be told has gone.
            let _ = downstream.finish().await;
        }
    });
}

/// What no exchange can be made of: lengths that two readers could read differently, and a path with bytes that end a
/// request line.
fn fault_of(request: &Request<RecvStream>) -> Option<Threat> {
    let mut lengths = request.headers().get_all(header::CONTENT_LENGTH).iter();
    if let (Some(_), Some(_)) = (lengths.next(), lengths.next()) {
        return Some(Threat::Smuggling);
    }
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    target.bytes().any(|byte| byte <= b' ' || byte == 0x7f).then_some(Threat::BadTarget)
}

/// The streams being served, and since when there have been none.
struct Streams {
    /// Exchanges under way.
    active: AtomicUsize,
    changed: Notify,
    /// Replies that have not left whole, whether their exchanges are over or not.
    open: Arc<OpenStreams>,
}

impl Streams {
    fn new(open: Arc<OpenStreams>) -> Self {
        Self { active: AtomicUsize::new(0), changed: Notify::new(), open }
    }

    /// Resolves when there has been no stream for `patience`; while the client still takes replies whose exchanges are
    /// over, when it has taken nothing of them for `idle_timeout`.
    async fn idle_for(&self, patience: Duration, idle_timeout: Duration) {
        let (mut taken, mut quiet) = (self.open.taken(), Duration::ZERO);
        loop {
            let changed = self.changed.notified();
            if self.active.load(Ordering::Acquire) > 0 {
                changed.await;
                quiet = Duration::ZERO;
                continue;
            }
            if tokio::time::timeout(patience, changed).await.is_ok() {
                quiet = Duration::ZERO;
                continue;
            }

            let now = self.open.taken();
            quiet = if now == taken { quiet + patience } else { Duration::ZERO };
            taken = now;
            if self.open.is_empty() || quiet >= idle_timeout {
                return;
            }
        }
    }
}

/// Counts a stream as long as it is served.
struct Busy(Arc<Streams>);

impl Busy {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.active.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(streams))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_one();
        }
    }
}
