//! Shares of a bounded store: what each principal and each client address uses of it, so that nobody fills it for all.
//!
//! A share binds only while the store is scarce; what is used is counted all the time, in constant time and in as many
//! accounts as there are records at most.

use super::{Account, Bound, Payer};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Accounts are keyed hashes, so their low bits spread them.
const SHARDS: usize = 64;

/// One principal may use this part of a scarce store.
const PRINCIPAL_PART: u64 = 16;

/// All principals of one client address may use this part of it together.
const ADDRESS_PART: u64 = 8;

/// What is used, by whom.
#[derive(Default)]
pub(super) struct Shares {
    principals: Accounts,
    addresses: Accounts,
}

/// Most bytes that one of a kind may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    principal: u64,
    address: u64,
}

impl Shares {
    /// Those of a store of `max` bytes. Whoever has nothing yet may have one record of `least` bytes, however small the
    /// store is.
    pub(super) fn limits(max: u64, least: u64) -> Limits {
        Limits { principal: (max / PRINCIPAL_PART).max(least), address: (max / ADDRESS_PART).max(least) }
    }

    /// Charges `more` bytes to both accounts of a payer, or to none when that is over one of the `limits`.
    pub(super) fn take(&self, payer: Payer, more: u64, limits: Option<Limits>) -> Result<(), Bound> {
        let principal = limits.map(|limits| limits.principal);
        if !self.principals.take(payer.principal, more, principal) {
            return Err(Bound::Principal);
        }

        let address = limits.map(|limits| limits.address);
        if !self.addresses.take(payer.address, more, address) {
            self.principals.give_back(payer.principal, more);
            return Err(Bound::Address);
        }
        Ok(())
    }

    /// Takes `less` bytes off both accounts.
    pub(super) fn give_back(&self, payer: Payer, less: u64) {
        self.principals.give_back(payer.principal, less);
        self.addresses.give_back(payer.address, less);
    }

    /// Frees the memory of accounts that are gone.
    pub(super) fn shrink(&self) {
        for shard in self.principals.0.iter().chain(&self.addresses.0) {
            let mut shard = shard.lock();
            let wanted = shard.len() * 2;
            if shard.capacity() > wanted * 2 {
                shard.shrink_to(wanted);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn accounts(&self) -> usize {
        self.principals.0.iter().chain(&self.addresses.0).map(|shard| shard.lock().len()).sum()
    }
}

/// Bytes in use, by account; an account that uses none is not there.
struct Accounts(Box<[Mutex<HashMap<Account, u64>>]>);

impl Default for Accounts {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Accounts {
    fn shard(&self, account: Account) -> &Mutex<HashMap<Account, u64>> {
        &self.0[(account.0.get() % SHARDS as u64) as usize]
    }

    /// Whether that is within `limit`; else nothing is charged. Nothing more is within any.
    fn take(&self, account: Option<Account>, more: u64, limit: Option<u64>) -> bool {
        let Some(account) = account.filter(|_| more > 0) else { return true };
        let mut shard = self.shard(account).lock();
        let used = shard.get(&account).copied().unwrap_or(0).saturating_add(more);
        if limit.is_some_and(|limit| used > limit) {
            return false;
        }

        shard.insert(account, used);
        true
    }

    fn give_back(&self, account: Option<Account>, less: u64) {
        let Some(account) = account.filter(|_| less > 0) else { return };
        let mut shard = self.shard(account).lock();
        if let Some(used) = shard.get_mut(&account) {
            *used = used.saturating_sub(less);
            if *used == 0 {
                shard.remove(&account);
            }
        }
    }
}
