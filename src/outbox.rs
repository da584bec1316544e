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
            if written < waiting {
                self.sent += written;
                continue;
            }
            self.clear();
            let taken = (written - waiting).min(buf.len());
            if taken == buf.len() {
                self.bytes.extend_from_slice(&end[written - waiting - taken..]);
                return Poll::Ready(Ok(taken));
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

    /// Takes at most so many bytes a call, across parts, as a congested socket would.
    struct Trickle {
        taken: Vec<u8>,
        most: usize,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let n = all.len().min(self.most);
            self.taken.extend_from_slice(&all[..n]);
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
        for most in [1, 7, 3_000, 20_001, 20_002, 1 << 20] {
            let mut io = Trickle { taken: Vec::new(), most };
            let (mut out, mut expected) = (Outbox::default(), Vec::new());
            for size in [10, 20_000, 3, 16_384, 1, 0] {
                let chunk: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
                let mut left = &chunk[..];
                loop {
                    let n = poll_fn(|cx| out.poll_write(&mut io, cx, left, b"\r\n")).await.unwrap();
                    left = &left[n..];
                    if left.is_empty() {
                        break;
                    }
                }
                expected.extend_from_slice(&chunk);
                expected.extend_from_slice(b"\r\n");
            }
            poll_fn(|cx| out.poll_drain(&mut io, cx)).await.unwrap();
            assert!(io.taken == expected, "{most} a call");
            assert_eq!(out.written(), expected.len() as u64);
        }
    }

    #[tokio::test]
    async fn behind_more_than_fits_an_empty_piece_ends_once() {
        let mut io = Trickle { taken: Vec::new(), most: 3_000 };
        let mut out = Outbox::default();
        out.head().resize(CAPACITY, b'x');
        assert_eq!(poll_fn(|cx| out.poll_write(&mut io, cx, b"", b"\r\n")).await.unwrap(), 0);
        poll_fn(|cx| out.poll_drain(&mut io, cx)).await.unwrap();
        assert_eq!((io.taken.len(), io.taken.ends_with(b"x\r\n")), (CAPACITY + 2, true));
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
