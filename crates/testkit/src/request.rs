//! Ordinary requests, written in a line.

use crate::answer::Answer;
use crate::raw::Raw;
use bytes::{Bytes, BytesMut};
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;

/// A request to be sent on a fresh connection (awaiting it), or on a kept one ([`Request::on`]).
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Whole(Bytes),
    Chunked(Vec<Bytes>),
}

impl Request {
    /// `method` `target` at `address`, with `host: localhost` unless another is given.
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self { address, method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: Body::None }
    }

    /// With a further field, written as it is.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// With a body and its content-length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// With a JSON body.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// With a chunked body.
    pub fn chunked<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.body = Body::Chunked(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Sends it on a fresh connection that is closed afterwards; panics when no response comes.
    pub async fn send(self) -> Answer {
        let mut raw = Raw::connect(self.address).await;
        self.on(&mut raw).await
    }

    /// Sends it on a fresh connection; an error when that ends before or inside the response's head.
    pub async fn try_send(self) -> std::io::Result<Answer> {
        let mut raw = Raw::connect(self.address).await;
        raw.try_write(self.encoded()).await?;
        raw.try_answer_to(&self.method).await
    }

    /// As [`Request::try_send`], where it may also be that nobody listens.
    pub async fn try_connect_and_send(self) -> std::io::Result<Answer> {
        let mut raw = Raw::try_connect(self.address).await?;
        raw.try_write(self.encoded()).await?;
        raw.try_answer_to(&self.method).await
    }

    /// Sends it on `raw`, which stays open; panics when no response comes.
    pub async fn on(self, raw: &mut Raw) -> Answer {
        // An answer may come, and the connection end, before the whole body was taken.
        let written = raw.try_write(self.encoded()).await;
        let answer = raw.try_answer_to(&self.method).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error} (written: {written:?})", self.method, self.target))
    }

    /// Its bytes, for clients that send them in pieces or many at once.
    pub fn encoded(&self) -> Bytes {
        let mut out = BytesMut::from(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_str());
        let mut field = |name: &str, value: &str| out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            field("host", "localhost");
        }
        for (name, value) in &self.fields {
            field(name, value);
        }
        match &self.body {
            Body::None => {}
            Body::Whole(body) => field("content-length", &body.len().to_string()),
            Body::Chunked(_) => field("transfer-encoding", "chunked"),
        }
        out.extend_from_slice(b"\r\n");
        match &self.body {
            Body::None => {}
            Body::Whole(body) => out.extend_from_slice(body),
            Body::Chunked(chunks) => {
                for chunk in chunks {
                    out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        out.freeze()
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_with_host_and_framing() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let text = |request: Request| String::from_utf8(request.encoded().to_vec()).expect("text");
        assert_eq!(text(Request::new(address, "GET", "/a")), "GET /a HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(
            text(Request::new(address, "POST", "/").header("Host", "x").body("hi")),
            "POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\n\r\nhi"
        );
        assert_eq!(
            text(Request::new(address, "POST", "/").header("Host", "x").chunked(["ab", "c"])),
            "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        );
    }
}
