//! What is counted.

use std::time::Duration;
use vestibule_plugin::meter::{Counter, Desc, Gauge, GaugeFamily, Histogram, Registry};

const EVENTS: Desc = Desc {
    name: "vestibule_audit_events_total",
    help: "Audit events by what became of them: written to the log, lost, and with each sink delivered, retried, rejected.",
    labels: &["outcome"],
};
const SPOOL: Desc =
    Desc { name: "vestibule_audit_spool_bytes", help: "Bytes in the directory of the audit log.", labels: &[] };
const UNSENT: Desc = Desc {
    name: "vestibule_audit_unsent_events",
    help: "Audit events that are written and that a sink has not acknowledged.",
    labels: &["sink"],
};
const WRITE: Desc = Desc {
    name: "vestibule_audit_write_duration_seconds",
    help: "One write and fsync of the audit log; its count is the number of fsyncs.",
    labels: &[],
};
const BUCKETS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Cheap to clone; all clones count the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    written: Counter,
    lost: Counter,
    delivered: Counter,
    retried: Counter,
    rejected: Counter,
    unsent: GaugeFamily,
    write: Histogram,
    pub(crate) spool: Gauge,
}

impl Metrics {
    pub(crate) fn new(meter: &Registry) -> Self {
        let events = meter.counter(EVENTS);
        let events = events.closed("outcome", &["written", "lost", "delivered", "retried", "rejected"]);
        Self {
            written: events.with(&["written"]),
            lost: events.with(&["lost"]),
            delivered: events.with(&["delivered"]),
            retried: events.with(&["retried"]),
            rejected: events.with(&["rejected"]),
            unsent: meter.gauge(UNSENT),
            write: meter.histogram(WRITE, BUCKETS).with(&[]),
            spool: meter.gauge(SPOOL).with(&[]),
        }
    }

    pub(crate) fn written(&self, records: u64) {
        self.written.add(records);
    }

    pub(crate) fn lost(&self, events: u64) {
        self.lost.add(events);
    }

    pub(crate) fn delivered(&self, events: u64) {
        self.delivered.add(events);
    }

    pub(crate) fn retried(&self, events: u64) {
        self.retried.add(events);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    /// What the sink of this name has not got.
    pub(crate) fn show_unsent(&self, sink: &str, read: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        self.unsent.with_fn(&[sink], read);
    }

    /// One write and fsync took so long.
    pub(crate) fn synced(&self, took: Duration) {
        self.write.observe(took);
    }
}
