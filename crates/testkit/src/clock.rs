//! Time that stands still until a test moves it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vestibule_plugin::{Clock, Monotonic};

/// 2023-11-14T22:13:20Z, a Tuesday: a wall time that is easy to recognise in an output.
const START: Duration = Duration::from_secs(1_700_000_000);

/// A clock that only [`FakeClock::advance`] moves.
#[derive(Debug)]
pub struct FakeClock {
    monotonic_ns: AtomicU64,
    wall_ns: AtomicU64,
}

impl FakeClock {
    /// The monotonic clock at 1 s, so that intervals can reach back, and the wall clock at 2023-11-14T22:13:20Z.
    pub fn new() -> Self {
        Self::at(UNIX_EPOCH + START)
    }

    /// The monotonic clock at 1 s and the wall clock at `wall`, not before 1970.
    pub fn at(wall: SystemTime) -> Self {
        let since_epoch = wall.duration_since(UNIX_EPOCH).expect("a wall time since 1970");
        Self { monotonic_ns: AtomicU64::new(1_000_000_000), wall_ns: AtomicU64::new(nanos(since_epoch)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, time: Duration) {
        self.monotonic_ns.fetch_add(nanos(time), Ordering::SeqCst);
        self.wall_ns.fetch_add(nanos(time), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, forward or back, as NTP or an operator does.
    pub fn set_wall(&self, wall: SystemTime) {
        let since_epoch = wall.duration_since(UNIX_EPOCH).expect("a wall time since 1970");
        self.wall_ns.store(nanos(since_epoch), Ordering::SeqCst);
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Monotonic {
        Monotonic(self.monotonic_ns.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.wall_ns.load(Ordering::SeqCst))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a time within 584 years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_and_the_wall_can_be_set_back() {
        let clock = FakeClock::new();
        let (began, wall) = (clock.now(), clock.wall());
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().since(began), Duration::from_millis(1500));
        assert_eq!(clock.wall(), wall + Duration::from_millis(1500));
        clock.set_wall(wall - Duration::from_secs(60));
        assert_eq!(clock.now().since(began), Duration::from_millis(1500));
        assert_eq!(clock.wall(), wall - Duration::from_secs(60));
    }
}
