//! The table of this process: regions of slots, each behind its own lock.
//!
//! A decision locks the regions it needs in the order of their numbers, so any number of buckets can be decided in one
//! step and no two decisions wait for each other in a circle.

use super::Algorithm;
use super::slots::{Kind, Seat, Slots};
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::ops::Range;

/// Buckets of one algorithm that are shared by those there is no room for.
const OVERFLOW_SLOTS: usize = 4_096;
/// A table for sliding logs has this part of the slots of the one for buckets: a log is nine times as large.
const BUCKETS_PER_LOG: usize = 16;
/// Most regions an area is cut into.
const MAX_REGIONS: usize = 256;
/// Sets below which a region is not worth a lock of its own.
const MIN_SETS: usize = 16;
const SLOTS_PER_SET: usize = 8;

/// Alone on its cache line, so that neighbours do not slow each other down.
#[repr(align(64))]
struct Region(Mutex<Slots>);

/// All regions: those of the two areas, then those of their overflow.
pub(super) struct Table {
    regions: Box<[Region]>,
    areas: [Range<usize>; 4],
    capacity: usize,
}

/// A part of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Area {
    /// A bucket for each key text.
    Own(Algorithm),
    /// Buckets shared by networks.
    Overflow(Algorithm),
}

impl Area {
    const ALL: [Self; 4] = [
        Self::Own(Algorithm::Gcra),
        Self::Own(Algorithm::SlidingLog),
        Self::Overflow(Algorithm::Gcra),
        Self::Overflow(Algorithm::SlidingLog),
    ];

    const fn index(self) -> usize {
        match self {
            Self::Own(Algorithm::Gcra) => 0,
            Self::Own(Algorithm::SlidingLog) => 1,
            Self::Overflow(Algorithm::Gcra) => 2,
            Self::Overflow(Algorithm::SlidingLog) => 3,
        }
    }

    fn slots(self, capacity: usize) -> usize {
        match self {
            Self::Own(Algorithm::Gcra) => capacity,
            Self::Own(Algorithm::SlidingLog) => capacity.div_ceil(BUCKETS_PER_LOG),
            Self::Overflow(_) => OVERFLOW_SLOTS,
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Own(Algorithm::Gcra) | Self::Overflow(Algorithm::Gcra) => Kind::Bucket,
            Self::Own(Algorithm::SlidingLog) | Self::Overflow(Algorithm::SlidingLog) => Kind::Log,
        }
    }
}

impl Table {
    /// A free table with room for `capacity` buckets, rounded up to whole sets; an error when memory does not suffice.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        let mut regions = Vec::new();
        let mut areas = [const { 0..0 }; 4];
        for area in Area::ALL {
            let sets = area.slots(capacity).div_ceil(SLOTS_PER_SET).max(1);
            let count = (sets / MIN_SETS).clamp(1, MAX_REGIONS);
            let first = regions.len();
            for _ in 0..count {
                regions.push(Region(Mutex::new(Slots::new(area.kind(), sets.div_ceil(count))?)));
            }
            areas[area.index()] = first..regions.len();
        }
        Ok(Self { regions: regions.into(), areas, capacity })
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of the region that a bucket is in.
    pub(super) fn region(&self, area: Area, hash: u128) -> usize {
        let area = &self.areas[area.index()];
        // The high half chooses the region, the low half the set in it.
        area.start + ((u128::from((hash >> 72) as u64) * area.len() as u128) >> 56) as usize
    }

    /// Locks a region. Hold several only in the order of their numbers.
    pub(super) fn lock(&self, region: usize) -> MutexGuard<'_, Slots> {
        self.regions[region].0.lock()
    }

    /// Moves everything that is owed into a free table of another capacity, lets `publish` put that one in place, and
    /// retires this one; says how many slots are in use. Decisions wait meanwhile. What there is no room for is
    /// forgotten, as an eviction would.
    pub(super) fn move_into(&self, new: &Self, now: u64, publish: impl FnOnce()) -> u64 {
        let mut keys = 0;
        let mut old: Vec<_> = (0..self.regions.len()).map(|region| self.lock(region)).collect();
        for area in Area::ALL {
            for slots in &mut old[self.areas[area.index()].clone()] {
                for (hash, from) in slots.owing(now) {
                    let mut target = new.lock(new.region(area, hash));
                    if let Seat::Vacant(at) | Seat::Held(at) = target.seat(hash, now, &[]) {
                        keys += u64::from(target.copy(at, slots, from) && matches!(area, Area::Own(_)));
                    }
                }
                slots.retired = true;
            }
        }
        publish();
        keys
    }
}
