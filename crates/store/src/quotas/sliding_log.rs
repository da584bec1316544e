//! The sliding log: the times of the last units, so that no window ever holds more than the quota.
//!
//! A unit exactly one window old no longer counts. Refusals are not recorded. Values in, values out.

use super::gcra::Decision;
use super::{Left, Limit};

/// Most units a log holds.
pub const MAX_LOG: usize = 64;

/// A log as it is kept: how many units were ever written, then a ring of their stamps, which never go back.
pub type Words = [u64; 1 + MAX_LOG];

/// A log without units.
pub const EMPTY: Words = [0; 1 + MAX_LOG];

/// The limit of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlidingLog {
    /// Units a window; at most [`MAX_LOG`].
    pub quota: u64,
    /// The window.
    pub window_ns: u64,
}

impl SlidingLog {
    /// The limit of `limit`.
    pub fn of(limit: &Limit) -> Self {
        Self { quota: limit.quota(), window_ns: limit.window_ns() }
    }

    /// Decides on `cost` units at `now`. `Admit::debt_ns` is the time until the log would be empty.
    pub fn decide(self, log: &Words, now: u64, cost: u64) -> Decision {
        let young = (1..=MAX_LOG as u64).take_while(|k| self.lasts(log, *k, now).is_some()).count() as u64;
        // Fewer than none are free when the log was written under a larger quota.
        let free = self.quota.saturating_sub(young);
        if cost > free {
            let blocking = (self.quota + 1).saturating_sub(cost);
            return Decision::Refuse {
                remaining: free,
                wait_ns: self.lasts(log, blocking, now).unwrap_or(self.window_ns),
            };
        }
        let remaining = free - cost;
        // One more is free once the oldest unit that counts no longer does; those admitted now last a window.
        let next_ns = match self.quota - remaining {
            0 => 0,
            used => self.lasts(log, used - cost, now).unwrap_or(self.window_ns),
        };
        let debt_ns = if cost > 0 { self.window_ns } else { self.lasts(log, 1, now).unwrap_or(0) };
        Decision::Admit { debt_ns, left: Left { remaining, next_ns } }
    }

    /// How long the `k`-th newest unit still counts; `None` when it does not.
    fn lasts(self, log: &Words, k: u64, now: u64) -> Option<u64> {
        let age = now.saturating_sub(newest(log, k)?);
        (age < self.window_ns).then(|| self.window_ns - age)
    }
}

/// Writes `units` admitted at `now`. A stamp is never before the one in front of it, so that a caller who read the
/// clock before it had the lock cannot shorten a window.
pub fn write(log: &mut Words, now: u64, units: u64) {
    let stamp = newest(log, 1).unwrap_or(0).max(now);
    for _ in 0..units.min(MAX_LOG as u64) {
        log[place(log[0])] = stamp;
        log[0] += 1;
    }
}

/// Stamp of the `k`-th newest unit, from 1; `None` when there is none, or no longer.
fn newest(log: &Words, k: u64) -> Option<u64> {
    (1..=log[0].min(MAX_LOG as u64)).contains(&k).then(|| log[place(log[0] - k)])
}

/// Where unit `n` is.
fn place(n: u64) -> usize {
    1 + (n % MAX_LOG as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn ask(limit: SlidingLog, log: &mut Words, now: u64, cost: u64) -> Decision {
        let decision = limit.decide(log, now, cost);
        if matches!(decision, Decision::Admit { .. }) {
            write(log, now, cost);
        }
        decision
    }

    /// RL-13: `3/4s` at 0, 1, 2 s, then every 100 ms.
    #[test]
    fn a_unit_one_window_old_no_longer_counts() {
        let limit = SlidingLog { quota: 3, window_ns: 4 * SECOND };
        let mut log = EMPTY;
        for (second, remaining) in [(0, 2), (1, 1), (2, 0)] {
            let Decision::Admit { left, .. } = ask(limit, &mut log, second * SECOND, 1) else { panic!("at {second}") };
            assert_eq!(left, Left { remaining, next_ns: (4 - second) * SECOND });
        }
        for tenth in 21..40 {
            let Decision::Refuse { remaining: 0, wait_ns } = ask(limit, &mut log, tenth * SECOND / 10, 1) else {
                panic!("admitted at {tenth}")
            };
            assert_eq!(wait_ns, 4 * SECOND - tenth * SECOND / 10);
        }
        assert!(matches!(ask(limit, &mut log, 4 * SECOND, 1), Decision::Admit { .. }));
    }

    #[test]
    fn a_smaller_quota_finds_an_overfull_log_and_waits_for_it() {
        let mut log = EMPTY;
        for second in 0..10 {
            write(&mut log, second * SECOND, 1);
        }
        let smaller = SlidingLog { quota: 2, window_ns: 60 * SECOND };
        // The newest but one, of 8 s, must be gone before a second unit fits.
        assert_eq!(smaller.decide(&log, 10 * SECOND, 1), Decision::Refuse { remaining: 0, wait_ns: 58 * SECOND });
        assert!(matches!(smaller.decide(&log, 68 * SECOND, 1), Decision::Admit { .. }));
        let Decision::Admit { left, .. } = smaller.decide(&log, 10 * SECOND, 0) else { panic!("nothing was asked") };
        assert_eq!(left, Left { remaining: 0, next_ns: 58 * SECOND });
    }

    proptest! {
        #[test]
        fn no_half_open_window_holds_more_than_the_quota(
            quota in 1_u64..=64,
            window_ns in 1_u64..2_000,
            asked in prop::collection::vec((0_u64..100, 0_u64..5), 1..400),
        ) {
            let limit = SlidingLog { quota, window_ns };
            let mut log = EMPTY;
            let mut now = 0;
            let mut admitted: Vec<(u64, u64)> = Vec::new();
            for (gap, cost) in asked {
                now += gap;
                match limit.decide(&log, now, cost) {
                    Decision::Admit { left, .. } => {
                        write(&mut log, now, cost);
                        admitted.push((now, cost));
                        let young: u64 =
                            admitted.iter().filter(|(at, _)| now - at < window_ns).map(|(_, units)| units).sum();
                        prop_assert!(young <= quota);
                        prop_assert_eq!(left.remaining, quota - young);
                    }
                    Decision::Refuse { wait_ns, remaining } => {
                        prop_assert!(remaining < cost);
                        if cost <= quota {
                            let later = limit.decide(&log, now + wait_ns, cost);
                            let admits = matches!(later, Decision::Admit { .. });
                            prop_assert!(admits, "the wait is long enough");
                            let early = limit.decide(&log, now + wait_ns - 1, cost);
                            let refuses = matches!(early, Decision::Refuse { .. });
                            prop_assert!(refuses, "and no longer than that");
                        }
                    }
                }
            }
        }
    }
}
