//! How long what is asked of a store takes, by what came of it.

use std::sync::OnceLock;
use std::time::Duration;
use vestibule_plugin::meter::{Desc, Histogram, HistogramFamily, Registry};

/// Upper bounds in seconds: from a script of a Redis next door to the longest sensible timeout.
const BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

const DURATION: Desc = Desc {
    name: "vestibule_store_operation_duration_seconds",
    help: "Duration of what the store was asked; stale: the record is another holder's.",
    labels: &["operation", "outcome"],
};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Begin,
    Renew,
    Complete,
    Release,
    Forget,
    Lock,
    Unlock,
    QuotaTake,
    QuotaReset,
    QuotaPeers,
    Append,
}

const OPERATIONS: [&str; 11] = [
    "begin",
    "renew",
    "complete",
    "release",
    "forget",
    "lock",
    "unlock",
    "quota_take",
    "quota_reset",
    "quota_peers",
    "append",
];

/// What comes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Came {
    Ok,
    Stale,
    Timeout,
    Error,
}

const OUTCOMES: [&str; 4] = ["ok", "stale", "timeout", "error"];

/// By operation and outcome; what never happens has no series.
pub(crate) struct Timings {
    durations: HistogramFamily,
    known: [[OnceLock<Histogram>; OUTCOMES.len()]; OPERATIONS.len()],
}

impl Timings {
    pub(crate) fn new(registry: &Registry) -> Self {
        let durations = registry.histogram(DURATION, &BUCKETS);
        let durations = durations.closed("operation", &OPERATIONS).closed("outcome", &OUTCOMES);
        Self { durations, known: Default::default() }
    }

    pub(crate) fn observe(&self, operation: Operation, came: Came, took: Duration) {
        let (operation, came) = (operation as usize, came as usize);
        let timing =
            self.known[operation][came].get_or_init(|| self.durations.with(&[OPERATIONS[operation], OUTCOMES[came]]));
        timing.observe(took);
    }
}
