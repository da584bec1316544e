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

/// The buckets of all senders.
#[derive(Debug, Default)]
pub(crate) struct Rates {
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
}

impl Rates {
    /// Takes up to this many units for a sender; how many it gets.
    pub(crate) fn take(&mut self, sender: ClientAddress, units: u64, rate: Rate, now: Monotonic) -> u64 {
        if let Some(bucket) = self.senders.get_mut(&sender) {
            return bucket.take(units, rate, now);
        }
        if self.senders.len() >= MAX_SENDERS {
            self.sweep(rate, now);
        }
        if self.senders.len() >= MAX_SENDERS {
            let rate = Rate { quota: rate.quota.saturating_mul(OTHERS), ..rate };
            return self.others.take(units, rate, now);
        }
        self.senders.entry(sender).or_default().take(units, rate, now)
    }

    /// Forgets those who could take a whole quota again.
    fn sweep(&mut self, rate: Rate, now: Monotonic) {
        if self.swept.is_some_and(|swept| now.since(swept).as_nanos() < u128::from(SWEEP_NS)) {
            return;
        }
        self.swept = Some(now);
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
        let (mut rates, rate) = (Rates::default(), rate("300/min"));
        let taken: u64 = (0..400).map(|n| rates.take(sender(1), 1, rate, Monotonic(n * SECOND / 400))).sum();
        assert!((300..=306).contains(&taken), "{taken}");
        assert_eq!(rates.take(sender(2), 20, rate, Monotonic(SECOND)), 20, "another one is not affected");
        assert_eq!(rates.take(sender(1), 400, rate, Monotonic(61 * SECOND)), 300);
        assert_eq!(rates.take(sender(1), 1, rate, Monotonic(61 * SECOND)), 0);
        assert_eq!(rates.take(sender(1), 5, rate, Monotonic(62 * SECOND)), 5);
    }

    #[test]
    fn beyond_ten_thousand_all_share_one_bucket() {
        let (mut rates, rate) = (Rates::default(), rate("10/min"));
        for number in 0..10_000 {
            assert_eq!(rates.take(sender(number), 1, rate, Monotonic(0)), 1);
        }
        let others: u64 = (10_000..10_200).map(|number| rates.take(sender(number), 1, rate, Monotonic(1))).sum();
        assert_eq!((others, rates.senders.len()), (100, MAX_SENDERS));
        assert_eq!(rates.take(sender(7), 9, rate, Monotonic(1)), 9, "who is known has its own");
        // Half a minute later all but that one have theirs back.
        assert_eq!(rates.take(sender(20_000), 10, rate, Monotonic(30 * SECOND)), 10);
        assert_eq!(rates.senders.len(), 2);
    }

    #[test]
    fn no_rate_is_beyond_the_arithmetic() {
        let rate = Rate { quota: u64::MAX, window: Duration::MAX };
        let mut rates = Rates::default();
        for n in [0, 1, u64::MAX, 5] {
            assert_eq!(rates.take(sender(1), 100, rate, Monotonic(n)), 100);
        }
    }
}
