//! A client that takes no byte of what is sent.
//!
//! A socket with a large buffer takes nothing for a while from a client that reads slowly all the time. So what counts is
//! what the peer has acknowledged.

use pingora::protocols::SocketDigest;
use std::future::Future;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Looks in the time that a client has.
const LOOKS: u32 = 4;

/// Runs while a write waits.
pub struct Untaken {
    sleep: Pin<Box<Sleep>>,
    /// Bytes that had been acknowledged at the last look.
    acknowledged: Option<u64>,
    /// When more had been than at the look before.
    moved: Instant,
}

impl Untaken {
    /// From now on, on the connection `socket`.
    pub fn begin(socket: RawFd, patience: Duration) -> Self {
        let sleep = Box::pin(sleep(patience / LOOKS));
        Self { sleep, acknowledged: acknowledged(socket), moved: Instant::now() }
    }

    /// Ready when not one byte was taken for so long.
    pub fn poll(&mut self, cx: &mut Context<'_>, socket: RawFd, patience: Duration) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let (now, acknowledged) = (Instant::now(), acknowledged(socket));
            if acknowledged != self.acknowledged {
                (self.acknowledged, self.moved) = (acknowledged, now);
            } else if now >= self.moved + patience {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(now + patience / LOOKS);
        }
    }
}

/// Bytes that the peer has acknowledged since the connection was made; `None` where nobody counts them.
fn acknowledged(socket: RawFd) -> Option<u64> {
    SocketDigest::from_raw_fd(socket).tcp_info().map(|info| info.tcpi_bytes_acked)
}
