//! An accepted TCP connection in the shape the proxy engine asks for.
//!
//! The engine's own wrapper is buffered only when its own listener makes it, and asks the kernel for addresses and
//! times that nobody here reads. [`Http1`](crate::downstream::http1::Http1) buffers instead.

use super::untold::untold;
use crate::downstream::connection::Connection;
use async_trait::async_trait;
use pingora::protocols::{Shutdown, Ssl, UniqueID, UniqueIDType};
use socket2::SockRef;
use std::io::{ErrorKind, IoSlice, Result};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream, unbuffered but for the bytes by which its protocol was recognised.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Read already, and due to the next who reads.
    peeked: Vec<u8>,
    connection: Arc<Connection>,
}

impl Socket {
    /// The stream of `connection`, from which nothing was read.
    pub fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, peeked: Vec::new(), connection }
    }

    /// Reads what is here, at most `most` bytes, for the next who reads to find again: everything read so since the
    /// stream was made. It grows by nothing at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    pub async fn peek_on(&mut self, most: usize) -> Result<&[u8]> {
        loop {
            // A client that sends nothing costs no buffer.
            self.stream.readable().await?;
            self.peeked.reserve(most);
            match self.stream.try_read_buf(&mut self.peeked) {
                Ok(_) => return Ok(&self.peeked),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.has_open_body() {
            // Without linger the kernel closes with a reset. Where it refuses there is nothing else to say it with.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.peeked.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }

        let size = buf.remaining().min(self.peeked.len());
        buf.put_slice(&self.peeked[..size]);
        self.peeked.drain(..size);
        if self.peeked.is_empty() {
            self.peeked = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody to tell.
        let _ = AsyncWriteExt::shutdown(&mut self.stream).await;
    }
}

impl UniqueID for Socket {
    fn id(&self) -> UniqueIDType {
        self.stream.as_raw_fd()
    }
}

impl Ssl for Socket {}
untold!(Socket);
