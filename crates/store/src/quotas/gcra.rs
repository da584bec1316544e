//! The generic cell rate algorithm: a bucket is one number, the debt in nanoseconds, which drains as time passes.
//!
//! In any window of `T` at most `burst + floor(T / emission)` units are admitted. Values in, values out; integers only.

use super::{Left, Limit};

/// The pace of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gcra {
    /// Nanoseconds of debt that one unit weighs.
    pub emission_ns: u64,
    /// Nanoseconds of debt that are carried at most.
    pub tolerance_ns: u64,
}

/// What is decided about `cost` units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// They are admitted.
    Admit {
        /// Debt from now on.
        debt_ns: u64,
        /// What is left.
        left: Left,
    },
    /// They are refused; the debt stays as it is.
    Refuse {
        /// Units left, fewer than were asked for.
        remaining: u64,
        /// Until they would be admitted.
        wait_ns: u64,
    },
}

impl Gcra {
    /// The pace of `limit`.
    pub fn of(limit: &Limit) -> Self {
        Self { emission_ns: limit.emission_ns(), tolerance_ns: limit.tolerance_ns() }
    }

    /// Decides on `cost` units for a bucket that owes `debt_ns` by now.
    ///
    /// Debt above the tolerance, left over from a larger limit, counts as the tolerance.
    pub fn decide(self, debt_ns: u64, cost: u64) -> Decision {
        let debt_ns = debt_ns.min(self.tolerance_ns);
        let need_ns = self.emission_ns.saturating_mul(cost);
        let room_ns = self.tolerance_ns - debt_ns;
        if need_ns <= room_ns {
            Decision::Admit { debt_ns: debt_ns + need_ns, left: self.left(room_ns - need_ns) }
        } else {
            Decision::Refuse { remaining: room_ns / self.emission_ns, wait_ns: need_ns - room_ns }
        }
    }

    fn left(self, room_ns: u64) -> Left {
        let next_ns = if room_ns == self.tolerance_ns { 0 } else { self.emission_ns - room_ns % self.emission_ns };
        Left { remaining: room_ns / self.emission_ns, next_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Gcra = Gcra { emission_ns: 6_000_000_000, tolerance_ns: 60_000_000_000 };

    #[test]
    fn a_full_bucket_admits_its_burst_and_then_one_unit_an_emission() {
        let mut debt = 0;
        for left in (0..10).rev() {
            let Decision::Admit { debt_ns, left: got } = MINUTE.decide(debt, 1) else { panic!("refused at {left}") };
            assert_eq!(got, Left { remaining: left, next_ns: 6_000_000_000 });
            debt = debt_ns;
        }
        assert_eq!(MINUTE.decide(debt, 1), Decision::Refuse { remaining: 0, wait_ns: 6_000_000_000 });
        assert_eq!(MINUTE.decide(debt, 5), Decision::Refuse { remaining: 0, wait_ns: 30_000_000_000 });
        assert!(matches!(MINUTE.decide(debt - 6_000_000_000, 1), Decision::Admit { .. }));
    }

    #[test]
    fn nothing_asked_is_never_refused_and_owes_nothing() {
        let empty = Decision::Admit { debt_ns: 60_000_000_000, left: Left { remaining: 0, next_ns: 6_000_000_000 } };
        assert_eq!(MINUTE.decide(60_000_000_000, 0), empty);
        assert_eq!(MINUTE.decide(u64::MAX, 0), empty);
    }

    proptest! {
        /// At most `B + floor(T / em)` units in any window of `T`, whatever is asked when.
        #[test]
        fn no_window_admits_more_than_the_bound(
            emission_ns in 1_000_u64..1_000_000,
            burst in 1_u64..50,
            asked in prop::collection::vec((0_u64..3_000_000, 0_u64..4), 1..200),
        ) {
            let pace = Gcra { emission_ns, tolerance_ns: emission_ns * burst };
            let (mut now, mut due) = (0_u64, 0_u64);
            let mut admitted: Vec<(u64, u64)> = Vec::new();
            for (gap, cost) in asked {
                now += gap;
                match pace.decide(due.saturating_sub(now), cost) {
                    Decision::Admit { debt_ns, left } => {
                        prop_assert!(left.remaining <= burst);
                        due = now + debt_ns;
                        admitted.push((now, cost));
                    }
                    Decision::Refuse { remaining, wait_ns } => {
                        prop_assert!(remaining < cost);
                        prop_assert!(wait_ns > 0);
                        if cost <= burst {
                            let later = due.saturating_sub(now + wait_ns);
                            let admits = matches!(pace.decide(later, cost), Decision::Admit { .. });
                            prop_assert!(admits, "the wait is long enough");
                            let early = due.saturating_sub(now + wait_ns - 1);
                            let refuses = matches!(pace.decide(early, cost), Decision::Refuse { .. });
                            prop_assert!(refuses, "and no longer than that");
                        }
                    }
                }
            }
            for (i, (start, _)) in admitted.iter().enumerate() {
                let mut units = 0;
                for (end, cost) in &admitted[i..] {
                    units += cost;
                    prop_assert!(units <= burst + (end - start) / emission_ns);
                }
            }
        }
    }
}
