//! HTTP/2 on one connection: streams side by side, each its own exchange.

use super::connection::Connection;
use super::{CURRENT, Listener};
use crate::edge::threats::Threat;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, Stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
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
/// Malformed requests after which the connection ends.
const MAX_MALFORMED: usize = 32;

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
/// with the head deadline, which the TLS handshake has begun.
pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    listener: &Listener<A>,
    stream: Stream,
    connection: Arc<Connection>,
    preface_due: Instant,
    idle_timeout: Duration,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: None,
    });
    let max_header_bytes = listener.host.pipeline().settings.server.max_header_bytes;
    let handshake = server::handshake(stream, Some(options(max_header_bytes)));
    let Ok(Ok(mut wire)) = tokio::time::timeout_at(preface_due, handshake).await else { return };
    let active = Arc::new(AtomicUsize::new(0));
    let mut draining = listener.draining.clone();
    let mut leaving = false;
    let mut malformed = 0;
    let mut idle_since = Instant::now();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining), if !leaving => {
                wire.graceful_shutdown();
                leaving = true;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut wire, Arc::clone(&digest)) => accepted,
            () = tokio::time::sleep_until(idle_since + idle_timeout) => {
                if active.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle_since = Instant::now();
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                idle_since = Instant::now();
                let busy = Busy::new(&active);
                let app = Arc::clone(&listener.app);
                let shutdown = listener.draining.clone();
                let current = (Arc::clone(&connection), listener.host.clock.now());
                listener.live.spawn(CURRENT.scope(current, async move {
                    let _busy = busy;
                    app.process_new_http(ServerSession::new_http2(session), &shutdown).await;
                }));
            }
            Ok(Some(H2Accept::Rejected)) => {
                listener.host.refuse_head(Threat::Framing);
                malformed += 1;
                if malformed >= MAX_MALFORMED {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Counts a stream as long as it is served.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(active: &Arc<AtomicUsize>) -> Self {
        active.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(active))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
