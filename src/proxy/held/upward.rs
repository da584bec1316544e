//! One request on one upstream connection, HTTP/1.1 or HTTP/2, in the words the held lane uses.

use super::call::{Call, Early, Head};
use crate::connections::Connections;
use crate::exchange::Story;
use crate::proxy::response::MAX_INTERIM;
use crate::proxy::wire::{self, ResponseFields};
use bytes::Bytes;
use futures::FutureExt;
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use std::sync::Arc;
use std::time::Duration;

/// Fields that the edge and the plugins usually add to a head. There is room for more; it is made again then.
const ROOM: usize = 10;

/// Whether the request asked the upstream to switch protocols.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It did: a WebSocket handshake.
    Asked,
    /// It did not.
    NotAsked,
}

/// How long an answer may take that came before its request was sent: it is there, or there is none.
const EARLY_ANSWER: Duration = Duration::from_secs(1);

/// A connection with one exchange on it.
pub struct Upward {
    /// Boxed: it is moved from hand to hand on its way, and is large.
    session: Box<HttpSession>,
    peer: Arc<HttpPeer>,
    /// A part of the request was not sent, so the connection serves no other.
    is_spent: bool,
}

impl Upward {
    /// Takes a connection from the pool or makes one; whether it was used before.
    pub async fn connect(connector: &Connections, peer: Arc<HttpPeer>) -> Result<(Self, bool)> {
        let (mut session, reused) = connector.connect(&peer).await.map_err(pingora::Error::into_up)?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        Ok((Self { session: Box::new(session), peer, is_spent: false }, reused))
    }

    /// The head this attempt sends.
    pub fn address(&self, call: &Call, story: &mut Story) -> Result<Box<RequestHeader>> {
        let mut parts = call.head.clone();
        parts.headers.reserve(ROOM);
        // A body that was empty is still one (RFC 9110 section 8.6).
        let framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let has_body = !call.body.is_empty() || framed.iter().any(|name| parts.headers.contains_key(name));
        wire::strip_request_hops(&mut parts.headers);
        // The body is here, so there is nothing to wait for (RFC 9110 section 10.1.1).
        parts.headers.remove(header::EXPECT);
        if call.request.upgrade {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        wire::announce(&mut parts.headers, &call.request, call.pipeline.via.as_ref());
        for attached in &mut story.hooks {
            attached.enter().on_upstream_request(&mut parts.headers, &story.facts);
            attached.leave();
        }
        if has_body {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(call.body.len()));
        }
        // Only HTTP/1.0 may come without one.
        let own = || HeaderValue::try_from(call.pipeline.upstream(story.facts.route()).authority()).ok();
        let authority = call.request.authority.clone().or_else(own);
        if let HttpSession::H2(_) = *self.session {
            let mut head = RequestHeader::from(parts);
            as_http2(&mut head, authority.as_ref(), self.peer.is_tls())?;
            return Ok(Box::new(head));
        }
        if let Some(authority) = authority {
            parts.headers.insert(header::HOST, authority);
        }
        let mut head = RequestHeader::from(parts);
        head.set_version(Version::HTTP_11);
        if head.raw_path() != call.request.target.as_bytes() {
            head.set_raw_path(call.request.target.as_bytes())?;
        }
        Ok(Box::new(head))
    }

    /// Sends the request.
    pub async fn send(&mut self, head: Box<RequestHeader>, body: Bytes) -> Result<()> {
        if let HttpSession::H2(h2) = &mut *self.session {
            let ends = body.is_empty();
            h2.write_request_header(head, ends).map_err(pingora::Error::into_up)?;
            if !ends {
                h2.write_request_body(body, true).await.map_err(pingora::Error::into_up)?;
            }
            return Ok(());
        }
        self.session.write_request_header(head).await.map_err(pingora::Error::into_up)?;
        if !body.is_empty() {
            self.session.write_request_body(body, true).await.map_err(pingora::Error::into_up)?;
        }
        self.session.finish_request_body().await.map_err(pingora::Error::into_up)
    }

    /// The head of an answer that came before the request was sent to its end: the application has decided, and wants no
    /// more of it (RFC 9112 section 9.5, RFC 9113 section 8.1). An error when there is none.
    pub async fn read_early_head(
        &mut self,
        switch: Switch,
        story: &mut Story,
        early: Option<&Early>,
    ) -> Result<(Vec<ResponseHeader>, Head)> {
        self.is_spent = true;
        self.session.set_read_timeout(Some(EARLY_ANSWER));
        let answered = self.read_head(switch, story, early).await;
        self.session.set_read_timeout(self.peer.options.read_timeout);
        answered
    }

    /// Reads the final head, and the interim ones before it, which go to `early` where somebody waits for them. A 101 is final when it was asked for, else an error.
    pub async fn read_head(
        &mut self,
        switch: Switch,
        story: &mut Story,
        early: Option<&Early>,
    ) -> Result<(Vec<ResponseHeader>, Head)> {
        let (mut interim, mut heard) = (Vec::new(), 0);
        loop {
            self.session.read_response_header().await.map_err(pingora::Error::into_up)?;
            let head = self
                .session
                .response_header()
                .ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no response head").into_up())?;
            let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
            if !head.status.is_informational() || (switched && switch == Switch::Asked) {
                let mut head = Box::new(head.as_owned_parts());
                head.headers.reserve(ROOM);
                if let HttpSession::H1(h1) = &mut *self.session {
                    // Sets up body framing, which reuse depends on.
                    h1.is_body_done();
                    h1.respect_keepalive();
                }
                return Ok((interim, head));
            }
            story.attempt_heard();
            if switched || heard >= MAX_INTERIM {
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, "unexpected interim response").into_up());
            }
            if head.status != StatusCode::CONTINUE {
                let mut head = head.clone();
                let status = head.status;
                wire::strip_response_hops(status, ResponseFields::of(&mut head).headers());
                match early {
                    Some(early) => early.put(head),
                    None => interim.push(head),
                }
            }
            heard += 1;
        }
    }

    /// The next piece of the body; `None` at its end.
    pub async fn read_body(&mut self) -> Result<Option<Bytes>> {
        if self.session.response_done() {
            return Ok(None);
        }
        self.session.read_response_body().await.map_err(pingora::Error::into_up)
    }

    /// Reads to the end of a response without a body.
    pub async fn finish(&mut self) -> Result<()> {
        while self.read_body().await?.is_some() {}
        Ok(())
    }

    /// Trailers behind the body; an HTTP/1 upstream's are dropped by the engine.
    pub async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        match &mut *self.session {
            HttpSession::H2(h2) => h2.read_trailers().await.map_err(pingora::Error::into_up),
            _ => Ok(None),
        }
    }

    /// After a 101: the bare connection, and what has been read of it behind the head.
    pub fn into_stream(mut self) -> Result<(Bytes, Stream)> {
        self.session.set_read_timeout(None);
        let begun = tokio::task::unconstrained(self.session.read_response_body()).now_or_never();
        let first = begun.transpose().map_err(pingora::Error::into_up)?.flatten().unwrap_or_default();
        match *self.session {
            HttpSession::H1(h1) => Ok((first, h1.into_inner())),
            _ => Err(Error::explain(ErrorType::InternalError, "a tunnel needs HTTP/1").into_in()),
        }
    }

    /// Gives the connection back to the pool, if it can be used again.
    pub async fn release(self, connector: &Connections) {
        if !self.is_spent {
            connector.release(*self.session, &self.peer).await;
        }
    }
}

/// Host becomes `:authority`, and the target an absolute URI (RFC 9113 section 8.3.1).
fn as_http2(head: &mut RequestHeader, authority: Option<&HeaderValue>, tls: bool) -> Result<()> {
    head.set_version(Version::HTTP_2);
    head.remove_header(&header::HOST);
    let authority = authority.and_then(|a| a.to_str().ok()).unwrap_or("");
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(authority)
        .path_and_query(target)
        .build()
        .or_err(ErrorType::InvalidHTTPHeader, "making the target of an HTTP/2 request")?;
    head.set_uri(uri);
    Ok(())
}
