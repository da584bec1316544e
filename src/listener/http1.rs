//! HTTP/1 on one connection: exchange after exchange until it ends.

use super::connection::Connection;
use super::{CURRENT, Listener};
use crate::edge::threats::Threat;
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use vestibule_plugin::Monotonic;

/// Requests served on one connection before it is closed.
const MAX_REQUESTS: u32 = 10_000;

/// Serves until either side is done with the connection.
pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    listener: &Listener<A>,
    stream: Stream,
    connection: Arc<Connection>,
) {
    let mut session = ServerSession::new_http1(stream);
    session.set_keepalive(Some(0));
    session.set_keepalive_reuses_remaining(Some(MAX_REQUESTS - 1));

    loop {
        // The guard stamps the time at which the request began when its first byte comes.
        let current = (Arc::clone(&connection), Monotonic(0));
        let served = CURRENT.scope(current, listener.app().process_new_http(session, &listener.draining)).await;
        // The guard lets nothing through that the engine would answer by itself; this is for what nobody thought of.
        if connection.head_was_lost() {
            listener.host.refuse_head(Threat::Framing, connection.peer);
        }

        let Some((mut stream, settings)) = served.map(pingora::apps::ReusedHttpStream::consume) else { return };
        if connection.is_over() {
            // Only the socket is left to wait for: session and exchange, with their buffers, are gone.
            return stream.shutdown().await;
        }
        if *listener.draining.borrow() {
            // Requests that the client has sent ahead are not served, and must not cost it the reply that is on its way.
            return stream.shutdown().await;
        }

        connection.rearm();
        connection.begin_idle(listener.host.clock.now());
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
}
