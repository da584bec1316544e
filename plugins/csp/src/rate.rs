//! How many reports one sender may bring, in this process alone.

use std::collections::HashMap;
use vestibule_plugin::units::Rate;
use vestibule_plugin::{ClientAddress, Monotonic};

/// Senders that are told apart.
pub(crate) const MAX_SENDERS: usize = 10_000;
/// What all others together may bring, in rates of one.
const OTHERS: u64 = 10;
/// Buckets that are empty again are looked for no more often than this.
const SWEEP_NS: u64 = 1_000_000_000;

/// The buckets of all senders. They outlive a reload, so that the rate is theirs and not of whoever takes.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: Rate,
    senders: HashMap<ClientAddress, Bucket>,
    others: Bucket,
    swept: Option<Monotonic>,
}

/// What was taken and has not flowed off: each report adds the window's nanoseconds, each nanosecond takes the quota off.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: u128,
    at: Monotonic,
}

impl Bucket {
    fn drain(&mut self, rate: Rate, now: Monotonic) {
        let off = now.since(self.at).as_nanos().saturating_mul(u128::from(rate.quota));
        *self = Self { level: self.level.saturating_sub(off), at: self.at.max(now) };
    }

    fn take(&mut self, units: u64, rate: Rate, now: Monotonic) -> u64 {
        self.drain(rate, now);
        let unit = rate.window.as_nanos().max(1);
        let room = unit.saturating_mul(u128::from(rate.quota)).saturating_sub(self.level) / unit;
        let taken = room.min(u128::from(units));
        self.level += taken * unit;
        // No more than what was asked for.
        u64::try_from(taken).unwrap_or(units)
    }

    /// Who had used some units has still used as many, but never more than the new quota: else a smaller one would shut
    /// it out for longer than a window.
    fn turn(&mut self, from: Rate, to: Rate, now: Monotonic) {
        self.drain(from, now);
        let (old, new) = (from.window.as_nanos().max(1), to.window.as_nanos().max(1));
        let (whole, part) = (self.level / old, self.level % old);
        let level = whole.saturating_mul(new).saturating_add(part.saturating_mul(new) / old);
        self.level = level.min(new.saturating_mul(u128::from(to.quota)));
    }
}

/// What all beyond [`MAX_SENDERS`] may bring together.
fn of_others(rate: Rate) -> Rate {
    Rate { quota: rate.quota.saturating_mul(OTHERS), ..rate }
}

impl Rates {
    /// Nobody has brought anything yet.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, senders: HashMap::new(), others: Bucket::default(), swept: None }
    }

    /// Goes on with another rate: a walk over all buckets, once a reload.
    pub(crate) fn turn_to(&mut self, rate: Rate, now: Monotonic) {
        let before = std::mem::replace(&mut self.rate, rate);
        if before == rate {
            return;
        }
        for bucket in self.senders.values_mut() {
            bucket.turn(before, rate, now);
        }
        self.others.turn(of_others(before), of_others(rate), now);
    }

    /// Takes up to this many units for a sender; how many it gets.
    pub(crate) fn take(&mut self, sender: ClientAddress, units: u64, now: Monotonic) -> u64 {
        let rate = self.rate;
        if let Some(bucket) = self.senders.get_mut(&sender) {
            return bucket.take(units, rate, now);
        }
        if self.senders.len() >= MAX_SENDERS {
            self.sweep(now);
        }
        if self.senders.len() >= MAX_SENDERS {
            return self.others.take(units, of_others(rate), now);
        }
        self.senders.entry(sender).or_default().take(units, rate, now)
    }

    /// Forgets those who could take a whole quota again.
    fn sweep(&mut self, now: Monotonic) {
        if self.swept.is_some_and(|swept| now.since(swept).as_nanos() < u128::from(SWEEP_NS)) {
            return;
        }
        self.swept = Some(now);
        let rate = self.rate;
        self.senders.retain(|_, bucket| {
            bucket.drain(rate, now);
            bucket.level > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    fn sender(number: u32) -> ClientAddress {
        ClientAddress::of(IpAddr::V4(Ipv4Addr::from(number)), 64)
    }

    /// CSP-17, the arithmetic.
    #[test]
    fn a_sender_gets_its_quota_at_once_and_then_its_rate() {
        let mut rates = Rates::new(rate("300/min"));
        let taken: u64 = (0..400).map(|n| rates.take(sender(1), 1, Monotonic(n * SECOND / 400))).sum();
        assert!((300..=306).contains(&taken), "{taken}");
        assert_eq!(rates.take(sender(2), 20, Monotonic(SECOND)), 20, "another one is not affected");
        assert_eq!(rates.take(sender(1), 400, Monotonic(61 * SECOND)), 300);
        assert_eq!(rates.take(sender(1), 1, Monotonic(61 * SECOND)), 0);
        assert_eq!(rates.take(sender(1), 5, Monotonic(62 * SECOND)), 5);
    }

    #[test]
    fn beyond_ten_thousand_all_share_one_bucket() {
        let mut rates = Rates::new(rate("10/min"));
        for number in 0..10_000 {
            assert_eq!(rates.take(sender(number), 1, Monotonic(0)), 1);
        }
        let others: u64 = (10_000..10_200).map(|number| rates.take(sender(number), 1, Monotonic(1))).sum();
        assert_eq!((others, rates.senders.len()), (100, MAX_SENDERS));
        assert_eq!(rates.take(sender(7), 9, Monotonic(1)), 9, "who is known has its own");
        // Half a minute later all but that one have theirs back.
        assert_eq!(rates.take(sender(20_000), 10, Monotonic(30 * SECOND)), 10);
        assert_eq!(rates.senders.len(), 2);
    }

    #[test]
    fn no_rate_is_beyond_the_arithmetic() {
        let most = Rate { quota: u64::MAX, window: Duration::MAX };
        let mut rates = Rates::new(most);
        for n in [0, 1, u64::MAX, 5] {
            assert_eq!(rates.take(sender(1), 100, Monotonic(n)), 100);
        }
        for other in [rate("1/s"), most, rate("300/min")] {
            rates.turn_to(other, Monotonic(5));
            rates.take(sender(1), 1, Monotonic(5));
        }
    }

    #[test]
    fn who_had_used_some_units_has_used_as_many_under_another_rate() {
        for (before, used, after, left) in [
            ("300/min", 100, "300/h", 200),
            ("300/h", 100, "300/min", 200),
            ("300/h", 300, "3000/s", 2700),
            ("300/min", 0, "10/s", 10),
            ("300/min", 300, "300/min", 0),
        ] {
            let mut rates = Rates::new(rate(before));
            assert_eq!(rates.take(sender(1), used, Monotonic(0)), used);
            rates.turn_to(rate(after), Monotonic(0));
            assert_eq!(rates.take(sender(1), 10_000, Monotonic(0)), left, "{before} {used} {after}");
        }
    }

    #[test]
    fn a_smaller_quota_shuts_nobody_out_for_longer_than_its_window() {
        let mut rates = Rates::new(rate("300/min"));
        rates.take(sender(1), 300, Monotonic(0));
        // What had flowed off by then did so at the rate of the time.
        rates.turn_to(rate("10/min"), Monotonic(30 * SECOND));
        assert_eq!(rates.take(sender(1), 1, Monotonic(30 * SECOND)), 0);
        assert_eq!(rates.take(sender(1), 20, Monotonic(90 * SECOND)), 10);
    }

    #[test]
    fn the_bucket_of_all_others_turns_to_another_rate_too() {
        let mut rates = Rates::new(rate("10/min"));
        for number in 0..10_000 {
            rates.take(sender(number), 1, Monotonic(0));
        }
        assert_eq!(rates.take(sender(20_000), 60, Monotonic(0)), 60);
        rates.turn_to(rate("10/h"), Monotonic(0));
        assert_eq!(rates.take(sender(20_000), 60, Monotonic(0)), 40);
    }
}
