//! Whether a server answers what is asked about its buckets, and how much is under way.

use super::last_answer::LastAnswer;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vestibule_plugin::Monotonic;

/// Questions under way at a time.
const IN_FLIGHT: usize = 1_024;
/// Failures in a row after which nobody waits for it.
const FAILURES: u32 = 5;
/// Questions in a second from which on failures count against answers.
const MANY: u32 = 20;
const SECOND_NS: u64 = 1_000_000_000;
/// Time before the first probe; it doubles with each.
const FIRST_PROBE: Duration = Duration::from_millis(100);
/// Probes after which it doubles no more: 800 ms.
const DOUBLINGS: u32 = 3;
/// How far a pause is drawn apart from its middle, so that a fleet does not knock in step.
const SPREAD: f64 = 0.2;

/// The state of one server.
#[derive(Debug)]
pub(crate) struct Pulse {
    beat: Mutex<Beat>,
    last: LastAnswer,
    room: Arc<Semaphore>,
    /// Of the connection that was last used.
    serial: AtomicU64,
}

/// Values in, values out: the time is the caller's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    /// It is asked.
    Closed { in_a_row: u32, second: Second },
    /// Nobody asks but a probe; this many have failed.
    Open { probes: u32, probing: bool },
}

/// What came of the questions of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Second {
    began: u64,
    asked: u32,
    failed: u32,
}

impl Default for Beat {
    fn default() -> Self {
        Self::Closed { in_a_row: 0, second: Second::default() }
    }
}

impl Default for Pulse {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        Self { beat: Mutex::default(), last: LastAnswer::default(), room, serial: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// Whether it is asked at all.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.beat.lock(), Beat::Open { .. })
    }

    /// Whether a probe is under way.
    pub(crate) fn is_probed(&self) -> bool {
        matches!(*self.beat.lock(), Beat::Open { probing: true, .. })
    }

    /// A place among the questions under way; `None` when there are too many.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Whether this connection was not used before. The first to a server counts: in a cluster it may have taken over
    /// from another one.
    pub(crate) fn is_new(&self, serial: u64) -> bool {
        self.serial.swap(serial, Ordering::Relaxed) != serial
    }

    /// Whether that closed it.
    pub(crate) fn succeeded(&self, now: Monotonic) -> bool {
        self.last.came();
        self.beat.lock().succeeded(now)
    }

    /// Whether that opened it.
    pub(crate) fn failed(&self, now: Monotonic) -> bool {
        self.last.failed();
        self.beat.lock().failed(now)
    }

    /// Whether it answered last time; `None`: nothing was asked yet.
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.last.is_up()
    }

    /// How long to wait before the next probe; `None` when it is not open.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let Beat::Open { probes, probing } = &mut *self.beat.lock() else { return None };
        *probing = false;
        let middle = FIRST_PROBE * (1 << (*probes).min(DOUBLINGS));
        *probes = probes.saturating_add(1);
        Some(middle.mul_f64(rand::random_range(1.0 - SPREAD..=1.0 + SPREAD)))
    }

    /// A probe begins.
    pub(crate) fn probe(&self) {
        if let Beat::Open { probing, .. } = &mut *self.beat.lock() {
            *probing = true;
        }
    }
}

impl Beat {
    fn succeeded(&mut self, now: Monotonic) -> bool {
        match self {
            Self::Closed { in_a_row, second } => {
                *in_a_row = 0;
                second.count(now, 0);
                false
            }
            Self::Open { .. } => {
                *self = Self::default();
                true
            }
        }
    }

    fn failed(&mut self, now: Monotonic) -> bool {
        let Self::Closed { in_a_row, second } = self else { return false };
        *in_a_row += 1;
        second.count(now, 1);
        let opens = *in_a_row >= FAILURES || second.asked >= MANY && second.failed * 2 > second.asked;
        if opens {
            *self = Self::Open { probes: 0, probing: false };
        }
        opens
    }
}

impl Second {
    fn count(&mut self, now: Monotonic, failed: u32) {
        if now.0.saturating_sub(self.began) >= SECOND_NS {
            *self = Self { began: now.0, asked: 0, failed: 0 };
        }
        self.asked += 1;
        self.failed += failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(7 * SECOND_NS);

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_closes_it() {
        let pulse = Pulse::default();
        for _ in 0..3 {
            assert!((1..FAILURES).all(|_| !pulse.failed(NOW)));
            assert!(!pulse.succeeded(NOW));
        }
        assert!((1..FAILURES).all(|_| !pulse.failed(NOW)));
        assert!(pulse.failed(NOW) && pulse.is_open());
        assert!(!pulse.failed(NOW), "it is open already");
        assert!(pulse.succeeded(NOW) && !pulse.is_open());
    }

    #[test]
    fn more_failures_than_answers_open_it_when_there_are_many() {
        let pulse = Pulse::default();
        let mut opened = false;
        for round in 0..MANY {
            assert!(!opened, "{round} are not many");
            if round % 3 == 0 {
                pulse.succeeded(NOW)
            } else {
                opened = pulse.failed(NOW);
                false
            };
        }
        assert!(opened);
        let slow = Pulse::default();
        for round in 0..10 * MANY {
            let now = Monotonic(u64::from(round) * SECOND_NS / 10);
            assert!(!(if round % 3 == 0 { slow.succeeded(now) } else { slow.failed(now) }), "ten a second are few");
        }
    }

    #[test]
    fn every_connection_is_new_once() {
        let pulse = Pulse::default();
        let new = [7, 7, 8, 8].map(|serial| pulse.is_new(serial));
        assert_eq!(new, [true, false, true, false]);
    }

    #[test]
    fn probes_are_at_most_a_second_apart() {
        let pulse = Pulse::default();
        assert_eq!(pulse.pause(), None);
        assert_eq!((0..FAILURES).filter(|_| pulse.failed(NOW)).count(), 1);
        for middle in [100, 200, 400, 800, 800, 800] {
            let pause = pulse.pause().expect("it is open").as_millis();
            assert!((middle * 4 / 5..=middle * 6 / 5).contains(&pause), "{pause} for {middle}");
        }
    }

    #[test]
    fn questions_under_way_have_a_bound() {
        let pulse = Pulse::default();
        let places: Vec<_> = (0..IN_FLIGHT).map(|_| pulse.enter()).collect();
        assert!(places.iter().all(Option::is_some) && pulse.enter().is_none());
        drop(places);
        assert!(pulse.enter().is_some());
    }
}
