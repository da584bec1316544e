//! How often client addresses do what costs the proxy more than the client, in this process.
//!
//! A debt is kept for each pace and address, so that a debt under one limit is none under another.

use super::gcra::{Decision, Gcra};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use vestibule_plugin::{ClientAddress, Monotonic};

/// Most debts; those that find no room share one bucket.
const MAX_DEBTS: usize = 100_000;

/// How often a full table is looked through.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Debts of addresses.
#[derive(Default)]
pub struct AddressDebts(Mutex<Debts>);

#[derive(Default)]
struct Debts {
    /// When a debt is paid, by what one unit weighs and who owes it.
    paid: HashMap<(u64, ClientAddress), Monotonic>,
    shared: Monotonic,
    /// When debts were last looked through for those that are paid.
    cleared: Monotonic,
}

impl AddressDebts {
    /// Charges an address for one unit at this pace.
    ///
    /// # Errors
    ///
    /// How long until it may try again, when it owes too much.
    pub fn take(&self, pace: Gcra, address: ClientAddress, now: Monotonic) -> Result<(), Duration> {
        let mut debts = self.0.lock();
        let paid = debts.of(pace, address, now);
        match pace.decide(paid.0.saturating_sub(now.0), 1) {
            Decision::Admit { debt_ns, .. } => {
                *paid = Monotonic(now.0.saturating_add(debt_ns));
                Ok(())
            }
            Decision::Refuse { wait_ns, .. } => Err(Duration::from_nanos(wait_ns)),
        }
    }

    /// Gives back what was taken.
    pub fn give_back(&self, pace: Gcra, address: ClientAddress, now: Monotonic) {
        let mut debts = self.0.lock();
        let paid = debts.of(pace, address, now);
        *paid = Monotonic(paid.0.saturating_sub(pace.emission_ns));
        if *paid <= now {
            debts.paid.remove(&(pace.emission_ns, address));
        }
    }
}

impl Debts {
    fn of(&mut self, pace: Gcra, address: ClientAddress, now: Monotonic) -> &mut Monotonic {
        let key = (pace.emission_ns, address);
        if self.paid.len() >= MAX_DEBTS && !self.paid.contains_key(&key) {
            if now.since(self.cleared) >= CLEAR_EVERY {
                self.cleared = now;
                self.paid.retain(|_, paid| *paid > now);
            }
            if self.paid.len() >= MAX_DEBTS {
                return &mut self.shared;
            }
        }
        self.paid.entry(key).or_insert(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::{Algorithm, Limit, OnStoreError, Sharing, Terms};

    const SECOND: u64 = 1_000_000_000;

    fn a_minute(quota: u64) -> Gcra {
        let limit = Limit::new(&Terms {
            name: "auth-failures",
            key: "address",
            algorithm: Algorithm::Gcra,
            quota,
            window: Duration::from_secs(60),
            burst: quota,
            sharing: Sharing::Local,
            on_store_error: OnStoreError::LocalShare,
        });
        Gcra::of(&limit.expect("a limit"))
    }

    fn address(n: u32) -> ClientAddress {
        ClientAddress::of(std::net::Ipv4Addr::from(n).into(), 64)
    }

    #[test]
    fn what_was_good_costs_nothing_and_what_was_bad_is_paid_off_in_time() {
        let (debts, pace, now) = (AddressDebts::default(), a_minute(10), Monotonic(SECOND));
        for _ in 0..1000 {
            assert!(debts.take(pace, address(1), now).is_ok());
            debts.give_back(pace, address(1), now);
        }
        assert!((0..10).all(|_| debts.take(pace, address(1), now).is_ok()));
        assert_eq!(debts.take(pace, address(1), now), Err(Duration::from_secs(6)));
        assert!(debts.take(pace, address(2), now).is_ok(), "another address");
        assert!(debts.take(a_minute(20), address(1), now).is_ok(), "another limit");
        assert!(debts.take(pace, address(1), Monotonic(7 * SECOND)).is_ok());
        assert!(debts.take(pace, address(1), Monotonic(7 * SECOND)).is_err());
    }

    #[test]
    fn addresses_without_room_share_a_bucket_until_others_have_paid() {
        let (debts, pace, now) = (AddressDebts::default(), a_minute(10), Monotonic(SECOND));
        for n in 0..u32::try_from(MAX_DEBTS).expect("few") {
            assert!(debts.take(pace, address(n), now).is_ok());
        }
        let strangers = (1 << 24)..(1 << 24) + 20;
        assert_eq!(strangers.filter(|n| debts.take(pace, address(*n), now).is_ok()).count(), 10);
        assert!(debts.take(pace, address(1 << 25), Monotonic(100 * SECOND)).is_ok(), "all have paid");
        assert_eq!(debts.0.lock().paid.len(), 1);
    }
}
