//! Counts what was blocked.

use vestibule_plugin::meter::{Counter, Desc, Exemplar, Registry};

/// Why a request was refused or changed at the edge; the label `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threat {
    /// Malformed syntax.
    Framing,
    /// A head over `max_header_bytes` or 256 fields.
    HeaderSize,
    /// A method that is not served.
    Method,
    /// A field only a trusted party may set was removed; the request went on.
    SpoofedHeader,
    /// A head that took longer than `header_timeout`.
    SlowHead,
    /// A body below `min_body_rate`.
    SlowBody,
    /// More than one reading of a length.
    Smuggling,
    /// No Host, or one that is no host.
    BadHost,
    /// A target that means one thing here and another behind.
    BadTarget,
    /// A Connection option that names a field the proxy relies on.
    ConnectionNomination,
}

impl Threat {
    const ALL: [Self; 10] = [
        Self::Framing,
        Self::HeaderSize,
        Self::Method,
        Self::SpoofedHeader,
        Self::SlowHead,
        Self::SlowBody,
        Self::Smuggling,
        Self::BadHost,
        Self::BadTarget,
        Self::ConnectionNomination,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::HeaderSize => "header_size",
            Self::Method => "method",
            Self::SpoofedHeader => "spoofed_header",
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::Smuggling => "smuggling",
            Self::BadHost => "bad_host",
            Self::BadTarget => "bad_target",
            Self::ConnectionNomination => "connection_nomination",
        }
    }
}

/// `vestibule_threats_blocked_total`.
pub struct Threats {
    by_kind: [Counter; Threat::ALL.len()],
}

impl Threats {
    /// Registers the family; every kind exists with 0.
    pub fn new(registry: &Registry) -> Self {
        let family = registry.counter(Desc {
            name: "vestibule_threats_blocked_total",
            help: "Requests refused or changed by the edge rules, by kind.",
            labels: &["kind"],
        });
        let family = family.closed("kind", &Threat::ALL.map(Threat::as_str)).with_exemplars();
        Self { by_kind: Threat::ALL.map(|kind| family.with(&[kind.as_str()])) }
    }

    /// One more, before it became an exchange.
    pub fn blocked(&self, kind: Threat) {
        self.by_kind[kind as usize].inc();
    }

    /// One more, in an exchange whose trace may be sampled.
    pub fn blocked_in(&self, kind: Threat, exemplar: Option<&Exemplar>) {
        self.by_kind[kind as usize].inc_with(exemplar);
    }
}
