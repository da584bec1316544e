//! What all exchanges of one configuration share, and what all configurations of one process do.

use crate::config::OnError;
use crate::deliver::spec::SinkSpec;
use crate::deliver::{Delivery, Wanted, forget_others};
use crate::events::tell_windows;
use crate::fold::Folds;
use crate::identity::Identities;
use crate::log::{Log, Terms};
use crate::metrics::Metrics;
use crate::redact::Redactor;
use crate::template::{PathTemplate, Template};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use vestibule_plugin::{Clock, RouteId};

/// A built configuration.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) on_error: OnError,
    pub(crate) timeout: Duration,
    pub(crate) capture_body: bool,
    /// Until the log has them: at a start when it is opened, at a reload once that is taken.
    pub(crate) terms: Mutex<Option<Terms>>,
    pub(crate) sinks: Vec<SinkSpec>,
    /// Until they are delivered to.
    pub(crate) wanted: Mutex<Vec<Wanted>>,
    pub(crate) identities: Identities,
    pub(crate) redactor: Redactor,
    /// A row a route, `unmatched` first; `None` where nothing is audited.
    pub(crate) plans: Vec<Option<Plan>>,
    pub(crate) route_names: Vec<Arc<str>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) files: Vec<PathBuf>,
    /// Once the configuration is about to serve.
    pub(crate) trail: OnceLock<Arc<Trail>>,
}

/// What outlives a reload.
pub(crate) struct Trail {
    pub(crate) log: Arc<Log>,
    pub(crate) delivery: Delivery,
    pub(crate) folds: Mutex<Folds>,
    /// The configuration that serves.
    pub(crate) latest: Mutex<Weak<Shared>>,
    /// Somebody tells of refusals, a window after the other.
    pub(crate) tells: AtomicBool,
}

/// What is audited of a route.
pub(crate) struct Plan {
    pub(crate) action: Template,
    pub(crate) resource: Template,
    pub(crate) path: PathTemplate,
}

impl From<Terms> for Mutex<Option<Terms>> {
    fn from(terms: Terms) -> Self {
        Self::new(Some(terms))
    }
}

impl Drop for Shared {
    /// A reload took the log away: what was counted is still told.
    fn drop(&mut self) {
        if let Some(trail) = self.trail.get()
            && std::ptr::eq(trail.latest.lock().as_ptr(), self)
        {
            self.tell_window(trail);
        }
    }
}

impl Shared {
    /// What is audited of a route.
    pub(crate) fn plan(&self, route: RouteId) -> Option<&Plan> {
        self.plans.get(route.index())?.as_ref()
    }

    /// The name of a route.
    pub(crate) fn route_name(&self, route: RouteId) -> &str {
        self.route_names.get(route.index()).map_or("unmatched", |name| name)
    }

    /// The same, to keep.
    pub(crate) fn own_route_name(&self, route: RouteId) -> Arc<str> {
        self.route_names.get(route.index()).map_or_else(|| "unmatched".into(), Arc::clone)
    }

    /// Opens the log, or goes on with that of the configuration before: its directory changes at a restart only.
    pub(crate) fn prepare(&self, before: Option<&Self>) -> Result<(), String> {
        let trail = match before.and_then(|before| before.trail.get()) {
            // Another plugin may refuse this configuration yet: its terms hold once it is installed.
            Some(trail) => Arc::clone(trail),
            None => {
                let Some(terms) = self.terms.lock().take() else { return Ok(()) };
                let log = Log::open(&self.dir, self.on_error, terms, &self.clock, &self.metrics)?;
                forget_others(&log, &self.sinks);
                Arc::new(Trail {
                    log: Arc::new(log),
                    delivery: Delivery::default(),
                    folds: Mutex::default(),
                    latest: Mutex::default(),
                    tells: AtomicBool::new(false),
                })
            }
        };
        // It is set here alone, once.
        let _ = self.trail.set(trail);
        Ok(())
    }

    /// Delivers to the sinks of this configuration from now on. Needs a runtime.
    pub(crate) fn install(self: &Arc<Self>) {
        let Some(trail) = self.trail.get() else { return };
        if let Some(terms) = self.terms.lock().take() {
            trail.log.retune(self.on_error, terms);
        }
        let wanted = std::mem::take(&mut *self.wanted.lock());
        trail.delivery.serve(&trail.log, wanted, &self.clock, &self.metrics);
        *trail.latest.lock() = Arc::downgrade(self);
        if !trail.tells.swap(true, Ordering::Relaxed) {
            tokio::spawn(tell_windows(Arc::downgrade(trail)));
        }
    }
}
