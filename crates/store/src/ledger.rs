//! Records as one process uses them: the store, who executes here, and who waits here.

mod lobby;

pub use lobby::{Entry, Follower, Lead, News};

use crate::Records;
use crate::quotas::AddressDebts;
use lobby::Lobby;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records, executions and waiting callers of this process. It outlives a reload: an execution ends under the
/// configuration it began with, and those who come later wait for it all the same.
pub struct Ledger {
    records: Arc<dyn Records>,
    executing: Arc<AtomicUsize>,
    owed: Arc<AtomicUsize>,
    lobby: Lobby,
    claims: AddressDebts,
}

impl Ledger {
    /// On this store, with nobody executing or waiting.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self {
            records,
            executing: Arc::default(),
            owed: Arc::default(),
            lobby: Lobby::default(),
            claims: AddressDebts::default(),
        }
    }

    /// The store.
    pub fn records(&self) -> &Arc<dyn Records> {
        &self.records
    }

    /// Who waits here.
    pub fn lobby(&self) -> &Lobby {
        &self.lobby
    }

    /// What client addresses owe for new claims.
    pub fn claims(&self) -> &AddressDebts {
        &self.claims
    }

    /// A place among the executions of this process; `None` when `most` are taken.
    pub fn sit_down(&self, most: usize) -> Option<Seat> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.executing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Seat(Arc::clone(&self.executing)))
    }

    /// Something is still to be written that nobody waits for, until what this gives is dropped.
    pub fn owe(&self) -> Owed {
        self.owed.fetch_add(1, Ordering::Relaxed);
        Owed(Arc::clone(&self.owed))
    }

    /// How much of that there is: a process that stops should wait for it.
    pub fn owed(&self) -> usize {
        self.owed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({} executing)", self.executing.load(Ordering::Relaxed))
    }
}

/// What is still to be written.
#[derive(Debug)]
pub struct Owed(Arc<AtomicUsize>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place among the executions of this process; free again when dropped.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
