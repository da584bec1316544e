//! How many bad credentials one address may present.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use vestibule_plugin::{ClientAddress, Monotonic};
use vestibule_store::quotas::gcra::Gcra;
use vestibule_store::quotas::{Decision, Limit};

/// Most addresses with a debt; those that find no room share one bucket.
const MAX_ADDRESSES: usize = 100_000;

/// How often a full table is looked through.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Debts of addresses, in this process.
pub(crate) struct Failures {
    pace: Gcra,
    debts: Mutex<Debts>,
}

#[derive(Default)]
struct Debts {
    /// When a debt is paid.
    paid: HashMap<ClientAddress, Monotonic>,
    shared: Monotonic,
    /// When debts were last looked through for those that are paid.
    cleared: Monotonic,
}

impl Failures {
    /// None owes anything.
    pub(crate) fn new(limit: &Limit) -> Self {
        Self { pace: Gcra::of(limit), debts: Mutex::default() }
    }

    /// Charges an address for one bad credential before it is known to be one; `Err`: how long until it may try again.
    pub(crate) fn take(&self, address: ClientAddress, now: Monotonic) -> Result<(), Duration> {
        let mut debts = self.debts.lock();
        let paid = debts.of(address, now);
        match self.pace.decide(paid.0.saturating_sub(now.0), 1) {
            Decision::Admit { debt_ns, .. } => {
                *paid = Monotonic(now.0.saturating_add(debt_ns));
                Ok(())
            }
            Decision::Refuse { wait_ns, .. } => Err(Duration::from_nanos(wait_ns)),
        }
    }

    /// Gives back what was taken: the credential was good.
    pub(crate) fn give_back(&self, address: ClientAddress, now: Monotonic) {
        let mut debts = self.debts.lock();
        let paid = debts.of(address, now);
        *paid = Monotonic(paid.0.saturating_sub(self.pace.emission_ns));
        if *paid <= now {
            debts.paid.remove(&address);
        }
    }
}

impl Debts {
    fn of(&mut self, address: ClientAddress, now: Monotonic) -> &mut Monotonic {
        if self.paid.len() >= MAX_ADDRESSES && !self.paid.contains_key(&address) {
            if now.since(self.cleared) >= CLEAR_EVERY {
                self.cleared = now;
                self.paid.retain(|_, paid| *paid > now);
            }
            if self.paid.len() >= MAX_ADDRESSES {
                return &mut self.shared;
            }
        }
        self.paid.entry(address).or_insert(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_store::quotas::{Algorithm, OnStoreError, Sharing, Terms};

    const SECOND: u64 = 1_000_000_000;

    fn ten_a_minute() -> Failures {
        let limit = Limit::new(&Terms {
            name: "auth-failures",
            key: "address",
            algorithm: Algorithm::Gcra,
            quota: 10,
            window: Duration::from_secs(60),
            burst: 10,
            sharing: Sharing::Local,
            on_store_error: OnStoreError::LocalShare,
        });
        Failures::new(&limit.expect("a limit"))
    }

    fn address(n: u32) -> ClientAddress {
        ClientAddress::of(std::net::Ipv4Addr::from(n).into(), 64)
    }

    #[test]
    fn what_was_good_costs_nothing_and_what_was_bad_is_paid_off_in_time() {
        let (failures, now) = (ten_a_minute(), Monotonic(SECOND));
        for _ in 0..1000 {
            assert!(failures.take(address(1), now).is_ok());
            failures.give_back(address(1), now);
        }
        assert!((0..10).all(|_| failures.take(address(1), now).is_ok()));
        assert_eq!(failures.take(address(1), now), Err(Duration::from_secs(6)));
        assert!(failures.take(address(2), now).is_ok(), "another address");
        assert!(failures.take(address(1), Monotonic(7 * SECOND)).is_ok());
        assert!(failures.take(address(1), Monotonic(7 * SECOND)).is_err());
    }

    #[test]
    fn addresses_without_room_share_a_bucket_until_others_have_paid() {
        let (failures, now) = (ten_a_minute(), Monotonic(SECOND));
        for n in 0..u32::try_from(MAX_ADDRESSES).expect("few") {
            assert!(failures.take(address(n), now).is_ok());
        }
        let strangers = (1 << 24)..(1 << 24) + 20;
        assert_eq!(strangers.filter(|n| failures.take(address(*n), now).is_ok()).count(), 10);
        assert!(failures.take(address(1 << 25), Monotonic(100 * SECOND)).is_ok(), "all have paid");
        assert_eq!(failures.debts.lock().paid.len(), 1);
    }
}
