//! Reading on behind the last answer: closing with unread bytes makes the kernel send a reset, which can overtake the answer.

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client that has its answer may go on sending before its socket is closed under it.
pub const LINGER: Duration = Duration::from_secs(5);
/// Most bytes read and thrown away: what a client may have on its way before it reads the answer.
const MOST: usize = 64 * 1024 * 1024;
/// Bytes thrown away at once.
const SCRATCH: usize = 16 * 1024;

/// A client that is listened to for a while, and not heard.
pub struct Lingering {
    bytes_left: usize,
    over: Pin<Box<Sleep>>,
}

impl Lingering {
    /// From now on for [`LINGER`].
    pub fn begin() -> Self {
        Self { bytes_left: MOST, over: Box::pin(sleep(LINGER)) }
    }

    /// Throws away what comes on `io`. Ready at its end, or when enough has come or time has passed.
    pub fn poll(&mut self, io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // On the stack: many may linger, most of them silent.
            let mut scratch = [MaybeUninit::uninit(); SCRATCH];
            let mut thrown = ReadBuf::uninit(&mut scratch);

            match Pin::new(&mut *io).poll_read(cx, &mut thrown) {
                Poll::Ready(Ok(())) if !thrown.filled().is_empty() && self.bytes_left > thrown.filled().len() => {
                    self.bytes_left -= thrown.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.over.as_mut().poll(cx));
                    return Poll::Ready(());
                }
            }
        }
    }
}
