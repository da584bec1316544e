//! Records of one process.

use super::rules::{self, Change, Record};
use super::shares::Shares;
use super::{
    Begun, Bound, Breaker, Claim, Completed, Forgotten, Hold, Keeping, Live, Name, NotKept, Outage, Outcome, Records,
    Released, Renewed, Standing,
};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vestibule_plugin::meter::Gauge;
use vestibule_plugin::{Clock, Monotonic, Soon};

/// Names are keyed hashes, so their first byte spreads them.
const SHARDS: usize = 64;

/// Bytes a record takes beside its payload: its place in a map that may be half empty, in the order of expiry, and in the
/// accounts of those whose only record it may be.
const RECORD_BYTES: u64 = 448;

/// Expired records that one operation clears away at most, so that none pays for a crowd; a sweep takes them all.
const CLEARED_AT_ONCE: usize = 32;

/// Records that live and die with this process, bounded in bytes, in all and for each of those who use more than half of
/// it. One that has not expired is never given up for another.
pub struct MemoryRecords {
    clock: Arc<dyn Clock>,
    max_bytes: AtomicU64,
    bytes: AtomicU64,
    /// Locked behind a shard, never before one.
    shares: Shares,
    shards: Box<[Mutex<Shard>]>,
    /// Changed only by whoever holds the lock of the shard that changes.
    shown: ArcSwapOption<Gauge>,
}

impl MemoryRecords {
    /// Empty; takes its time from `clock`.
    pub fn new(clock: Arc<dyn Clock>, max_bytes: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            clock,
            max_bytes: AtomicU64::new(max_bytes),
            bytes: AtomicU64::new(0),
            shares: Shares::default(),
            shards,
            shown: ArcSwapOption::empty(),
        }
    }

    /// Changes the bound. What is over a smaller one stays until it expires.
    pub fn bound(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// Does what `rule` says about the record under `name`; [`Outage::Full`] when that needs room there is not.
    fn apply<T>(&self, name: Name, rule: impl Fn(Option<&Record>, Monotonic) -> (T, Change)) -> Result<T, Outage> {
        self.try_apply(name, &rule).or_else(|_| {
            self.sweep();
            self.try_apply(name, &rule).map_err(Outage::Full)
        })
    }

    fn try_apply<T>(&self, name: Name, rule: &impl Fn(Option<&Record>, Monotonic) -> (T, Change)) -> Result<T, Bound> {
        let mut shard = self.shards[usize::from(name.0[0]) % SHARDS].lock();
        let before = shard.records.len();

        let applied = self.try_apply_to(&mut shard, name, rule);

        self.count(before, &shard);
        applied
    }

    fn try_apply_to<T>(
        &self,
        shard: &mut Shard,
        name: Name,
        rule: &impl Fn(Option<&Record>, Monotonic) -> (T, Change),
    ) -> Result<T, Bound> {
        let now = self.clock.now();
        shard.clear(now, CLEARED_AT_ONCE, |record| self.free(record));

        let (answer, change) = rule(shard.get(name).filter(|record| now < record.expires), now);
        match change {
            Change::None => {}
            Change::Delete => {
                if let Some(record) = shard.take(name) {
                    self.free(&record);
                }
            }
            Change::Write(record) => {
                self.make_room(shard.get(name), &record)?;
                shard.put(record);
            }
        }
        Ok(answer)
    }

    /// Takes room for `new`, in the place of `old`; or takes none and says what stands in the way.
    fn make_room(&self, old: Option<&Record>, new: &Record) -> Result<(), Bound> {
        let max = self.max_bytes.load(Ordering::Relaxed);
        let (payer, size) = (new.hold.payer, bytes(new));
        let freed = old.map_or(0, bytes);
        let in_use = self.take_room(size.saturating_sub(freed), max)?;

        // Up to the half of the store nobody is in anybody's way.
        let is_scarce = in_use > max / 2;
        let limits = is_scarce.then(|| Shares::limits(max, RECORD_BYTES));
        let same_payer = old.filter(|old| old.hold.payer == payer).map_or(0, bytes);
        if let Err(bound) = self.shares.take(payer, size.saturating_sub(same_payer), limits) {
            self.give_back(size.saturating_sub(freed));
            return Err(bound);
        }

        self.give_back(freed.saturating_sub(size));
        match old {
            Some(old) if old.hold.payer == payer => self.shares.give_back(payer, freed.saturating_sub(size)),
            Some(old) => self.shares.give_back(old.hold.payer, freed),
            None => {}
        }
        Ok(())
    }

    /// The room of a record that is gone is free.
    fn free(&self, record: &Record) {
        let freed = bytes(record);
        self.give_back(freed);
        self.shares.give_back(record.hold.payer, freed);
    }

    /// Shows what became of the number of records; `before` is how many the shard had.
    fn count(&self, before: usize, shard: &MutexGuard<'_, Shard>) {
        let after = shard.records.len();
        if before == after {
            return;
        }
        if let Some(gauge) = &*self.shown.load() {
            gauge.add(signed(after) - signed(before));
        }
    }

    /// The bytes in use from now on.
    fn take_room(&self, more: u64, max: u64) -> Result<u64, Bound> {
        let fits = |bytes: u64| bytes.checked_add(more).filter(|sum| more == 0 || *sum <= max);
        let before = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        before.map(|before| before + more).map_err(|_| Bound::Store)
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn bytes(record: &Record) -> u64 {
    RECORD_BYTES + record.payload() as u64
}

#[derive(Default)]
struct Shard {
    /// Boxed, so that a map that is half empty wastes little.
    records: HashMap<Name, Box<Record>>,
    by_expiry: BTreeSet<(Monotonic, Name)>,
}

impl Shard {
    fn get(&self, name: Name) -> Option<&Record> {
        self.records.get(&name).map(|record| &**record)
    }

    fn put(&mut self, record: Record) {
        let (name, expires) = (record.hold.name, record.expires);
        if let Some(old) = self.records.insert(name, Box::new(record)) {
            self.by_expiry.remove(&(old.expires, name));
        }
        self.by_expiry.insert((expires, name));
    }

    fn take(&mut self, name: Name) -> Option<Box<Record>> {
        let record = self.records.remove(&name)?;
        self.by_expiry.remove(&(record.expires, name));
        Some(record)
    }

    /// Removes up to `most` of what has expired, and says so of each.
    fn clear(&mut self, now: Monotonic, most: usize, removed: impl Fn(&Record)) {
        for _ in 0..most {
            match self.by_expiry.first() {
                Some(&(expires, name)) if expires <= now => {
                    if let Some(record) = self.take(name) {
                        removed(&record);
                    }
                }
                _ => break,
            }
        }
    }
}

impl Records for MemoryRecords {
    fn begin<'a>(&'a self, claim: Claim) -> Soon<'a, Result<Begun, Outage>> {
        Soon::Now(self.apply(claim.hold.name, |found, now| rules::begin(found, &claim, now)))
    }

    fn renew<'a>(&'a self, hold: Hold, lease: Duration, ttl: Duration) -> Soon<'a, Result<Renewed, Outage>> {
        Soon::Now(self.apply(hold.name, |found, now| rules::renew(found, &hold, now, lease, ttl)))
    }

    fn complete<'a>(&'a self, hold: Hold, outcome: Outcome, keep: Keeping) -> Soon<'a, Result<Completed, Outage>> {
        let write = |outcome: &Outcome| {
            self.apply(hold.name, |found, now| rules::complete(found, &hold, outcome, now, keep.ttl))
        };
        Soon::Now(match outcome {
            Outcome::Done { status, reply } => {
                // Without the room that its buffer may have left over, which nobody would count.
                let reply = Bytes::copy_from_slice(&reply);
                match write(&Outcome::Done { status, reply }) {
                    Err(Outage::Full(_)) => {
                        let tombstone = Outcome::Tombstone { status, why: NotKept::StoreFull };
                        write(&tombstone).map(|written| match written {
                            Completed::Ok => Completed::Full,
                            other => other,
                        })
                    }
                    written => written,
                }
            }
            other => write(&other),
        })
    }

    fn release<'a>(&'a self, hold: Hold) -> Soon<'a, Result<Released, Outage>> {
        Soon::Now(self.apply(hold.name, |found, _| rules::release(found, &hold)))
    }

    fn forget<'a>(&'a self, name: Name, live: Live) -> Soon<'a, Result<Forgotten, Outage>> {
        Soon::Now(self.apply(name, |found, now| rules::forget(found, live, now)))
    }

    fn show(&self, gauge: Gauge) {
        // With every shard locked nobody counts, so that nothing is lost or counted twice.
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.lock()).collect();
        if let Some(former) = self.shown.swap(None) {
            former.set(0);
        }
        gauge.set(signed(shards.iter().map(|shard| shard.records.len()).sum()));
        self.shown.store(Some(Arc::new(gauge)));
    }

    /// What is here was written here.
    fn expect(&self, _max_body: u64) {}

    fn standing(&self) -> Standing {
        Standing { kind: "memory", up: true, breaker: Breaker::Closed, refused: None }
    }

    fn sweep(&self) {
        let now = self.clock.now();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.records.len();
            shard.clear(now, usize::MAX, |record| self.free(record));
            self.count(before, &shard);
            let wanted = shard.records.len() * 2;
            if shard.records.capacity() > wanted * 2 {
                shard.records.shrink_to(wanted);
            }
        }
        self.shares.shrink();
    }
}

#[cfg(test)]
mod tests;
