//! An HTTP/2 client with its streams in hand.

use crate::answer::Answer;
use crate::certs::{Alpn, Certs};
use crate::deadline::within;
use crate::fields::Fields;
use crate::h2_origin::header_map;
use crate::raw::{over_tls, tcp};
use crate::wire::{BodyEnd, Io};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use std::net::SocketAddr;
use tokio::task::JoinHandle;

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct H2Client {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A request to be sent on an [`H2Client`].
#[derive(Clone, Debug)]
pub struct H2Request {
    method: String,
    uri: String,
    fields: Fields,
    body: Option<Bytes>,
    trailers: Fields,
}

impl H2Request {
    /// `method` `path` at `https://localhost`.
    pub fn new(method: &str, path: &str) -> Self {
        let (method, uri) = (method.to_owned(), format!("https://localhost{path}"));
        Self { method, uri, fields: Fields::default(), body: None, trailers: Fields::default() }
    }

    /// With a further field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.add(name, value);
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With a trailer field.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.add(name, value);
        self
    }

    fn head(&self) -> http::Request<()> {
        let request = http::Request::builder().method(self.method.as_str()).uri(self.uri.as_str());
        let mut request = request.body(()).expect("a method and a path");
        *request.headers_mut() = header_map(&self.fields);
        request
    }
}

impl H2Client {
    /// Connects in clear, with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(tcp(address).await)).await
    }

    /// Connects with TLS, trusting `certs`; panics unless `h2` is agreed on.
    pub async fn connect_tls(address: SocketAddr, certs: &Certs) -> Self {
        let stream = over_tls(tcp(address).await, certs, &[Alpn::H2]).await.expect("a TLS handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the protocol agreed on");
        Self::over(Box::new(stream)).await
    }

    async fn over(io: Box<dyn Io>) -> Self {
        let (send, connection) = within("an HTTP/2 handshake", h2::client::handshake(io)).await.expect("HTTP/2");
        Self { send, connection: tokio::spawn(connection) }
    }

    /// GET `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(H2Request::new("GET", path)).await
    }

    /// The response; panics when the stream fails.
    pub async fn send(&self, request: H2Request) -> Answer {
        self.try_send(request).await.expect("a response")
    }

    /// The response, or how the stream failed.
    pub async fn try_send(&self, request: H2Request) -> Result<Answer, h2::Error> {
        self.open(request).await?.answer().await
    }

    /// Sends a request and hands over its stream. With neither body nor trailers the request is at its end.
    pub async fn open(&self, request: H2Request) -> Result<H2Stream, h2::Error> {
        let bare = request.body.is_none() && request.trailers.is_empty();
        let mut stream = self.open_head(&request, bare).await?;
        if let Some(body) = request.body {
            stream.send.send_data(body, request.trailers.is_empty())?;
        }
        if !request.trailers.is_empty() {
            stream.send.send_trailers(header_map(&request.trailers))?;
        }
        Ok(stream)
    }

    /// Sends the head of a request whose body comes through the stream; body and trailers of `request` are ignored.
    pub async fn open_upload(&self, request: H2Request) -> Result<H2Stream, h2::Error> {
        self.open_head(&request, false).await
    }

    async fn open_head(&self, request: &H2Request, at_end: bool) -> Result<H2Stream, h2::Error> {
        let mut ready = within("a free HTTP/2 stream", self.send.clone().ready()).await?;
        let (response, send) = ready.send_request(request.head(), at_end)?;
        Ok(H2Stream { response, send })
    }

    /// Waits for the other side to end the connection and says how it did.
    pub async fn closed(&mut self) -> Result<(), h2::Error> {
        within("the end of an HTTP/2 connection", &mut self.connection).await.expect("a task that does not panic")
    }
}

impl Drop for H2Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// One stream.
#[derive(Debug)]
pub struct H2Stream {
    response: ResponseFuture,
    send: SendStream<Bytes>,
}

impl H2Stream {
    /// Sends a piece of the body.
    pub fn data(&mut self, data: impl Into<Bytes>) -> Result<(), h2::Error> {
        self.send.send_data(data.into(), false)
    }

    /// Ends the request.
    pub fn finish(&mut self) -> Result<(), h2::Error> {
        self.send.send_data(Bytes::new(), true)
    }

    /// Ends the request with a trailer section.
    pub fn finish_with(&mut self, trailers: &[(&str, &str)]) -> Result<(), h2::Error> {
        let trailers: Fields = trailers.iter().copied().collect();
        self.send.send_trailers(header_map(&trailers))
    }

    /// The next interim head, before the final one: its status and fields.
    pub async fn interim(&mut self) -> Option<(u16, Fields)> {
        let next = std::future::poll_fn(|cx| self.response.poll_informational(cx));
        let head = within("an interim head", next).await?.ok()?;
        Some((head.status().as_u16(), Fields::from(head.headers())))
    }

    /// Resets the stream.
    pub fn reset(mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// The response, read to its end; an error when the stream fails before its head. A body that fails is
    /// [`BodyEnd::CutOff`].
    pub async fn answer(self) -> Result<Answer, h2::Error> {
        within("an HTTP/2 response", read(self.response)).await
    }
}

async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        version: "HTTP/2.0".to_owned(),
        fields: Fields::from(&head.headers),
        body_end: BodyEnd::Complete,
        ..Answer::default()
    };
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            answer.body_end = BodyEnd::CutOff;
            break;
        };
        // A stream that ended meanwhile has no window to give back.
        let _ = body.flow_control().release_capacity(piece.len());
        data.extend_from_slice(&piece);
    }
    answer.body = data.into();
    if answer.body_end == BodyEnd::Complete {
        match body.trailers().await {
            Ok(trailers) => answer.trailers = trailers.as_ref().map(Fields::from).unwrap_or_default(),
            Err(_) => answer.body_end = BodyEnd::CutOff,
        }
    }
    Ok(answer)
}
