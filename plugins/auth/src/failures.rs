//! How many bad credentials one address may present.

use std::time::Duration;
use vestibule_plugin::{ClientAddress, Monotonic};
use vestibule_store::quotas::gcra::Gcra;
use vestibule_store::quotas::{AddressDebts, Limit};

/// Debts of addresses, in this process.
pub(crate) struct Failures {
    pace: Gcra,
    debts: AddressDebts,
}

impl Failures {
    /// None owes anything.
    pub(crate) fn new(limit: &Limit) -> Self {
        Self { pace: Gcra::of(limit), debts: AddressDebts::default() }
    }

    /// Charges an address for one bad credential before it is known to be one; `Err`: how long until it may try again.
    pub(crate) fn take(&self, address: ClientAddress, now: Monotonic) -> Result<(), Duration> {
        self.debts.take(self.pace, address, now)
    }

    /// Gives back what was taken: the credential was good.
    pub(crate) fn give_back(&self, address: ClientAddress, now: Monotonic) {
        self.debts.give_back(self.pace, address, now);
    }
}
