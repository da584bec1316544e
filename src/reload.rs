//! Taking a changed configuration: all of it or nothing.

use crate::config::{self, Diagnostic, Diagnostics, HostDeps, Severity, Source};
use crate::host::Host;
use crate::pipeline::Pipeline;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Takes new configurations, one at a time.
pub struct Reloader {
    host: Arc<Host>,
    deps: Arc<HostDeps>,
    source: Source,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    /// Reads from `source`.
    pub fn new(host: Arc<Host>, deps: Arc<HostDeps>, source: Source) -> Self {
        Self { host, deps, source, one_at_a_time: Mutex::new(()) }
    }

    /// Reads the configuration again and serves it from the next exchange on; its number. What is wrong changes
    /// nothing: exchanges under way and to come keep the configuration they had.
    pub async fn reload(self: &Arc<Self>) -> Result<u64, Diagnostics> {
        let _turn = self.one_at_a_time.lock().await;
        let this = Arc::clone(self);
        let counts = &self.host.counts;
        // Reading files and building plugins must not hold up a worker.
        let taken = tokio::task::spawn_blocking(move || this.take())
            .await
            .unwrap_or_else(|panic| Err(self.failed(format!("building the configuration failed: {panic}"))));
        match &taken {
            Ok(number) => {
                counts.reloads_ok.inc();
                counts.last_reload_ok.set(1);
                tracing::info!(target: "config", generation = number, "configuration reloaded");
            }
            Err(errors) => {
                counts.reloads_failed.inc();
                counts.last_reload_ok.set(0);
                for error in errors.iter() {
                    tracing::error!(
                        target: "config",
                        file = error.file,
                        line = error.line.unwrap_or(0),
                        column = error.column.unwrap_or(0),
                        help = error.label,
                        "{}", error.message
                    );
                }
                tracing::error!(target: "config", "reload refused; the configuration that serves is unchanged");
            }
        }
        taken
    }

    fn failed(&self, why: String) -> Diagnostics {
        Diagnostics::from(vec![Diagnostic::error(self.source.name(), why)])
    }

    fn take(&self) -> Result<u64, Diagnostics> {
        let generation = config::load(&self.source, &self.deps)?;
        let current = self.host.pipeline();
        for key in config::restart_keys_changed(&current.settings, &generation.settings) {
            tracing::warn!(target: "config", key, "this key takes effect at restart only");
        }
        warn(&generation.warnings);
        let number = current.number() + 1;
        let (log, secret) = (generation.settings.log, generation.settings.store.secret);
        let pipeline = Pipeline::new(number, generation, current.upstreams(), &self.host.lent())
            .map_err(|error| self.failed(error))?;
        self.host.log.configure(log, secret);
        self.host.install(pipeline);
        Ok(number)
    }
}

/// Says what is valid but probably not meant.
pub fn warn(warnings: &[Diagnostic]) {
    for warning in warnings.iter().filter(|w| w.severity == Severity::Warning) {
        tracing::warn!(
            target: "config",
            file = warning.file,
            line = warning.line.unwrap_or(0),
            "{}", warning.message
        );
    }
}
