//! What became of the contexts callers sent.

use vestibule_plugin::meter::{Counter, Desc, Registry};

const CONTEXTS: Desc = Desc {
    name: "vestibule_trace_contexts_total",
    help: "Requests by what became of the trace context the caller sent.",
    labels: &["outcome"],
};

/// What became of a caller's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The caller's trace goes on.
    Continued,
    /// The caller sent none.
    Started,
    /// Something was sent and it was not valid.
    Restarted,
    /// Something was sent and callers are not trusted.
    Distrusted,
}

/// In the order of [`Outcome`].
const OUTCOMES: [&str; 4] = ["continued", "started", "restarted", "distrusted"];

pub(crate) struct Contexts([Counter; 4]);

impl Contexts {
    pub(crate) fn new(meter: &Registry) -> Self {
        let family = meter.counter(CONTEXTS).closed("outcome", &OUTCOMES);
        Self(OUTCOMES.map(|outcome| family.with(&[outcome])))
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].inc();
    }
}
