//! The admin listener: is it alive, is it ready, what does it count, what runs, and reload.

mod gate;
mod pages;

use crate::config::settings::SecretText;
use crate::downstream::connection::Expecting;
use crate::downstream::{App, Downstream, Head, Served};
use crate::host::Host;
use crate::proxy::refused_head;
use crate::reload::Reloader;
use crate::response_head::ResponseHead;
use bytes::Bytes;
use gate::Gate;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use pages::Page;
use pingora::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
}

impl Admin {
    /// On `address`, with a token or without.
    pub fn new(host: Arc<Host>, reloader: Arc<Reloader>, address: SocketAddr, token: Option<SecretText>) -> Self {
        Self { host, reloader, gate: Gate::new(address, token) }
    }

    fn is_draining(&self) -> bool {
        self.host.is_draining.load(Ordering::Relaxed)
    }

    async fn respond(&self, downstream: &mut Downstream, head: &Head) -> Page {
        let mut body = 0;
        loop {
            let chunk = match downstream.read_body().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // What was asked may not be what was meant, and where the next request begins is unknown.
                Err(_) => {
                    downstream.close_after();
                    return Page::refusal(StatusCode::BAD_REQUEST, "the body is malformed or incomplete");
                }
            };
            body += chunk.len();
            if body > MAX_BODY {
                downstream.close_after();
                return Page::refusal(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 64 KiB");
            }
        }

        let (path, query) = target_of(head);
        let pipeline = self.host.pipeline();
        let method = head.method.clone();
        if let Some(refusal) = self.gate.judge(&path, head, pipeline.settings.server.admin_token.as_ref()) {
            self.account_for(&method, &path, &refusal);
            return refusal;
        }

        let accept = head.fields.text(header::ACCEPT).map(str::to_owned);
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

impl App for Admin {
    async fn serve(&self, downstream: &mut Downstream, head: Arc<Head>) -> Served {
        let connection = Arc::clone(downstream.connection());
        connection.expect(if downstream.has_no_body() { Expecting::Nothing } else { Expecting::Body });
        let page = match connection.take_refused_head() {
            Some(refused) => {
                self.host.refuse_head(refused.why.threat(), connection.peer);
                downstream.close_after();
                let problem = refused_head::problem(refused.why);
                Page::refusal(problem.status, &problem.detail)
            }
            None => self.respond(downstream, &head).await,
        };
        let bodiless = head.method == Method::HEAD;
        match write(downstream, page, bodiless).await {
            Ok(()) => Served::Whole,
            Err(_) => Served::Failed,
        }
    }
}

/// The path and the query.
fn target_of(head: &Head) -> (String, String) {
    let target = String::from_utf8_lossy(&head.target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    (path.to_owned(), query.to_owned())
}

async fn write(downstream: &mut Downstream, page: Page, bodiless: bool) -> Result<()> {
    let mut head = ResponseHead::new(page.status);
    // RFC 9110 section 8.6: a 204 has none.
    if page.status != StatusCode::NO_CONTENT {
        head.fields.set(header::CONTENT_LENGTH, HeaderValue::from(page.body.len()));
    }
    head.fields.set(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.fields.set(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(content_type) = page.content_type {
        head.fields.set(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in page.fields {
        head.fields.set(name, value);
    }
    downstream.write_head(head).await?;
    if !bodiless && !page.body.is_empty() {
        downstream.write_body(Bytes::from(page.body), true).await?;
    }
    downstream.finish().await
}
