//! What is counted.

use crate::fate::Fate;
use std::sync::Arc;
use vestibule_plugin::RouteId;
use vestibule_plugin::meter::{CounterFamily, Desc, Gauge, Registry};

const REQUESTS: Desc = Desc {
    name: "vestibule_idempotency_requests_total",
    help: "Requests with a key, or without one where it is required, by what became of them.",
    labels: &["http_route", "outcome"],
};
const RECORDS: Desc = Desc {
    name: "vestibule_idempotency_records",
    help: "Records held in this process; 0 with a store elsewhere.",
    labels: &[],
};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The application was asked; its reply is stored, or the claim was released.
    Executed,
    /// Answered with a stored reply.
    Replayed,
    /// Somebody else executes.
    InProgress,
    /// The key stands for another request.
    Mismatch,
    /// Nobody knows whether it was executed.
    Uncertain,
    /// Executed, and the reply cannot be given again.
    NotStored,
    /// The key cannot be read.
    InvalidKey,
    /// There is no key.
    MissingKey,
    /// Turned away before anything was claimed.
    Refused,
    /// The store failed.
    StoreError,
    /// Forwarded without protection, as the store failed.
    Bypassed,
}

impl Outcome {
    const ALL: [Self; 11] = [
        Self::Executed,
        Self::Replayed,
        Self::InProgress,
        Self::Mismatch,
        Self::Uncertain,
        Self::NotStored,
        Self::InvalidKey,
        Self::MissingKey,
        Self::Refused,
        Self::StoreError,
        Self::Bypassed,
    ];

    /// The outcome of a request that was executed, or may have been.
    pub(crate) fn of(fate: Fate) -> Self {
        match fate {
            Fate::Done | Fate::Released => Self::Executed,
            Fate::Tombstone(_) => Self::NotStored,
            Fate::Uncertain(_) => Self::Uncertain,
        }
    }

    /// As written in metrics and log lines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Replayed => "replayed",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
            Self::Uncertain => "uncertain",
            Self::NotStored => "not_stored",
            Self::InvalidKey => "invalid_key",
            Self::MissingKey => "missing_key",
            Self::Refused => "refused",
            Self::StoreError => "store_error",
            Self::Bypassed => "bypassed",
        }
    }
}

/// The counters.
pub(crate) struct Requests {
    family: CounterFamily,
    route_names: Arc<[String]>,
    /// Shows what the memory store holds.
    pub(crate) records: Gauge,
}

impl Requests {
    /// Registers the families.
    pub(crate) fn new(meter: &Registry, route_names: &Arc<[String]>) -> Self {
        Self {
            family: meter.counter(REQUESTS).closed("outcome", &Outcome::ALL.map(Outcome::as_str)),
            route_names: Arc::clone(route_names),
            records: meter.gauge(RECORDS).with(&[]),
        }
    }

    /// One more.
    pub(crate) fn count(&self, route: RouteId, outcome: Outcome) {
        let name = self.route_names.get(route.index()).map_or("unmatched", String::as_str);
        self.family.with(&[name, outcome.as_str()]).inc();
    }
}
