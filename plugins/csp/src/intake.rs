//! From a body to counts and records.

use crate::clean::Paths;
use crate::fold::Folded;
use crate::kept::Kept;
use crate::metrics::{Metrics, Of, Outcome};
use crate::noise::Noise;
use crate::policy;
use crate::record::{Judged, Record, Sighting, judge};
use crate::report::{self, Element, Malformed, Violation};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use vestibule_plugin::units::Size;
use vestibule_plugin::{ClientAddress, Clock};

/// What reports are taken by.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Terms {
    pub(crate) max_body: Size,
    pub(crate) sample: f64,
    pub(crate) noise: Noise,
    pub(crate) paths: Paths,
}

/// Takes reports.
pub(crate) struct Intake {
    terms: Terms,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Absent until this serves.
    kept: OnceLock<Arc<Kept>>,
}

impl Intake {
    pub(crate) fn new(terms: Terms, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Self {
        let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
        Self { terms, clock, metrics, kept: OnceLock::new() }
    }

    /// What it learns goes there from now on.
    pub(crate) fn install(&self, kept: &Arc<Kept>) {
        // Once: whoever installs twice keeps the first.
        let _ = self.kept.set(Arc::clone(kept));
    }

    /// Largest body.
    pub(crate) fn max_body(&self) -> Size {
        self.terms.max_body
    }

    /// Whether a sender may bring a report now; if not, that is counted.
    pub(crate) fn admits(&self, sender: ClientAddress) -> bool {
        let admits = self.rated(sender, 1) == 1;
        if !admits {
            self.count(Of::Nothing, Outcome::Limited, 1);
        }
        admits
    }

    fn rated(&self, sender: ClientAddress, units: u64) -> u64 {
        let Some(kept) = self.kept.get() else { return 0 };
        kept.rates.lock().take(sender, units, self.clock.now())
    }

    fn count(&self, of: Of, outcome: Outcome, count: u64) {
        if count > 0 {
            self.metrics.reported(of, outcome, count);
            if let Some(kept) = self.kept.get() {
                kept.totals.add(outcome, count);
            }
        }
    }

    /// Takes the reports of a body. Its first one was admitted.
    pub(crate) fn take(&self, body: &Bytes, sender: ClientAddress) -> Result<(), Malformed> {
        let reports = report::read(body).inspect_err(|_| self.count(Of::Nothing, Outcome::Invalid, 1))?;
        self.count(Of::Nothing, Outcome::Limited, reports.unread);
        let further = reports.elements.len().saturating_sub(1) as u64;
        let admitted = match further {
            0 => 1,
            // At most a hundred.
            further => 1 + usize::try_from(self.rated(sender, further)).unwrap_or(0),
        };
        let mut digests = Digests::default();
        let mut sightings = Vec::new();
        for (nth, element) in reports.elements.iter().enumerate() {
            match element {
                Element::Violation(violation) if nth >= admitted => self.count(of(violation), Outcome::Limited, 1),
                _ if nth >= admitted => self.count(Of::Nothing, Outcome::Limited, 1),
                Element::Invalid => self.count(Of::Nothing, Outcome::Invalid, 1),
                Element::Other(kind) => self.metrics.other(kind),
                Element::Violation(violation) => match self.judge(violation, &mut digests) {
                    Judged::Noise => self.count(of(violation), Outcome::Noise, 1),
                    Judged::Invalid => self.count(Of::Nothing, Outcome::Invalid, 1),
                    Judged::Sighting(sighting) => sightings.push(*sighting),
                },
            }
        }
        self.fold(sightings);
        Ok(())
    }

    fn judge<'a>(&self, violation: &'a Violation<'_>, digests: &mut Digests<'a>) -> Judged {
        let digest = violation.policy.as_deref().map(|policy| digests.of(policy));
        judge(violation, digest, &self.terms.noise, self.terms.paths, self.clock.wall())
    }

    fn fold(&self, sightings: Vec<Sighting>) {
        let Some(kept) = self.kept.get().filter(|_| !sightings.is_empty()) else { return };
        let now = self.clock.now();
        let mut told: Vec<Record> = Vec::new();
        let mut outcomes = Vec::with_capacity(sightings.len());
        {
            let mut table = kept.table.lock();
            for sighting in sightings {
                let of = Of::Violation(sighting.details.directive, sighting.details.disposition);
                let (folded, record) = table.fold(sighting, now, self.terms.sample);
                outcomes.push((of, folded));
                told.extend(record);
            }
        }
        for (of, folded) in outcomes {
            let outcome = match folded {
                Folded::Accepted => Outcome::Accepted,
                Folded::SampledOut => Outcome::SampledOut,
            };
            self.count(of, outcome, 1);
        }
        kept.tell(told);
    }
}

fn of(violation: &Violation<'_>) -> Of {
    Of::Violation(violation.directive, violation.disposition)
}

/// The digest of the policy that was met last: the reports of a batch mostly have one.
#[derive(Default)]
struct Digests<'a>(Option<(&'a str, u64)>);

impl<'a> Digests<'a> {
    fn of(&mut self, policy: &'a str) -> u64 {
        match self.0 {
            Some((known, digest)) if known == policy => digest,
            _ => {
                let digest = policy::digest(policy.as_bytes());
                self.0 = Some((policy, digest));
                digest
            }
        }
    }
}
