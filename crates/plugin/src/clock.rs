//! Time, injected, so that tests own it.

use std::ops::Sub;
use std::time::{Duration, Instant, SystemTime};

/// Nanoseconds on a clock that never goes back; its zero means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Time since `earlier`; zero when that is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Sub for Monotonic {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Where all time comes from.
pub trait Clock: Send + Sync + 'static {
    /// For intervals.
    fn now(&self) -> Monotonic;
    /// For stamps that people and other machines read.
    fn wall(&self) -> SystemTime;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    zero: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { zero: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Monotonic {
        // A u64 of nanoseconds holds 584 years of uptime.
        Monotonic(u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
