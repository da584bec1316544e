//! When claims are no longer asked for: after failures in a row, but for a probe now and then.

use crate::records::Breaker as Shown;
use std::time::Duration;
use vestibule_plugin::Monotonic;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// Time between probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Values in, values out: the time is the caller's.
#[derive(Debug, Default)]
pub(super) enum Breaker {
    #[default]
    Closed,
    Failing {
        failures: u32,
    },
    Open {
        next_probe: Monotonic,
    },
    /// One that never says what came of it does not hold the next one up.
    Probing {
        next_probe: Monotonic,
    },
}

impl Breaker {
    /// Whether a claim may be asked for.
    pub(super) fn admits(&mut self, now: Monotonic) -> bool {
        match *self {
            Self::Closed | Self::Failing { .. } => true,
            Self::Open { next_probe } | Self::Probing { next_probe } if now < next_probe => false,
            Self::Open { .. } | Self::Probing { .. } => {
                *self = Self::Probing { next_probe: after(now) };
                true
            }
        }
    }

    /// Whether that closed it.
    pub(super) fn succeeded(&mut self) -> bool {
        let held_back = matches!(self, Self::Open { .. } | Self::Probing { .. });
        *self = Self::Closed;
        held_back
    }

    /// Whether that opened it.
    pub(super) fn failed(&mut self, now: Monotonic) -> bool {
        let held_back = matches!(self, Self::Open { .. } | Self::Probing { .. });
        *self = match *self {
            Self::Closed => Self::Failing { failures: 1 },
            Self::Failing { failures } if failures + 1 < FAILURES => Self::Failing { failures: failures + 1 },
            Self::Failing { .. } => Self::Open { next_probe: after(now) },
            Self::Open { next_probe } | Self::Probing { next_probe } => Self::Open { next_probe },
        };
        !held_back && matches!(self, Self::Open { .. })
    }

    pub(super) fn shown(&self) -> Shown {
        match self {
            Self::Closed | Self::Failing { .. } => Shown::Closed,
            Self::Open { .. } => Shown::Open,
            Self::Probing { .. } => Shown::HalfOpen,
        }
    }
}

fn after(now: Monotonic) -> Monotonic {
    Monotonic(now.0.saturating_add(u64::try_from(PROBE_EVERY.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Monotonic {
        Monotonic(ms * MS)
    }

    fn opened_at(ms: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.admits(at(ms)));
            breaker.failed(at(ms));
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 0..FAILURES - 1 {
                breaker.failed(at(0));
            }
            assert_eq!(breaker.shown(), Shown::Closed);
            breaker.succeeded();
        }
        let mut breaker = opened_at(10);
        assert_eq!(breaker.shown(), Shown::Open);
        assert!(!breaker.admits(at(10)));
    }

    #[test]
    fn one_probe_a_second_is_let_through() {
        let mut breaker = opened_at(0);
        assert!(!breaker.admits(at(999)));
        assert!(breaker.admits(at(1000)));
        assert_eq!(breaker.shown(), Shown::HalfOpen);
        assert!(!breaker.admits(at(1000)), "one");
        breaker.failed(at(1500));
        assert_eq!(breaker.shown(), Shown::Open);
        assert!(!breaker.admits(at(1999)));
        assert!(breaker.admits(at(2000)));
        assert!(!breaker.admits(at(2999)), "this one is not heard of again");
        assert!(breaker.admits(at(3000)));
    }

    #[test]
    fn any_success_closes_it() {
        let mut breaker = opened_at(0);
        breaker.succeeded();
        assert!(breaker.admits(at(1)));
        assert_eq!(breaker.shown(), Shown::Closed);
        let mut breaker = opened_at(0);
        assert!(breaker.admits(at(1000)));
        breaker.succeeded();
        assert!(breaker.admits(at(1001)) && breaker.admits(at(1001)));
    }

    #[test]
    fn failures_of_others_do_not_put_the_next_probe_off() {
        let mut breaker = opened_at(0);
        breaker.failed(at(900));
        assert!(breaker.admits(at(1000)));
    }
}
