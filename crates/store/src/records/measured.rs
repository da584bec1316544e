//! Records whose operations are counted.

use super::{
    Begun, Claim, Completed, Forgotten, Hold, Keeping, Live, Name, Outage, Outcome, Records, Released, Renewed,
    Standing,
};
use crate::timings::{Came, Operation, Timings};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::meter::{Gauge, Registry};
use vestibule_plugin::{Clock, Monotonic, Soon};

/// Passes everything on, and counts it.
pub struct Measured {
    inner: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    timings: Timings,
    /// What claiming and releasing a name is called.
    called: (Operation, Operation),
}

impl Measured {
    /// Counts in `registry` what is asked of `inner`, by the time of `clock`.
    pub fn new(inner: Arc<dyn Records>, registry: &Registry, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, timings: Timings::new(registry), called: (Operation::Begin, Operation::Release) }
    }

    /// The same for records that are locks.
    pub fn locks(inner: Arc<dyn Records>, registry: &Registry, clock: Arc<dyn Clock>) -> Self {
        Self { called: (Operation::Lock, Operation::Unlock), ..Self::new(inner, registry, clock) }
    }

    /// Counts the answer when it is there.
    fn counted<'a, T: Send + 'a>(
        &'a self,
        answer: Soon<'a, Result<T, Outage>>,
        operation: Operation,
        is_stale: fn(&T) -> bool,
    ) -> Soon<'a, Result<T, Outage>> {
        let started = self.clock.now();
        match answer {
            Soon::Now(answer) => {
                self.count(&answer, operation, is_stale, started);
                Soon::Now(answer)
            }
            Soon::Later(answer) => Soon::later(async move {
                let answer = answer.await;
                self.count(&answer, operation, is_stale, started);
                answer
            }),
        }
    }

    fn count<T>(&self, answer: &Result<T, Outage>, operation: Operation, is_stale: fn(&T) -> bool, started: Monotonic) {
        let came = match answer {
            Ok(answer) if is_stale(answer) => Came::Stale,
            Ok(_) => Came::Ok,
            Err(Outage::Timeout) => Came::Timeout,
            Err(_) => Came::Error,
        };
        self.timings.observe(operation, came, self.clock.now() - started);
    }
}

impl Records for Measured {
    fn begin<'a>(&'a self, claim: Claim) -> Soon<'a, Result<Begun, Outage>> {
        self.counted(self.inner.begin(claim), self.called.0, |_| false)
    }

    fn renew<'a>(&'a self, hold: Hold, lease: Duration, ttl: Duration) -> Soon<'a, Result<Renewed, Outage>> {
        self.counted(self.inner.renew(hold, lease, ttl), Operation::Renew, |renewed| *renewed != Renewed::Ok)
    }

    fn complete<'a>(&'a self, hold: Hold, outcome: Outcome, keep: Keeping) -> Soon<'a, Result<Completed, Outage>> {
        let stale = |completed: &Completed| *completed == Completed::Stale;
        self.counted(self.inner.complete(hold, outcome, keep), Operation::Complete, stale)
    }

    fn release<'a>(&'a self, hold: Hold) -> Soon<'a, Result<Released, Outage>> {
        self.counted(self.inner.release(hold), self.called.1, |released| *released == Released::Stale)
    }

    fn forget<'a>(&'a self, name: Name, live: Live) -> Soon<'a, Result<Forgotten, Outage>> {
        self.counted(self.inner.forget(name, live), Operation::Forget, |_| false)
    }

    fn show(&self, gauge: Gauge) {
        self.inner.show(gauge);
    }

    fn expect(&self, max_body: u64) {
        self.inner.expect(max_body);
    }

    fn standing(&self) -> Standing {
        self.inner.standing()
    }

    fn sweep(&self) {
        self.inner.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Abandoned, Bound, Fingerprint, MemoryRecords, Owner, Payer};
    use vestibule_plugin::SystemClock;
    use vestibule_plugin::meter::Format;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn each_operation_counts_under_what_came_of_it() {
        let (registry, clock) = (Registry::default(), Arc::new(SystemClock::default()));
        // Room for one record.
        let memory = Arc::new(MemoryRecords::new(Arc::clone(&clock) as Arc<dyn Clock>, 500));
        let records = Measured::new(memory, &registry, clock);
        let hold = |name| Hold {
            name: Name([name; 16]),
            fingerprint: Fingerprint([0; 32]),
            owner: Owner([name; 16]),
            trace_id: 0,
            payer: Payer::default(),
        };
        let claim =
            |name| Claim { hold: hold(name), lease: SECOND, ttl: SECOND, abandoned: Abandoned::Respect, replicas: 0 };
        let other = Hold { owner: Owner([9; 16]), ..hold(1) };
        assert_eq!(records.begin(claim(1)).get().await, Ok(Begun::Acquired));
        assert_eq!(records.begin(claim(2)).get().await, Err(Outage::Full(Bound::Store)));
        assert_eq!(records.renew(hold(1), SECOND, SECOND).get().await, Ok(Renewed::Ok));
        assert_eq!(records.renew(hold(2), SECOND, SECOND).get().await, Ok(Renewed::Lost));
        let keep = Keeping { ttl: SECOND, replicas: 0 };
        let outcome = Outcome::Uncertain(crate::records::Unknown::Upstream);
        assert_eq!(records.complete(other, outcome, keep).get().await, Ok(Completed::Stale));
        assert_eq!(records.release(other).get().await, Ok(Released::Stale));
        assert_eq!(records.forget(hold(1).name, Live::Forget).get().await, Ok(Forgotten::Deleted));
        let scrape = registry.encode(Format::Text);
        for (operation, outcome, count) in [
            ("begin", "ok", 1),
            ("begin", "error", 1),
            ("renew", "ok", 1),
            ("renew", "stale", 1),
            ("complete", "stale", 1),
            ("release", "stale", 1),
            ("forget", "ok", 1),
        ] {
            let line = format!(
                "vestibule_store_operation_duration_seconds_count{{operation=\"{operation}\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(scrape.contains(&line), "{line}{scrape}");
        }
        assert!(!scrape.contains("outcome=\"timeout\""), "what never happened has no series");
    }
}
