//! A client that writes bytes and reads one HTTP/1 response exactly.

use crate::answer::Answer;
use crate::certs::{Alpn, Certs};
use crate::deadline::within;
use crate::frames::Frame;
use crate::wire::{Body, Framing, Head, Wire};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One connection. Every wait has a deadline.
pub struct Raw {
    wire: Wire,
    local: SocketAddr,
}

impl Raw {
    /// Connects in clear.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = tcp(address).await;
        let local = stream.local_addr().expect("a connected socket has an address");
        Self { wire: Wire::new(stream), local }
    }

    /// Connects in clear, where it may be that nobody listens.
    pub async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = within(&format!("a connection to {address}"), TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { wire: Wire::new(stream), local })
    }

    /// Connects with TLS, trusting `certs`, naming `localhost`.
    pub async fn connect_tls(address: SocketAddr, certs: &Certs, alpn: &[Alpn]) -> Self {
        Self::try_connect_tls(address, certs, alpn).await.expect("a TLS handshake")
    }

    /// [`Raw::connect_tls`] where the handshake may fail.
    pub async fn try_connect_tls(address: SocketAddr, certs: &Certs, alpn: &[Alpn]) -> io::Result<Self> {
        let stream = tcp(address).await;
        let local = stream.local_addr()?;
        Ok(Self { wire: Wire::new(over_tls(stream, certs, alpn).await?), local })
    }

    /// This end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Writes; panics when the other side is gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.expect("the other side takes bytes");
    }

    /// Writes where the other side may be gone.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the other side to take bytes", self.wire.write(bytes.as_ref())).await
    }

    /// Ends the sending direction and keeps reading.
    pub async fn finish_writing(&mut self) {
        within("an end of writing", self.wire.finish_writing()).await.expect("an open connection");
    }

    /// The response to a request that was not HEAD; panics when none comes.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// The response to a request with `method`; panics when none comes.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method).await.expect("a response")
    }

    /// The response to a request with `method`; an error when the connection ends before or inside its head.
    pub async fn try_answer_to(&mut self, method: &str) -> io::Result<Answer> {
        within("a response", async {
            let (mut answer, framing) = self.read_head(method).await?;
            self.finish_body(&mut answer, framing).await;
            Ok(answer)
        })
        .await
    }

    /// The head alone, for bodies that are read in pieces or never end; the rest comes from [`Raw::some`].
    pub async fn head_of_answer(&mut self) -> Answer {
        within("the head of a response", self.read_head("GET")).await.expect("a response head").0
    }

    /// Whatever bytes come next; empty at the end of the connection, orderly or not.
    pub async fn some(&mut self) -> Bytes {
        let buffered = self.wire.take_buffered();
        if !buffered.is_empty() {
            return buffered;
        }
        match within("bytes", self.wire.fill()).await {
            Ok(1..) => self.wire.take_buffered(),
            Ok(0) | Err(_) => Bytes::new(),
        }
    }

    /// Reads until `text` has come; panics when the connection ends first.
    pub async fn until(&mut self, text: &str) -> Bytes {
        let mut read = Vec::new();
        let found = |read: &[u8]| read.windows(text.len()).any(|window| window == text.as_bytes());
        while !found(&read) {
            let more = self.some().await;
            assert!(!more.is_empty(), "the connection ended before {text:?}: {:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&more);
        }
        read.into()
    }

    /// The next HTTP/2 frame; `None` when the connection ended before it was whole.
    pub async fn frame(&mut self) -> Option<Frame> {
        within("an HTTP/2 frame", async {
            let header = self.wire.exactly(9).await?;
            let (length, frame) = Frame::announced(header[..].try_into().expect("nine bytes"));
            Some(Frame { payload: self.wire.exactly(length).await?, ..frame })
        })
        .await
    }

    /// Waits for the other side to end the connection and returns what came before.
    pub async fn closed(&mut self) -> Bytes {
        let mut rest = Body::default();
        let read = async { rest = self.wire.body(Framing::UntilClose, &mut |_| {}).await };
        within("the other side to close the connection", read).await;
        rest.data.into()
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.wire.reset();
    }

    async fn read_head(&mut self, method: &str) -> io::Result<(Answer, Framing)> {
        let mut answer = Answer::default();
        loop {
            let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "closed before a response");
            let head = self.wire.head().await?.ok_or_else(ended)?;
            let status = status(&head)?;
            if (100..200).contains(&status) && status != 101 {
                answer.interim.push((status, head.fields));
                continue;
            }
            answer.status = status;
            answer.version = head.start.split(' ').next().unwrap_or_default().to_owned();
            let framing = Framing::of_response(method, status, &head.fields);
            (answer.fields, answer.raw_head) = (head.fields, head.raw);
            return Ok((answer, framing));
        }
    }

    async fn finish_body(&mut self, answer: &mut Answer, framing: Framing) {
        let body = self.wire.body(framing, &mut |_| {}).await;
        (answer.body, answer.trailers, answer.body_end) = (body.data.into(), body.trailers, body.end);
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({})", self.local)
    }
}

fn status(head: &Head) -> io::Result<u16> {
    let code = head.start.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no status line: {:?}", head.start)))
}

pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = within(&format!("a connection to {address}"), TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    stream.set_nodelay(true).expect("a connected socket");
    stream
}

/// Speaks TLS on a connected stream, trusting `certs`, naming `localhost`.
///
/// # Errors
///
/// Those of the handshake.
pub async fn over_tls(
    stream: TcpStream,
    certs: &Certs,
    alpn: &[Alpn],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a valid name");
    within("a TLS handshake", TlsConnector::from(certs.client_config(alpn)).connect(name, stream)).await
}
