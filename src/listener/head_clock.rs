//! The head deadline of HTTP/2, and what is on the wire: a stream wrapper between the decrypted socket and the framing layer.
//!
//! The framing layer waits for ever for the rest of a head that has begun, and nothing else of the connection moves while
//! it does.

use super::frames::FrameScan;
use super::open_streams::OpenStreams;
use super::untold::untold;
use crate::downstream::lingering::{LINGER, Lingering};
use crate::edge::threats::Threat;
use crate::host::Host;
use async_trait::async_trait;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{ALPN, IO, Shutdown, Ssl, UniqueID, UniqueIDType};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream on which no head may take longer than a deadline from its first byte.
pub struct HeadClock<S> {
    io: S,
    scan: FrameScan,
    /// The other way.
    scan_out: FrameScan,
    open: Arc<OpenStreams>,
    patience: Duration,
    /// What the clock runs for, and the clock.
    running: Option<(u64, Pin<Box<Sleep>>)>,
    /// What still comes is thrown away.
    lingering: Option<Lingering>,
    peer: IpAddr,
    host: Arc<Host>,
}

impl<S: IO> HeadClock<S> {
    /// Gives each head of `peer` on `io` so much time.
    pub fn new(io: S, patience: Duration, peer: IpAddr, host: Arc<Host>, open: Arc<OpenStreams>) -> Self {
        let (scan, scan_out) = (FrameScan::default(), FrameScan::of_server());
        Self { io, scan, scan_out, open, patience, running: None, lingering: None, peer, host }
    }

    /// Follows what has left of `bufs`.
    fn follow_out<'b>(&mut self, bufs: impl IntoIterator<Item = &'b [u8]>, written: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(mut left)) = *written else { return };
        self.open.set_unflushed(true);
        for buf in bufs {
            let sent = left.min(buf.len());
            self.scan_out.advance(&buf[..sent], |frame| self.open.sent(frame));
            left -= sent;
        }
    }

    /// Nothing to read: is a head under way, and its time up?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(head) = self.scan.under_way() else {
            self.running = None;
            return Poll::Pending;
        };
        if self.running.as_ref().is_none_or(|(running, _)| *running != head) {
            self.running = Some((head, Box::pin(sleep(self.patience))));
        }
        if let Some((_, clock)) = &mut self.running {
            ready!(clock.as_mut().poll(cx));
        }
        self.host.refuse_head(Threat::SlowHead, self.peer);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a request head took too long")))
    }
}

impl<S: IO> AsyncRead for HeadClock<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let from = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.scan.advance(&buf.filled()[from..], |frame| this.open.received(frame));
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_patience(cx),
        }
    }
}

impl<S: IO> AsyncWrite for HeadClock<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.follow_out([buf], &written);
        written
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.follow_out(bufs.iter().map(|buf| &**buf), &written);
        written
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() {
            self.open.set_unflushed(false);
        }
        flushed
    }
    /// Says that nothing more comes. A client that may still be taking its last reply is then listened to for a while:
    /// when it says something to a closed socket, such as that it has room, the kernel throws the rest of the reply away.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if this.lingering.is_none() {
            if !this.open.has_sent_within(LINGER) {
                return Poll::Ready(Ok(()));
            }
            this.lingering = Some(Lingering::begin());
        }
        if let Some(lingering) = &mut this.lingering {
            ready!(lingering.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl<S: IO> Shutdown for HeadClock<S> {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.io).await;
    }
}

impl<S: IO> fmt::Debug for HeadClock<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadClock")
    }
}

impl<S: IO> UniqueID for HeadClock<S> {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl<S: IO> Ssl for HeadClock<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.selected_alpn_proto()
    }
}

untold!(HeadClock<S>, S: IO);
