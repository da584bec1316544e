//! HTTP/1 as bytes on a stream: heads and bodies read exactly, nothing read past them.
//!
//! Both ends of the tests read with this one: the origin its requests, the client its answers. It is lenient on
//! purpose, since what it reads is under test; it only must never read one message as two.

use crate::fields::Fields;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// More than this is never buffered for one head, chunk or watched wait.
const BUFFER_LIMIT: usize = 64 << 20;

/// A connected byte stream of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// Makes the coming close a reset, where the kind of stream has one.
    fn reset_on_close(&self) {}
}

impl Io for TcpStream {
    fn reset_on_close(&self) {
        // A stream that is already broken needs no reset.
        let _ = self.set_zero_linger();
    }
}

impl Io for UnixStream {}

impl Io for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

impl Io for tokio_rustls::client::TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BodyEnd {
    /// At its announced end, or with the connection when nothing was announced.
    Complete,
    /// The connection ended first.
    CutOff,
    /// Its chunks made no sense.
    Malformed,
    /// Nobody has read it to its end yet.
    #[default]
    Unread,
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// Of a request.
    pub(crate) fn of_request(fields: &Fields) -> Self {
        Self::announced(fields).unwrap_or(Self::Empty)
    }

    /// Of a response with `status` to a request with `method`.
    pub(crate) fn of_response(method: &str, status: u16, fields: &Fields) -> Self {
        match status {
            _ if method == "HEAD" => Self::Empty,
            100..=199 | 204 | 304 => Self::Empty,
            _ => Self::announced(fields).unwrap_or(Self::UntilClose),
        }
    }

    fn announced(fields: &Fields) -> Option<Self> {
        if fields.lists("transfer-encoding", "chunked") {
            return Some(Self::Chunked);
        }
        fields.get("content-length")?.parse().ok().map(Self::Length)
    }
}

/// A head as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Every byte, the blank line included.
    pub(crate) raw: Bytes,
    /// The start line without its line end.
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Head {
    fn parse(raw: Bytes) -> Self {
        let text = String::from_utf8_lossy(&raw);
        let (start, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
        let (start, fields) = (start.to_owned(), Fields::parse(rest));
        Self { raw, start, fields }
    }
}

/// A body, de-chunked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) end: BodyEnd,
}

/// A stream and what was read from it too far.
pub(crate) struct Wire {
    stream: Box<dyn Io>,
    buffer: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: impl Io + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new() }
    }

    /// Reads once into the buffer; 0 at the end of the stream. May be cancelled.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.len() >= BUFFER_LIMIT {
            return Err(io::Error::other("more bytes than the testkit holds"));
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Takes what is in the buffer.
    pub(crate) fn take_buffered(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// The next `bytes` bytes; `None` when the stream ends before that.
    pub(crate) async fn exactly(&mut self, bytes: usize) -> Option<Bytes> {
        while self.buffer.len() < bytes {
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
        Some(self.buffer.split_to(bytes).freeze())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends the sending direction.
    pub(crate) async fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub(crate) fn reset(self) {
        self.stream.reset_on_close();
    }

    /// The next head; `None` when the stream ended before its first byte, an error when it ended inside.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.buffer[searched..], b"\r\n\r\n") {
                return Ok(Some(Head::parse(self.buffer.split_to(searched + at + 4).freeze())));
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.fill().await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    read => {
                        Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed {read} bytes into a head")))
                    }
                };
            }
        }
    }

    /// The body that follows a head; `progress` hears of each piece's length as it comes.
    pub(crate) async fn body(&mut self, framing: Framing, progress: &mut (dyn FnMut(usize) + Send)) -> Body {
        let mut body = Body::default();
        body.end = match framing {
            Framing::Empty => BodyEnd::Complete,
            Framing::Length(length) => self.take(length, &mut body.data, progress).await,
            Framing::Chunked => self.chunks(&mut body, progress).await,
            Framing::UntilClose => self.rest(&mut body.data, progress).await,
        };
        body
    }

    async fn rest(&mut self, into: &mut Vec<u8>, progress: &mut (dyn FnMut(usize) + Send)) -> BodyEnd {
        loop {
            into.extend_from_slice(&self.buffer);
            progress(self.buffer.len());
            self.buffer.clear();
            match self.fill().await {
                Ok(0) => return BodyEnd::Complete,
                Ok(_) => {}
                // A reset is no end.
                Err(_) => return BodyEnd::CutOff,
            }
        }
    }

    async fn take(&mut self, mut left: u64, into: &mut Vec<u8>, progress: &mut (dyn FnMut(usize) + Send)) -> BodyEnd {
        while left > 0 {
            if self.buffer.is_empty() && !matches!(self.fill().await, Ok(1..)) {
                return BodyEnd::CutOff;
            }
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            into.extend_from_slice(&self.buffer[..piece]);
            self.buffer.advance(piece);
            left -= piece as u64;
            progress(piece);
        }
        BodyEnd::Complete
    }

    async fn chunks(&mut self, body: &mut Body, progress: &mut (dyn FnMut(usize) + Send)) -> BodyEnd {
        loop {
            let Some(line) = self.line().await else { return BodyEnd::CutOff };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = u64::from_str_radix(digits, 16) else { return BodyEnd::Malformed };
            if size == 0 {
                return self.trailers(&mut body.trailers).await;
            }
            if self.take(size, &mut body.data, progress).await != BodyEnd::Complete {
                return BodyEnd::CutOff;
            }
            match self.line().await.as_deref() {
                Some("") => {}
                Some(_) => return BodyEnd::Malformed,
                None => return BodyEnd::CutOff,
            }
        }
    }

    async fn trailers(&mut self, trailers: &mut Fields) -> BodyEnd {
        let mut lines = String::new();
        loop {
            match self.line().await.as_deref() {
                None => return BodyEnd::CutOff,
                Some("") => break,
                Some(line) => {
                    lines.push_str(line);
                    lines.push_str("\r\n");
                }
            }
        }
        *trailers = Fields::parse(&lines);
        BodyEnd::Complete
    }

    /// A line without its CRLF; `None` when the stream ends first.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
    }
}

/// Two ends in one process, for tests of this file.
#[cfg(test)]
impl Io for tokio::io::DuplexStream {}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads one head and its body from `bytes`, which come in pieces of `piece` bytes.
    fn read(bytes: &[u8], piece: usize) -> (Head, Body, Bytes) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(piece);
            let write = async {
                far.write_all(bytes).await.expect("a reader");
                drop(far);
            };
            let read = async {
                let mut wire = Wire::new(near);
                let head = wire.head().await.expect("a whole head").expect("a head");
                let body = wire.body(Framing::of_request(&head.fields), &mut |_| {}).await;
                let mut rest = wire.take_buffered().to_vec();
                while let Ok(1..) = wire.fill().await {
                    rest.extend_from_slice(&wire.take_buffered());
                }
                (head, body, rest.into())
            };
            tokio::join!(write, read).1
        })
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_read_whole_and_nothing_past_it(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            next in prop::collection::vec(any::<u8>(), 0..20),
            piece in 1..50_usize,
        ) {
            let mut bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\na: b\r\n\r\n");
            bytes.extend_from_slice(&next);
            let (head, body, rest) = read(&bytes, piece);
            prop_assert_eq!(head.start.as_str(), "POST / HTTP/1.1");
            prop_assert_eq!(&body.data, &chunks.concat());
            prop_assert_eq!((body.end, body.trailers.get("a")), (BodyEnd::Complete, Some("b")));
            prop_assert_eq!(&rest[..], &next[..]);
        }

        #[test]
        fn a_body_of_known_length_ends_there_or_is_cut_off(
            data in prop::collection::vec(any::<u8>(), 0..60),
            length in 0..60_usize,
            piece in 1..50_usize,
        ) {
            let mut bytes = format!("PUT / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n").into_bytes();
            bytes.extend_from_slice(&data);
            let (_, body, rest) = read(&bytes, piece);
            let end = if data.len() >= length { BodyEnd::Complete } else { BodyEnd::CutOff };
            prop_assert_eq!(body.end, end);
            prop_assert_eq!([&body.data[..], &rest[..]].concat(), data);
        }
    }

    #[test]
    fn chunks_that_make_no_sense_are_told_from_missing_ones() {
        let end = |chunks: &str| {
            let message = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            read(message.as_bytes(), 64).1.end
        };
        assert_eq!(end("x\r\n"), BodyEnd::Malformed);
        assert_eq!(end("1\r\nab\r\n0\r\n\r\n"), BodyEnd::Malformed);
        assert_eq!(end("5\r\nab"), BodyEnd::CutOff);
        assert_eq!(end("1\r\na\r\n"), BodyEnd::CutOff);
    }
}
