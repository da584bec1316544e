//! Serving until a signal, then draining: no new connections, requests under way get 10 s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::db::Database;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::settings::Settings;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot listen on the address of {variable}")]
    Listen { variable: &'static str, source: io::Error },
    #[error("cannot wait for signals")]
    Signals(#[from] io::Error),
}

/// Serves both listeners; returns when the drain is over.
pub(crate) async fn serve(settings: &Settings, database: &Arc<Database>, metrics: Metrics) -> Result<(), ServeError> {
    let app = App {
        database: Arc::clone(database),
        metrics,
        idempotency_ttl: settings.idempotency_ttl,
        ingest_token: settings.ingest_token.clone(),
        admin_token: settings.admin_token.clone(),
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let internal = listen("INTERNAL_LISTEN", "internal", settings.internal_listen).await?;
    let public = listen("LISTEN", "public", settings.listen).await?;

    let (stop, stopped) = watch::channel(());
    let internal = run(internal, http::internal(app.clone()), stopped.clone());
    let public = run(public, http::public(app), stopped);
    tokio::select! {
        _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "draining"),
        _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "draining"),
    }
    drop(stop);
    if timeout(DRAIN_TIMEOUT, public).await.is_err() {
        tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "requests were cut off");
    }
    internal.abort();
    tracing::info!("stopped");
    Ok(())
}

async fn listen(
    variable: &'static str,
    listener: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, ServeError> {
    let refused = |source| ServeError::Listen { variable, source };
    let bound = TcpListener::bind(address).await.map_err(refused)?;
    let address = bound.local_addr().map_err(refused)?;
    tracing::info!(listener, address = %address, "listening");
    Ok(bound)
}

/// Serves until the other end of `stopped` is dropped and every connection is closed.
fn run(listener: TcpListener, router: Router, mut stopped: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stop = async move { while stopped.changed().await.is_ok() {} };
        // `serve` itself never fails: it waits and tries again when accepting does.
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    })
}
