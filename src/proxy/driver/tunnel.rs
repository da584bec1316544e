//! WebSocket: the handshake goes up, and after a 101 bytes pass both ways until one side is done.

use super::attempt::ReplyHead;
use super::call::{Call, CallBody, Reply};
use super::keep;
use crate::downstream::Downstream;
use crate::downstream::connection::Expecting;
use crate::exchange::Exchange;
use crate::proxy::{request, response};
use bytes::Bytes;
use http::StatusCode;
use pingora::protocols::{Shutdown, Stream};
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use vestibule_plugin::{Detach, Ended, Hold, Keep};

/// Bytes passed on at once.
const PIECE: usize = 16 * 1024;
/// How long the upstream may go on talking after the client has said its last word.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Nothing of a handshake is held.
const NO_HOLD: Hold = Hold { request_body: None, response: Keep::Nothing, detach: Detach::WithClient };

/// Serves a handshake that the route lets through.
pub async fn run(downstream: &mut Downstream, exchange: &mut Exchange) -> Result<()> {
    if !request::forward(downstream, exchange).await? {
        return Ok(());
    }

    let call = Call::new(Arc::clone(&exchange.head), CallBody::None, NO_HOLD, None, exchange);
    let (connection, interim, mut head): ReplyHead = tokio::select! {
        biased;
        reached = call.connect_websocket(&mut exchange.story) => reached?,
        gone = downstream.leaves() => return Err(gone),
    };

    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        let room = exchange.host.memory.nothing_yet(exchange.reply_holder());
        let (method, connector) = (&exchange.request.method, &exchange.host.connector);
        let body = keep::keep(connection, &mut exchange.story, &head, method, Keep::Nothing, connector, room).await?;
        return super::reply::write(downstream, exchange, Reply { interim, head, body }, None).await;
    }

    exchange.connection.expect(Expecting::Tunnel);
    response::finish_head(head.edited(), exchange)?;
    downstream.write_head(*head).await?;

    let no_stream = || Error::explain(ErrorType::InternalError, "a tunnel needs HTTP/1").into_in();
    let (from_upstream, upstream) = connection.into_stream().ok_or_else(no_stream)?;
    let (from_client, mut client) = downstream.take_stream()?;

    let patience = exchange.pipeline.upstream(exchange.story.facts.route()).settings.read_timeout;
    let life = Life::begins();
    let (from_client, from_upstream) = (Way::new(from_client, &life), Way::new(from_upstream, &life));
    let passed = {
        let _tally = Tally { exchange, from_client: &from_client, from_upstream: &from_upstream };
        pass(&mut client, &from_client, upstream, &from_upstream, life.quiet_for(patience)).await
    };

    exchange.story.end_attempt(exchange.host.clock.now(), None);
    exchange.story.ended = passed.err();
    // Says good-bye, so that what was sent last is not lost to a reset.
    Shutdown::shutdown(client.as_mut()).await;
    Ok(())
}

/// When something last passed, either way.
struct Life {
    began: Instant,
    last_ms: AtomicU64,
}

impl Life {
    fn begins() -> Self {
        Self { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn shows(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// Resolves when nothing has passed for `patience`.
    async fn quiet_for(&self, patience: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let until = self.began + last + patience;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// One of the two ways through a tunnel.
struct Way<'a> {
    first: Bytes,
    passed: AtomicU64,
    life: &'a Life,
}

impl<'a> Way<'a> {
    fn new(first: Bytes, life: &'a Life) -> Self {
        Self { first, passed: AtomicU64::new(0), life }
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Passes bytes on until there are no more; what broke, if anything.
    async fn run(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::result::Result<(), BrokenEnd> {
        let mut piece = self.first.to_vec();
        piece.reserve(PIECE);
        loop {
            if !piece.is_empty() {
                to.write_all(&piece).await.map_err(|_| BrokenEnd::To)?;
                to.flush().await.map_err(|_| BrokenEnd::To)?;
                self.passed.fetch_add(piece.len() as u64, Ordering::Relaxed);
                self.life.shows();
            }
            piece.clear();
            if from.read_buf(&mut piece).await.map_err(|_| BrokenEnd::From)? == 0 {
                // The other end may still have something to say. It may be gone, too.
                let _ = to.shutdown().await;
                return Ok(());
            }
        }
    }
}

/// Tells the exchange what has passed, also when the tunnel is cut off.
struct Tally<'a> {
    exchange: &'a mut Exchange,
    from_client: &'a Way<'a>,
    from_upstream: &'a Way<'a>,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.exchange.request_bytes += self.from_client.passed();
        self.exchange.response_bytes += self.from_upstream.passed();
    }
}

/// Which end of a way failed.
enum BrokenEnd {
    From,
    To,
}

/// Passes bytes both ways, each at its own pace, until the upstream is done, the client has been for [`LAST_WORDS`], or
/// it has been `quiet` for too long; how it ended, when not well.
async fn pass(
    client: &mut Stream,
    from_client: &Way<'_>,
    upstream: Stream,
    from_upstream: &Way<'_>,
    quiet: impl Future<Output = ()>,
) -> std::result::Result<(), Ended> {
    let (mut client_out, mut client_in) = tokio::io::split(client);
    let (mut upstream_out, mut upstream_in) = tokio::io::split(upstream);

    let up = async {
        match from_client.run(&mut client_out, &mut upstream_in).await {
            Ok(()) => {
                tokio::time::sleep(LAST_WORDS).await;
                Ok(())
            }
            Err(BrokenEnd::From) => Err(Ended::ClientGone),
            Err(BrokenEnd::To) => Err(Ended::UpstreamError),
        }
    };

    let down = async {
        match from_upstream.run(&mut upstream_out, &mut client_in).await {
            // A connection that is reset when all has been said is a usual end of a tunnel.
            Ok(()) | Err(BrokenEnd::From) => Ok(()),
            Err(BrokenEnd::To) => Err(Ended::ClientGone),
        }
    };

    tokio::select! {
        ended = up => ended,
        ended = down => ended,
        () = quiet => Err(Ended::Timeout),
    }
}
