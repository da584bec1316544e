//! What is counted.

use crate::directive::Directive;
use crate::report::{Disposition, OTHER_TYPES};
use std::sync::OnceLock;
use vestibule_plugin::meter::{Counter, CounterFamily, Desc, Registry};

const REPORTS: Desc = Desc {
    name: "vestibule_csp_reports_total",
    help: "Reports of violations, by what became of each; none: it was not read far enough to know its directive.",
    labels: &["directive", "disposition", "outcome"],
};
const OTHERS: Desc = Desc {
    name: "vestibule_csp_other_reports_total",
    help: "Reports of other types, which are dropped.",
    labels: &["type"],
};
const SINKS: Desc = Desc {
    name: "vestibule_csp_sink_records_total",
    help: "Records for sinks, by what became of each.",
    labels: &["sink", "outcome"],
};

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Accepted,
    SampledOut,
    Noise,
    Invalid,
    Limited,
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] = [Self::Accepted, Self::SampledOut, Self::Noise, Self::Invalid, Self::Limited];

    /// As it is shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::SampledOut => "sampled_out",
            Self::Noise => "noise",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
        }
    }
}

/// What was read of a report before its outcome was known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    Nothing,
    Violation(Directive, Disposition),
}

/// Where records go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Log,
    File,
    Http,
    Store,
}

impl Kind {
    /// As it is shown.
    pub(crate) fn as_str(self) -> &'static str {
        KINDS[self as usize]
    }
}

const KINDS: [&str; 4] = ["log", "file", "http", "store"];

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Sent,
    Failed,
    Dropped,
}

const FATES: [&str; 3] = ["sent", "failed", "dropped"];

/// All directives, and none.
const ROWS: usize = Directive::COUNT + 1;

/// The counters; what never happens has no series.
pub(crate) struct Metrics {
    reports: CounterFamily,
    known: [[[OnceLock<Counter>; Outcome::ALL.len()]; Disposition::ALL.len()]; ROWS],
    others: [Counter; OTHER_TYPES.len()],
    sinks: CounterFamily,
    sunk: [[OnceLock<Counter>; FATES.len()]; KINDS.len()],
}

impl Metrics {
    /// Registers the families.
    pub(crate) fn new(meter: &Registry) -> Self {
        let directives: Vec<&str> = Directive::all().map(Directive::as_str).chain(["none"]).collect();
        let reports = meter
            .counter(REPORTS)
            .closed("directive", &directives)
            .closed("disposition", &Disposition::ALL.map(Disposition::as_str))
            .closed("outcome", &Outcome::ALL.map(Outcome::as_str));
        let others = meter.counter(OTHERS).closed("type", &OTHER_TYPES);
        let sinks = meter.counter(SINKS).closed("sink", &KINDS).closed("outcome", &FATES);
        Self {
            reports,
            known: std::array::from_fn(|_| Default::default()),
            others: OTHER_TYPES.map(|kind| others.with(&[kind])),
            sinks,
            sunk: Default::default(),
        }
    }

    /// So many more reports of `of` with this outcome.
    pub(crate) fn reported(&self, of: Of, outcome: Outcome, count: u64) {
        let (row, directive, disposition) = match of {
            Of::Nothing => (Directive::COUNT, "none", Disposition::Unknown),
            Of::Violation(directive, disposition) => (directive.index(), directive.as_str(), disposition),
        };
        self.known[row][disposition as usize][outcome as usize]
            .get_or_init(|| self.reports.with(&[directive, disposition.as_str(), outcome.as_str()]))
            .add(count);
    }

    /// One more of another type, one of [`OTHER_TYPES`].
    pub(crate) fn other(&self, kind: &str) {
        if let Some(at) = OTHER_TYPES.iter().position(|known| *known == kind) {
            self.others[at].inc();
        }
    }

    /// So many more records of a sink.
    pub(crate) fn sunk(&self, sink: Kind, fate: Fate, count: usize) {
        if count > 0 {
            self.sunk[sink as usize][fate as usize]
                .get_or_init(|| self.sinks.with(&[sink.as_str(), FATES[fate as usize]]))
                .add(count as u64);
        }
    }
}
