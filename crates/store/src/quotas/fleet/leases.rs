//! The table of leases: what this process knows of shared buckets, 64 bytes each, in a fixed number of places.
//!
//! A bucket that finds no place is asked for each time. One that loses its place is asked for again.

use super::lease::Lease;
use crate::quotas::slots::{Seat, Slots};
use crate::quotas::table::{Area, Table};
use crate::quotas::{Algorithm, Outage};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Leases there is room for until it is said how many are wanted.
const INITIAL: usize = 1_024;

pub(super) struct Leases {
    table: ArcSwap<Table>,
    resizing: Mutex<()>,
    held: AtomicU64,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(INITIAL).expect("3 MiB of address space, at start")),
            resizing: Mutex::new(()),
            held: AtomicU64::new(0),
        }
    }
}

impl Leases {
    /// Makes room for `keys`.
    pub(super) fn reserve(&self, keys: usize, now: u64) -> Result<(), Outage> {
        let _alone = self.resizing.lock();
        let old = self.table.load();
        if old.capacity() != keys {
            let table = Table::new(keys).map_err(|error| Outage(format!("no memory for {keys} keys: {error}")))?;
            let new = Arc::new(table);
            let moved = old.move_into(&new, now, || self.table.store(Arc::clone(&new)));
            self.held.store(moved, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Buckets in the table.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Runs `change` on what is known of a bucket, which is nothing when there is no place for it.
    pub(super) fn with<T>(&self, bucket: u128, now: u64, change: impl FnOnce(&mut Lease) -> T) -> T {
        loop {
            let table = self.table.load();
            let mut slots = table.lock(table.region(Area::Own(Algorithm::Gcra), bucket));
            if !slots.retired {
                return self.in_slot(&mut slots, bucket, now, change);
            }
        }
    }

    fn in_slot<T>(&self, slots: &mut Slots, bucket: u128, now: u64, change: impl FnOnce(&mut Lease) -> T) -> T {
        let (at, mut lease) = match slots.seat(bucket, now, &[]) {
            Seat::Held(at) => (at, Lease::from_words(slots.lease(at))),
            Seat::Vacant(at) => {
                let was_free = slots.settle(at, bucket, 0);
                self.held.fetch_add(u64::from(was_free), Ordering::Relaxed);
                (at, Lease::default())
            }
            Seat::Full => return change(&mut Lease::default()),
        };
        let done = change(&mut lease);
        slots.set_lease(at, lease.words());
        done
    }

    /// What is known of a bucket, if anything is.
    pub(super) fn get(&self, bucket: u128, now: u64) -> Lease {
        let table = self.table.load();
        let slots = table.lock(table.region(Area::Own(Algorithm::Gcra), bucket));
        match slots.seat(bucket, now, &[]) {
            Seat::Held(at) => Lease::from_words(slots.lease(at)),
            Seat::Vacant(_) | Seat::Full => Lease::default(),
        }
    }
}
