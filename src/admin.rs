//! The admin listener: is it alive, is it ready, what does it count, what runs, and reload.

mod gate;
mod pages;

use crate::config::settings::SecretText;
use crate::host::Host;
use crate::listener::CURRENT;
use crate::listener::connection::Expecting;
use crate::proxy::refused_head;
use crate::reload::Reloader;
use async_trait::async_trait;
use bytes::Bytes;
use gate::Gate;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pages::Page;
use pingora::Result;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vestibule_plugin::{AdminAct, Event};

/// Connections to the admin listener at once.
pub const MAX_CONNECTIONS: usize = 64;
/// Largest body of a request; none is needed.
const MAX_BODY: usize = 64 * 1024;

/// What the admin listener serves.
pub struct Admin {
    host: Arc<Host>,
    reloader: Arc<Reloader>,
    gate: Gate,
    draining: Arc<AtomicBool>,
}

impl Admin {
    /// On `address`, with a token or without.
    pub fn new(
        host: Arc<Host>,
        reloader: Arc<Reloader>,
        address: SocketAddr,
        token: Option<SecretText>,
        draining: Arc<AtomicBool>,
    ) -> Self {
        Self { host, reloader, gate: Gate::new(address, token), draining }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    async fn respond(&self, session: &mut ServerSession) -> Page {
        let mut body = 0;
        loop {
            let chunk = match session.read_request_body().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // What was asked may not be what was meant, and where the next request begins is unknown.
                Err(_) => {
                    session.set_keepalive(None);
                    return Page::refusal(StatusCode::BAD_REQUEST, "the body is malformed or incomplete");
                }
            };
            body += chunk.len();
            if body > MAX_BODY {
                session.set_keepalive(None);
                return Page::refusal(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 64 KiB");
            }
        }
        let head = session.req_header();
        let path = head.uri.path().to_owned();
        let pipeline = self.host.pipeline();
        let method = head.method.clone();
        if let Some(refusal) = self.gate.judge(&path, head, pipeline.settings.server.admin_token.as_ref()) {
            self.account_for(&method, &path, &refusal);
            return refusal;
        }
        let accept = head.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let query = head.uri.query().unwrap_or("").to_owned();
        let page = pages::serve(self, &method, &path, &query, accept.as_deref()).await;
        self.account_for(&method, &path, &page);
        page
    }

    /// Tells the plugins of what may have changed something, and of credentials that were refused.
    fn account_for(&self, method: &Method, path: &str, page: &Page) {
        if matches!(*method, Method::GET | Method::HEAD) && page.status != StatusCode::UNAUTHORIZED {
            return;
        }
        let pipeline = self.host.pipeline();
        let path = &pages::template(&pipeline, path);
        pipeline.tell(&Event::Admin(AdminAct { method, path, status: page.status }));
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => {
                let _ = write(&mut session, Page::refusal(StatusCode::BAD_REQUEST, "malformed request"), false).await;
                session.shutdown().await;
                return None;
            }
        }
        let (refused, peer) = CURRENT.with(|(connection, _)| {
            connection.take_head();
            connection.expect(if session.is_body_empty() { Expecting::Nothing } else { Expecting::Body });
            (connection.take_refused_head(), connection.peer)
        });
        if let Some(refused) = refused {
            self.host.refuse_head(refused.why.threat(), peer);
            session.set_keepalive(None);
            let problem = refused_head::problem(refused.why);
            let _ = write(&mut session, Page::refusal(problem.status, &problem.detail), false).await;
            session.shutdown().await;
            return None;
        }
        session.set_read_timeout(None);
        let page = self.respond(&mut session).await;
        let bodiless = session.req_header().method == Method::HEAD;
        write(&mut session, page, bodiless).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

async fn write(session: &mut ServerSession, page: Page, bodiless: bool) -> Result<()> {
    let mut head = ResponseHeader::build(page.status, Some(5))?;
    // RFC 9110 section 8.6: a 204 has none.
    if page.status != StatusCode::NO_CONTENT {
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(page.body.len()))?;
    }
    head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"))?;
    if let Some(content_type) = page.content_type {
        head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    }
    for (name, value) in page.fields {
        head.insert_header(name, value)?;
    }
    session.write_response_header(Box::new(head)).await?;
    if !bodiless && !page.body.is_empty() {
        session.write_response_body(Bytes::from(page.body), true).await?;
    }
    session.finish_body().await
}
