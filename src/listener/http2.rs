//! HTTP/2 on one connection: streams side by side, each its own exchange.

use super::connection::{Connection, Expecting};
use super::guard::Bounds;
use super::lingering::LINGER;
use super::open_streams::OpenStreams;
use super::{CURRENT, Listener};
use crate::edge::threats::Threat;
use crate::memory_budget::ConnectionReplies;
use h2::Reason;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, Stream};
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

fn options(max_header_bytes: usize) -> H2Options {
    let mut options = server::default_h2_options();
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
pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    listener: &Listener<A>,
    stream: Stream,
    open: Arc<OpenStreams>,
    connection: Arc<Connection>,
    began: Instant,
    bounds: Bounds,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: None,
    });
    let handshake = server::handshake(stream, Some(options(bounds.max_header_bytes)));
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
            accepted = HttpSession::from_h2_conn(&mut wire, Arc::clone(&digest)) => accepted,
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
            Ok(Some(H2Accept::Session(session))) => {
                let busy = Busy::new(&streams);
                let own = Arc::new(connection.stream(&replies));
                let app = Arc::clone(listener.app());
                let shutdown = listener.draining.clone();
                let current = (Arc::clone(&own), listener.host.clock.now());
                let floor = bounds.min_body_rate;
                listener.live.spawn(CURRENT.scope(current, async move {
                    let _busy = busy;
                    let overdue = async {
                        own.upload().overdue(floor, || own.expecting() == Expecting::Body).await;
                        own.mark_slow_body();
                    };
                    tokio::select! {
                        biased;
                        _ = app.process_new_http(ServerSession::new_http2(session), &shutdown) => {}
                        // The exchange is dropped where it stands, and its stream reset.
                        () = overdue => {}
                    }
                }));
            }
            Ok(Some(H2Accept::Rejected)) => {
                // The engine refuses three things here: no authority or two that differ, which it answers with 400, and
                // targets and lengths that the protocol below has refused already.
                // Others may have streams on this connection: it stays, however many there are.
                listener.host.refuse_head(Threat::BadHost, connection.peer);
            }
            Ok(None) | Err(_) => return,
        }
    }

    // Nothing is left to be served: what is written leaves, and the client can take it.
    wire.abrupt_shutdown(Reason::NO_ERROR);
    let _ = tokio::time::timeout(LINGER + FAREWELL, poll_fn(|cx| wire.poll_closed(cx))).await;
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
