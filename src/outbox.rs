//! A small write buffer, so that a head and the body behind it, or a chunk and its end, leave in one system call.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Bytes gathered before they are written; a head and a small body fit.
const CAPACITY: usize = 16 * 1024;
/// Kept between messages; more is given back, so that an idle connection stays small.
const KEPT: usize = 2 * 1024;

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Of those, how many have left.
    sent: usize,
    /// Bytes that have left since it was made.
    written: u64,
}

impl Outbox {
    /// Where a head is written that leaves with what comes next.
    pub fn head(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Bytes that have left since it was made, those of `buf` included.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes `buf`, or as much of it as was written behind what waits, and behind its last byte `end`. Never waits for more than
    /// it has to.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        buf: &[u8],
        end: &'static [u8],
    ) -> Poll<Result<usize>> {
        if self.bytes.len() + buf.len() + end.len() <= CAPACITY {
            self.bytes.extend_from_slice(buf);
            self.bytes.extend_from_slice(end);
            return Poll::Ready(Ok(buf.len()));
        }
        loop {
            let waiting = self.waiting();
            let parts = [IoSlice::new(&self.bytes[self.sent..]), IoSlice::new(buf), IoSlice::new(end)];
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &parts))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }

            self.written += written as u64;
            self.sent += written.min(waiting);
            if !self.is_empty() {
                continue;
            }
            self.clear();
            let taken = (written - waiting.min(written)).min(buf.len());
            if taken == buf.len() {
                self.bytes.extend_from_slice(&end[written - waiting - taken..]);
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Writes all that waits.
    pub fn poll_drain<S: AsyncWrite + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.bytes.len() {
            match ready!(Pin::new(&mut *io).poll_write(cx, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                n => {
                    self.sent += n;
                    self.written += n as u64;
                }
            }
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    fn clear(&mut self) {
        self.sent = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    /// Takes at most seven bytes a call, as a congested socket would.
    struct Trickle(Vec<u8>);
    impl AsyncWrite for Trickle {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            let n = buf.len().min(7);
            self.0.extend_from_slice(&buf[..n]);
            Poll::Ready(Ok(n))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_however_little_the_socket_takes() {
        let mut io = Trickle(Vec::new());
        let mut out = Outbox::default();
        let mut expected = Vec::new();
        for size in [10, 20_000, 3, 16_384, 1] {
            let chunk: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut left = &chunk[..];
            while !left.is_empty() {
                let n = poll_fn(|cx| out.poll_write(&mut io, cx, left, b"\r\n")).await.unwrap();
                left = &left[n..];
            }
            expected.extend_from_slice(&chunk);
            expected.extend_from_slice(b"\r\n");
        }
        poll_fn(|cx| out.poll_drain(&mut io, cx)).await.unwrap();
        assert_eq!(io.0, expected);
    }

    #[tokio::test]
    async fn a_head_and_a_small_body_leave_together() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let mut out = Outbox::default();
        for part in ["head", "body"] {
            let n = poll_fn(|cx| out.poll_write(&mut near, cx, part.as_bytes(), b"")).await.unwrap();
            assert_eq!(n, 4);
        }
        poll_fn(|cx| out.poll_drain(&mut near, cx)).await.unwrap();
        let mut seen = [0; 16];
        assert_eq!(far.read(&mut seen).await.unwrap(), 8);
    }
}
