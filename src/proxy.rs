//! The proxy engine's callbacks: each a few lines that call the room where the thing is done.
//!
//! ```text
//! early_request_filter  read the head, edge rules, client address, route, attach      request.rs
//! request_filter        hooks inward; answers here; the held lane runs here           request.rs, held.rs
//! proxy_upstream_filter the last word before the first attempt                        request.rs
//! upstream_*            peer, head upward, interim responses                          request.rs, response.rs
//! response_filter       hooks outward                                                 response.rs
//! fail_*, error_*       what may be resent, what the client is told                   failure.rs
//! logging               the end, once                                                 exchange.rs
//! ```

mod explain;
pub mod failure;
mod held;
mod judge;
mod provenance;
pub mod refused_head;
mod request;
mod response;
pub mod wire;

pub use explain::explain;
pub use failure::{MAX_ATTEMPTS, cause_of};
pub use judge::Refusal;

use crate::exchange::Exchange;
use crate::host::Host;
use crate::listener::CURRENT;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The proxy, as the engine sees it.
pub struct Proxy {
    /// The process.
    pub host: Arc<Host>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed: the engine moves it about.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        let (connection, began) = CURRENT.get();
        connection.take_head();
        let began = if began.0 == 0 { connection.head_began() } else { began };
        Box::new(Exchange::new(Arc::clone(&self.host), connection, began))
    }

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<()> {
        unless_it_panics(|| request::enter(session, exchange))
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<bool> {
        // A plugin that panics costs its own request a 500, and nobody else anything.
        match AssertUnwindSafe(request::admit(session, exchange)).catch_unwind().await {
            Ok(answered) => answered,
            Err(_) => failure::panicked(session, exchange).await.map(|()| true),
        }
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<bool> {
        match AssertUnwindSafe(request::forward(session, exchange)).catch_unwind().await {
            Ok(goes_on) => goes_on,
            Err(_) => failure::panicked(session, exchange).await.map(|()| false),
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, exchange: &mut Box<Exchange>) -> Result<Box<HttpPeer>> {
        request::choose_peer(exchange).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        exchange.story.attempt_connected(reused);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        unless_it_panics(|| request::address(head, exchange))
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        request::count_body(body.as_ref(), end, exchange)
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        response::arrived(head, exchange)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        crate::answer::close_when_done(session);
        if exchange.request.version == Version::HTTP_10 && !head.headers.contains_key(CONTENT_LENGTH) {
            session.set_keepalive(None);
        }
        response::leave(head, exchange)?;
        if head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED {
            exchange.connection.mark_answered();
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        exchange.response_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if end {
            exchange.connection.mark_answered();
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Box<Exchange>,
        error: Box<Error>,
    ) -> Box<Error> {
        failure::while_connecting(peer, exchange, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Box<Exchange>,
        _reused: bool,
    ) -> Box<Error> {
        failure::while_proxying(session, exchange, error)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Box<Exchange>) -> FailToProxy {
        failure::give_up(session, exchange, error).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Box<Exchange>) {
        if let Some(error) = error {
            failure::note(exchange, error);
        }
        exchange.finish().await;
        crate::answer::let_upload_end(session, error.is_some()).await;
    }

    fn request_summary(&self, _session: &Session, exchange: &Box<Exchange>) -> String {
        let trace_id = exchange.story.facts.trace().trace_id;
        format!("{} {} {trace_id:032x}", exchange.request.method, exchange.route_name())
    }

    /// The access line and the problem's own line say what the engine's would, without a query string.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Box<Exchange>, _error: &Error) -> bool {
        true
    }
}

/// Runs `hooks`; an error for the engine when one of them panics.
fn unless_it_panics(hooks: impl FnOnce()) -> Result<()> {
    catch_unwind(AssertUnwindSafe(hooks)).map_err(|_| failure::panic_error())
}
