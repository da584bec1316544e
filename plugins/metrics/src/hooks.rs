//! One exchange: active from attaching to its end, then counted.

use crate::series::Series;
use std::mem;
use std::sync::Arc;
use vestibule_plugin::meter::Exemplar;
use vestibule_plugin::{AccessLine, Clock, End, Facts, Hooks, Soon};

/// What all exchanges share.
pub(crate) struct Shared {
    pub(crate) series: Series,
    pub(crate) exemplars: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) struct Exchange {
    shared: Arc<Shared>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Active,
    Ended,
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.series.active.add(1);
        Self { shared, progress: Progress::Active }
    }

    /// No longer one of the active requests.
    fn leave(&mut self) {
        if mem::replace(&mut self.progress, Progress::Ended) == Progress::Active {
            self.shared.series.active.add(-1);
        }
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
        self.leave();
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

/// An exchange that is torn down without an end must not stay active for ever.
impl Drop for Exchange {
    fn drop(&mut self) {
        self.leave();
    }
}
