//! The way of a request, from its head to its end.
//!
//! ```text
//! read the head ── request::enter    edge rules, client address, route, attach
//!              ── request::admit    plugins inward; answers here; the call (driver.rs)
//!              ── failure::give_up  when it failed: what the client is told
//!              ── exchange.finish   the end, once
//! ```
//!
//! The engine serves connections: TLS, HTTP/1 and HTTP/2 sessions to clients, connections to upstreams. Its request loop
//! is not used: it decides by method what may be sent again, ends a body twice, and reads what it should refuse.

mod driver;
mod explain;
pub mod failure;
mod judge;
mod provenance;
pub mod refused_head;
mod request;
pub mod resend;
mod response;
pub mod wire;

pub use explain::explain;
pub use failure::cause_of;
pub use judge::Refusal;

use crate::exchange::Exchange;
use crate::host::Host;
use crate::listener::CURRENT;
use async_trait::async_trait;
use futures::FutureExt;
use pingora::Result;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession as Session;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::server::ShutdownWatch;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;

/// The proxy, as a listener serves it.
pub struct Proxy {
    host: Arc<Host>,
    /// Wakes connections that wait for another request, when the drain begins.
    end_idle: Notify,
}

impl Proxy {
    /// Of this process.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host, end_idle: Notify::new() }
    }

    /// Resolves once the drain has begun.
    async fn draining(&self) {
        let mut told = std::pin::pin!(self.end_idle.notified());
        // Before the flag is looked at, so that no notice falls in between.
        told.as_mut().enable();
        if !self.host.is_draining.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// One exchange: everything about a request but its place on the connection.
    async fn serve(&self, session: &mut Session) -> Served {
        let (connection, began) = CURRENT.get();
        connection.take_head();
        let began = if began.0 == 0 { connection.head_began() } else { began };
        // Boxed: it is moved about.
        let mut exchange = Box::new(Exchange::new(Arc::clone(&self.host), connection, began));

        let served = match exchange_on(session, &mut exchange).await {
            Ok(()) => Served::Whole,
            Err(error) => {
                failure::give_up(session, &mut exchange, &error).await;
                Served::Failed
            }
        };
        exchange.finish().await;
        crate::answer::let_upload_end(session).await;
        served
    }
}

/// How an exchange went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// To its end.
    Whole,
    /// Not to its end: the connection serves no other.
    Failed,
}

/// A connection on which the last answer is written; the listener waits for its client to take note.
fn last_of(session: HttpSession) -> ReusedHttpStream {
    CURRENT.with(|(connection, _)| connection.end());
    ReusedHttpStream::new(session.into_inner(), None)
}

/// What is left of a session that has served: the connection, where another exchange or its end may follow.
async fn end(mut session: Session, served: Served) -> Option<ReusedHttpStream> {
    if let Session::H1(h1) = &mut session
        && served == Served::Whole
    {
        h1.finish_body().await.ok()?;
    }

    match session {
        // An orderly end would say that the body is whole.
        Session::H1(_) if CURRENT.with(|(connection, _)| connection.has_open_body()) => None,
        Session::H1(h1) if served == Served::Failed => h1.response_written().is_some().then(|| last_of(h1)),
        Session::H1(h1) if !h1.will_keepalive() => Some(last_of(h1)),
        // The stream is reset.
        _ if served != Served::Whole => None,
        session => {
            let settings = HttpPersistentSettings::for_session(&session);
            let reusable = session.finish().await.ok().flatten()?;
            Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
        }
    }
}

/// From the head to the last byte of a response.
async fn exchange_on(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    unless_it_panics(|| request::enter(session, exchange))?;
    // A plugin that panics costs its own request a 500, and nobody else anything.
    match AssertUnwindSafe(request::admit(session, exchange)).catch_unwind().await {
        Ok(answered) => answered,
        Err(_) => failure::panicked(session, exchange).await,
    }
}

/// Runs `hooks`; an error when one of them panics.
fn unless_it_panics(hooks: impl FnOnce()) -> Result<()> {
    catch_unwind(AssertUnwindSafe(hooks)).map_err(|_| failure::panic_error())
}

#[async_trait]
impl HttpServerApp for Proxy {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: Session,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let read = tokio::select! {
            biased;
            read = session.read_request() => read,
            // A connection on which no request is under way.
            () = self.draining() => return None,
        };
        match read {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => {
                session.shutdown().await;
                return None;
            }
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }

        let served = self.serve(&mut session).await;
        // Boxed: it takes as much room as all before it, which a reply that waits for its client would keep.
        Box::pin(end(session, served)).await
    }

    async fn http_cleanup(&self) {
        self.host.is_draining.store(true, Ordering::Release);
        self.end_idle.notify_waiters();
    }
}
