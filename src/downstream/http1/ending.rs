//! Between requests, and the end.

use super::Http1;
use crate::downstream::Served;
use crate::downstream::lingering::{LINGER, Lingering};
use crate::downstream::writer::Next;
use crate::outbox::Outbox;
use bytes::{Bytes, BytesMut};
use pingora::protocols::Stream;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout};

/// Longest time in which what is left of a body is read that nobody wanted.
const DISCARD_TIME: Duration = Duration::from_secs(5);

impl Http1 {
    /// Whether another request may follow the one that was served; the connection is ready for it then. Else it is ended,
    /// unless the client must not take it for whole.
    pub async fn go_on(&mut self, served: Served) -> bool {
        // An orderly end would say that the body is whole.
        if self.connection.has_open_body() || self.io.is_none() {
            return false;
        }
        if served == Served::Failed {
            if self.written.is_some() {
                Box::pin(self.close()).await;
            }
            return false;
        }
        if self.finish().await.is_err() {
            return false;
        }
        if self.next == Next::Closes {
            Box::pin(self.close()).await;
            return false;
        }
        if !self.body.is_finished() && !self.discard().await {
            return false;
        }

        self.connection.rearm();
        self.connection.begin_idle(self.host.clock.now());
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.deadline.set(Instant::now() + self.bounds.idle_timeout);
        true
    }

    /// Reads the rest of a body that nobody wanted; whether it ended.
    async fn discard(&mut self) -> bool {
        let rest = async {
            while let Ok(Some(_)) = self.read_body().await {}
            self.body.is_finished()
        };
        timeout(DISCARD_TIME, rest).await.unwrap_or(false)
    }

    /// Sends what waits and says that nothing more comes; then reads on for a while if the client still owes bytes.
    pub async fn close(&mut self) {
        let may_be_sending = poll_fn(|cx| self.poll_farewell(cx)).await;
        // Many may linger: session and exchange, with their buffers, are gone.
        (self.input, self.out) = (BytesMut::new(), Outbox::default());
        if let (Ok(true), Some(io)) = (may_be_sending, &mut self.io) {
            let mut lingering = Lingering::begin();
            poll_fn(|cx| lingering.poll(io, cx)).await;
        }
    }

    /// A client that takes none of what waits gets [`LINGER`]. Whether it may still be sending: closing then could reset the
    /// connection under its answer.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let said = match self.poll_out(cx) {
            Poll::Ready(Ok(())) => match &mut self.io {
                Some(io) => Pin::new(io).poll_shutdown(cx),
                None => Poll::Ready(Ok(())),
            },
            other => other,
        };
        ready!(self.timed(cx, said, LINGER))?;

        if !self.body.is_finished() || !self.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let more = self.poll_scratch(cx);
        Poll::Ready(Ok(matches!(more, Poll::Ready(Ok(1..)))))
    }

    /// Takes the connection, with what has been read of it behind the head.
    pub fn take_stream(&mut self) -> Option<(Bytes, Stream)> {
        Some((self.input.split().freeze(), self.io.take()?))
    }
}
