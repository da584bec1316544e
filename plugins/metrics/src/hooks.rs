//! One exchange: active from attaching to its end, then counted.

use crate::series::Series;
use std::sync::Arc;
use vestibule_plugin::meter::{Exemplar, Gauge};
use vestibule_plugin::{AccessLine, Clock, End, Facts, Hooks, Soon};

/// What all exchanges share.
pub(crate) struct Shared {
    pub(crate) series: Series,
    pub(crate) exemplars: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) struct Exchange {
    shared: Arc<Shared>,
    active: Option<Active>,
}

/// Counts as one active request until it is dropped, even when the exchange is torn down without an end.
struct Active(Gauge);

impl Active {
    fn new(gauge: &Gauge) -> Self {
        gauge.add(1);
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let active = Some(Active::new(&shared.series.active));
        Self { shared, active }
    }

    /// For sampled traces only: nobody finds the others.
    fn exemplar(&self, facts: &Facts) -> Option<Exemplar> {
        let trace = facts.trace();
        (self.shared.exemplars && trace.is_sampled()).then(|| Exemplar {
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            at: self.shared.clock.wall(),
        })
    }
}

impl Hooks for Exchange {
    fn on_end<'a>(&'a mut self, end: &'a End<'a>, facts: &'a Facts, _line: &'a mut AccessLine) -> Soon<'a, ()> {
        self.active = None;
        let exemplar = self.exemplar(facts);
        let series = &self.shared.series;
        if let Some(requests) = series.request(end.method, end.status, facts.route()) {
            requests.observe_with(end.duration, exemplar.as_ref());
        }
        for attempt in end.attempts {
            if let Some(attempts) = series.attempt(end.method, attempt.result, facts.route()) {
                attempts.observe_with(attempt.duration, exemplar.as_ref());
            }
            if let Some(first_byte) = attempt.first_byte {
                series.first_byte.observe(first_byte);
            }
        }
        Soon::Now(())
    }
}
