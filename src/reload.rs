//! Taking a changed configuration: all of it or nothing.

use crate::config::{self, Diagnostic, Diagnostics, HostDeps, Severity, Source, Started};
use crate::host::Host;
use crate::pipeline::Pipeline;
use crate::watch::Watch;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use vestibule_plugin::{Event, Spot};

/// Takes new configurations, one at a time.
pub struct Reloader {
    host: Arc<Host>,
    deps: Arc<HostDeps>,
    source: Source,
    started: Started,
    watch: parking_lot::Mutex<Option<Watch>>,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    /// Reads from `source`, in a process that runs what it `started` with.
    pub fn new(host: Arc<Host>, deps: Arc<HostDeps>, source: Source, started: Started) -> Self {
        Self { host, deps, source, started, watch: parking_lot::Mutex::new(None), one_at_a_time: Mutex::new(()) }
    }

    /// Watches the files as the configuration that serves wants it. Needs a runtime.
    pub fn watch(self: &Arc<Self>) {
        let mut watch = self.watch.lock();
        let pipeline = self.host.pipeline();
        if !pipeline.settings.server.watch {
            *watch = None;
            return;
        }
        let files = pipeline.plugins.iter().flat_map(|built| built.plugin.files());
        let files: Vec<PathBuf> = std::iter::once(self.source.path().to_owned()).chain(files).collect();
        if !watch.as_ref().is_some_and(|watch| watch.holds(&files)) {
            *watch = Watch::start(&files, self);
        }
    }

    /// Whether changes of the file are followed.
    pub fn is_watching(&self) -> bool {
        self.watch.lock().is_some()
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
                self.watch();
            }
            Err(errors) => {
                counts.reloads_failed.inc();
                counts.last_reload_ok.set(0);
                for error in errors.iter() {
                    tracing::error!(
                        target: "config",
                        file = error.file,
                        line = error.line,
                        column = error.column,
                        help = help(error),
                        "{}", error.message
                    );
                }
                let spots: Vec<Spot> = errors.errors().filter_map(Diagnostic::spot).collect();
                let pipeline = self.host.pipeline();
                pipeline.tell(&Event::ReloadRefused { running: pipeline.running(), mistakes: &spots });
                tracing::error!(target: "config", "reload refused; the configuration that serves is unchanged");
            }
        }
        taken
    }

    fn failed(&self, why: String) -> Diagnostics {
        Diagnostics::from(vec![Diagnostic::error(self.source.name(), why)])
    }

    fn take(&self) -> Result<u64, Diagnostics> {
        let mut generation = config::load(&self.source, &self.deps)?;
        let current = self.host.pipeline();
        for key in self.started.hold(&mut generation) {
            tracing::warn!(target: "config", key, "this key takes effect at restart only");
        }
        warn(&generation.warnings);
        for key in current.settings.store.forgets(&generation.settings.store) {
            tracing::warn!(
                target: "config",
                key,
                "what the store knew under the old value is not found under the new one: keys that were used are free again, and limits begin anew"
            );
        }
        let number = current.number() + 1;
        let (log, secret) = (generation.settings.log, generation.settings.store.secret);
        let pipeline = Pipeline::new(number, generation, current.upstreams(), &self.host.lent())
            .map_err(|error| self.failed(error))?;
        pipeline.prepare(Some(&current)).map_err(|error| self.failed(error))?;
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
            line = warning.line,
            column = warning.column,
            help = help(warning),
            "{}", warning.message
        );
    }
}

/// What stands under the underlined source, if anything does.
fn help(diagnostic: &Diagnostic) -> Option<&str> {
    Some(diagnostic.label.as_str()).filter(|label| !label.is_empty())
}
