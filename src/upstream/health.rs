//! Whether an upstream answers its health path.

use super::{Reuse, Upstream};
use crate::config::settings::{self, Target};
use crate::connections::{RequestBody, RequestHead, Switch, USUAL_HEAD};
use crate::host::{Host, Lent};
use http::Method;
use http::header::{self, HeaderValue};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use vestibule_plugin::meter::Desc;
use vestibule_plugin::units::Span;

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;
/// How often the configuration is looked at for upstreams that nobody probes yet.
const LOOK: Duration = Duration::from_millis(200);

/// What the last probe said.
pub struct Health {
    state: Arc<AtomicU8>,
    is_probed: bool,
}

/// What is known about an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no health path, so nothing is asked of it.
    NotProbed,
    /// No probe has ended yet.
    Unknown,
    /// It answered the last probe.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// Nothing is known yet.
    pub fn new(settings: &settings::Upstream, lent: &Lent) -> Self {
        let state = Arc::new(AtomicU8::new(UNKNOWN));
        let is_probed = settings.health_path.is_some();
        if is_probed {
            let family = lent.meter.gauge(Desc {
                name: "vestibule_upstream_up",
                help: "Whether the upstream answers its health path: 1 or 0.",
                labels: &["server_address", "server_port"],
            });
            let (address, port) = match &settings.target {
                Target::Tcp { host, port, .. } => (host.clone(), port.to_string()),
                Target::Unix(path) => (path.display().to_string(), String::new()),
            };
            // Weakly: what a reload has replaced is no longer probed and says nothing.
            let read = Arc::downgrade(&state);
            family.with_fn(&[&address, &port], move || match read.upgrade()?.load(Ordering::Relaxed) {
                UP => Some(1.0),
                DOWN => Some(0.0),
                _ => None,
            });
        }
        Self { state, is_probed }
    }

    /// What is known.
    pub fn standing(&self) -> Standing {
        match self.state.load(Ordering::Relaxed) {
            UP => Standing::Up,
            DOWN => Standing::Down,
            _ if self.is_probed => Standing::Unknown,
            _ => Standing::NotProbed,
        }
    }

    fn learn(&self, up: bool) -> bool {
        let now = if up { UP } else { DOWN };
        self.state.swap(now, Ordering::Relaxed) != now
    }
}

/// Probes every upstream that has a health path for as long as a configuration uses it. Looks for new ones now and
/// then, so that a reload is followed.
pub async fn probe(host: Arc<Host>) {
    let mut watched: Vec<Weak<Upstream>> = Vec::new();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        watched.retain(|upstream| upstream.strong_count() > 0);
        for upstream in host.pipeline().upstreams() {
            let known = watched.iter().any(|seen| std::ptr::eq(seen.as_ptr(), Arc::as_ptr(upstream)));
            if upstream.settings.health_path.is_some() && !known {
                let weak = Arc::downgrade(upstream);
                watched.push(Weak::clone(&weak));
                tokio::spawn(watch(Arc::clone(&host), weak));
            }
        }
    }
}

async fn watch(host: Arc<Host>, upstream: Weak<Upstream>) {
    while let Some(upstream) = upstream.upgrade() {
        let patience = patience(&upstream.settings);
        let asked = tokio::time::timeout(patience, ask(&host, &upstream)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {}", Span(patience))));
        if upstream.health.learn(answer.is_ok()) {
            match &answer {
                Ok(()) => tracing::info!(target: "upstream", url = upstream.settings.url, "upstream is up"),
                Err(why) => {
                    tracing::warn!(target: "upstream", url = upstream.settings.url, cause = why, "upstream is down");
                }
            }
        }
        let pause = upstream.settings.health_interval;
        drop(upstream);
        tokio::time::sleep(pause).await;
    }
}

/// How long a probe may take. A `read_timeout` is made for slow pages, and an upstream that hangs should not look well
/// for so long.
fn patience(settings: &settings::Upstream) -> Duration {
    settings.read_timeout.min(settings.connect_timeout.max(settings.health_interval))
}

/// One probe: any status below 400 is an answer.
async fn ask(host: &Host, upstream: &Upstream) -> Result<(), String> {
    let path = upstream.settings.health_path.as_deref().unwrap_or("/");
    let peer = upstream.peer(false, Reuse::Fresh).await.map_err(|e| e.to_string())?;
    let cause = |error: Box<pingora::Error>| crate::proxy::cause_of(&error);
    let (mut connection, _) = host.connector.connect(Arc::new(peer)).await.map_err(cause)?;

    let agent = [(header::USER_AGENT, HeaderValue::from_static("vestibule-health"))];
    let head = RequestHead {
        method: &Method::GET,
        fields: agent.into_iter().collect(),
        target: path.as_bytes(),
        authority: Cow::Owned(upstream.authority().into()),
        scheme: if connection.is_tls() { "https" } else { "http" },
        switch: Switch::NotAsked,
    };
    connection.send(&head, RequestBody::None).map_err(cause)?;

    let status = loop {
        let head = connection.read_head(USUAL_HEAD, &mut |_| {}).await.map_err(cause)?;
        if !head.status.is_informational() {
            break head.status.as_u16();
        }
    };
    while connection.read_body(&mut |_| {}).await.map_err(cause)?.is_some() {}
    host.connector.release(connection).await;
    if (200..400).contains(&status) { Ok(()) } else { Err(format!("it answered {status}")) }
}
