//! What is counted.

use vestibule_plugin::meter::{Counter, Desc, Registry};

const RESPONSES: Desc = Desc {
    name: "vestibule_etag_responses_total",
    help: "Replies to GET and HEAD on routes with the etag plugin, by what it did, and requests that it refused.",
    labels: &["outcome"],
};

/// What was done with a reply to GET or HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Sent with a new tag.
    Minted,
    /// Sent as a 304 that was made here.
    NotModified,
    /// Sent with the application's own tag.
    UpstreamTag,
    /// Sent without any.
    Skipped,
    /// A request that was refused: what it rests on is not what there is, or a write says not what it rests on.
    PreconditionFailed,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Minted, Self::NotModified, Self::UpstreamTag, Self::Skipped, Self::PreconditionFailed];

    /// As written in metrics and log lines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::NotModified => "not_modified",
            Self::UpstreamTag => "upstream_tag",
            Self::Skipped => "skipped",
            Self::PreconditionFailed => "precondition_failed",
        }
    }
}

/// A counter for each outcome, looked up once.
#[derive(Clone)]
pub(crate) struct Responses([Counter; Outcome::ALL.len()]);

impl Responses {
    /// Registers the family.
    pub(crate) fn new(meter: &Registry) -> Self {
        let family = meter.counter(RESPONSES).closed("outcome", &Outcome::ALL.map(Outcome::as_str));
        Self(Outcome::ALL.map(|outcome| family.with(&[outcome.as_str()])))
    }

    /// One more of `outcome`.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].inc();
    }
}
