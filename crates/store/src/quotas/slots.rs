//! One region of the table: sets of eight slots, each slot a fixed number of words, found by a hash of 128 bits.
//!
//! Nothing here allocates after the region was made, and no call looks at more than one set.

use super::sliding_log::{self, MAX_LOG};
use memmap2::MmapMut;
use std::io;
use zerocopy::FromBytes;

/// Slots in a set.
const SET: usize = 8;
/// Words in a cache line.
const LINE: usize = 8;

const _: () = assert!(LINE * size_of::<u64>() == super::BYTES_PER_KEY as usize, "a bucket is one cache line");

/// What is kept in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A bucket: one cache line.
    Bucket,
    /// A bucket and the stamps of a sliding log behind it.
    Log,
}

impl Kind {
    const fn words(self) -> usize {
        match self {
            Self::Bucket => LINE,
            // The log begins on the slot's last header word; rounded up to whole lines.
            Self::Log => LINE + MAX_LOG,
        }
    }
}

/// Word of a slot's header: the low half of its hash, 0 when the slot is free.
const HASH: usize = 0;
/// When its debt is gone.
const DUE: usize = 2;
/// Until when it is refusing.
const REFUSING: usize = 3;
/// What its policy is, where slots are shared by policy.
const FAMILY: usize = 4;
/// Of a share: when what it owed before it admitted anything is gone.
const BEFORE: usize = 5;
/// Where a sliding log begins.
const LOG: usize = 7;

/// A region.
pub(super) struct Slots {
    kind: Kind,
    sets: usize,
    /// Zero pages that the kernel hands out as they are written, so that an empty table costs nothing. An allocator
    /// may clear them itself: mimalloc does below 64 MiB.
    memory: MmapMut,
    /// Whether these slots were moved to a larger or smaller table.
    pub(super) retired: bool,
}

/// Where a bucket is, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seat {
    /// It is in this slot.
    Held(usize),
    /// It is nowhere; this slot can be had for it.
    Vacant(usize),
    /// It is nowhere, and every slot of its set is refusing.
    Full,
}

impl Slots {
    /// `sets` free sets; an error when there is no memory for them.
    pub(super) fn new(kind: Kind, sets: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(sets * SET * kind.words() * size_of::<u64>())?;
        Ok(Self { kind, sets, memory, retired: false })
    }

    fn words(&self) -> &[u64] {
        // Pages are aligned, and whole words were asked for.
        <[u64]>::ref_from_bytes(&self.memory).unwrap_or_default()
    }

    fn words_mut(&mut self) -> &mut [u64] {
        <[u64]>::mut_from_bytes(&mut self.memory).unwrap_or_default()
    }

    /// Finds the bucket, or the slot it can have: a free one, else one that owes nothing, else the one that owes least
    /// and is not refusing. Slots in `taken` are spoken for.
    pub(super) fn seat(&self, hash: u128, now: u64, taken: &[usize]) -> Seat {
        let words = self.words();
        let mut drained = None;
        let mut least: Option<(u64, usize)> = None;
        for at in self.set(hash) {
            if hash_of(words, at) == hash {
                return Seat::Held(at);
            }
            // Slots fill in the order they are probed and are never emptied, so nothing is held behind a free one.
            if hash_of(words, at) == 0 && !taken.contains(&at) {
                return Seat::Vacant(at);
            }
            if taken.contains(&at) || words[at + REFUSING] > now {
                continue;
            }
            let due = words[at + DUE];
            if due <= now {
                drained = drained.or(Some(at));
            } else if least.is_none_or(|(other, _)| due < other) {
                least = Some((due, at));
            }
        }
        match drained.or(least.map(|(_, at)| at)) {
            Some(at) => Seat::Vacant(at),
            None => Seat::Full,
        }
    }

    /// As [`seat`](Self::seat), for buckets that are shared by those there is no room for: when every slot owes, the
    /// bucket is shared with another of the same policy, and at last with whoever owes least. Its debt is inherited, so
    /// that a fresh bucket is never handed out.
    pub(super) fn shared_seat(&self, hash: u128, family: u64, now: u64, taken: &[usize]) -> Seat {
        let words = self.words();
        let mut vacant = None;
        let mut same: Option<(u64, usize)> = None;
        let mut other: Option<(u64, usize)> = None;
        for at in self.set(hash) {
            if hash_of(words, at) == hash {
                return Seat::Held(at);
            }
            if taken.contains(&at) {
                continue;
            }
            let due = words[at + DUE];
            if due <= now {
                vacant = vacant.or(Some(at));
            } else {
                let least = if words[at + FAMILY] == family { &mut same } else { &mut other };
                if least.is_none_or(|(owed, _)| due < owed) {
                    *least = Some((due, at));
                }
            }
        }
        match (vacant, same.or(other)) {
            (Some(at), _) => Seat::Vacant(at),
            (None, Some((_, at))) => Seat::Held(at),
            (None, None) => Seat::Full,
        }
    }

    /// Gives a slot to a bucket that owes nothing; whether the slot was free before.
    pub(super) fn settle(&mut self, at: usize, hash: u128, family: u64) -> bool {
        let was_free = self.hash(at) == 0;
        let words = self.kind.words();
        let slot = &mut self.words_mut()[at..at + words];
        slot.fill(0);
        slot[HASH] = hash as u64;
        slot[HASH + 1] = (hash >> 64) as u64;
        slot[FAMILY] = family;
        was_free
    }

    /// When the debt of a held bucket is gone.
    pub(super) fn due(&self, at: usize) -> u64 {
        self.words()[at + DUE]
    }
    /// Says when it will be.
    pub(super) fn set_due(&mut self, at: usize, due: u64) {
        self.words_mut()[at + DUE] = due;
    }
    /// Lets a held bucket owe until `due` at least; what it admitted itself stays apart from that.
    pub(super) fn owe_until(&mut self, at: usize, due: u64, now: u64) {
        let words = self.words_mut();
        let owed = words[at + DUE];
        if owed <= now {
            words[at + DUE] = due;
            words[at + BEFORE] = due;
        } else if due > owed {
            words[at + DUE] = due;
            words[at + BEFORE] += due - owed;
        }
    }
    /// Nanoseconds of debt by what a held bucket admitted itself.
    pub(super) fn admitted(&self, at: usize, now: u64) -> u64 {
        let words = self.words();
        words[at + DUE].saturating_sub(now).saturating_sub(words[at + BEFORE].saturating_sub(now))
    }
    /// Moves so much of what a held bucket owes from what it admitted itself to what it owed before.
    pub(super) fn tell(&mut self, at: usize, admitted_ns: u64, now: u64) {
        let words = self.words_mut();
        words[at + BEFORE] = words[at + BEFORE].max(now).saturating_add(admitted_ns);
    }
    /// Moves it back.
    pub(super) fn untell(&mut self, at: usize, admitted_ns: u64) {
        let words = self.words_mut();
        words[at + BEFORE] = words[at + BEFORE].saturating_sub(admitted_ns);
    }
    /// Leaves a held bucket with what it admitted itself, and nothing else.
    pub(super) fn forget_before(&mut self, at: usize, now: u64) {
        let rest = self.admitted(at, now);
        let words = self.words_mut();
        (words[at + DUE], words[at + BEFORE]) = (now.saturating_add(rest), now);
        self.set_refusing(at, 0);
    }
    /// Keeps a bucket from being evicted before `until`.
    pub(super) fn set_refusing(&mut self, at: usize, until: u64) {
        self.words_mut()[at + REFUSING] = until;
    }
    /// What is kept in a held slot behind its hash: a lease has all of it, and begins like any bucket.
    pub(super) fn lease(&self, at: usize) -> [u64; LINE - DUE] {
        let mut words = [0; LINE - DUE];
        words.copy_from_slice(&self.words()[at + DUE..at + LINE]);
        words
    }
    /// Writes it.
    pub(super) fn set_lease(&mut self, at: usize, lease: [u64; LINE - DUE]) {
        self.words_mut()[at + DUE..at + LINE].copy_from_slice(&lease);
    }
    /// The log of a held bucket of [`Kind::Log`]; an empty one for other kinds.
    pub(super) fn log(&self, at: usize) -> &sliding_log::Words {
        self.words()[at..at + self.kind.words()]
            .get(LOG..)
            .and_then(|log| log.first_chunk())
            .unwrap_or(&sliding_log::EMPTY)
    }
    /// The same, to write.
    pub(super) fn log_mut(&mut self, at: usize) -> Option<&mut sliding_log::Words> {
        let words = self.kind.words();
        self.words_mut()[at..at + words].get_mut(LOG..)?.first_chunk_mut()
    }

    /// Empties a held bucket of debt.
    pub(super) fn forgive(&mut self, at: usize) {
        self.set_due(at, 0);
        self.set_refusing(at, 0);
        if let Some(log) = self.log_mut(at) {
            log[0] = 0;
        }
    }

    /// The slots that owe something or refuse, each with its hash.
    pub(super) fn owing(&self, now: u64) -> impl Iterator<Item = (u128, usize)> {
        (0..self.sets * SET)
            .map(|slot| slot * self.kind.words())
            .filter(move |at| self.hash(*at) != 0 && self.words()[*at + DUE].max(self.words()[*at + REFUSING]) > now)
            .map(|at| (self.hash(at), at))
    }

    /// Copies a slot of `other`, of the same kind, here; whether the slot was free before.
    pub(super) fn copy(&mut self, at: usize, other: &Self, from: usize) -> bool {
        let was_free = self.hash(at) == 0;
        let words = self.kind.words();
        self.words_mut()[at..at + words].copy_from_slice(&other.words()[from..from + words]);
        was_free
    }

    /// First words of the slots of a set, the hash's own first.
    fn set(&self, hash: u128) -> impl Iterator<Item = usize> {
        // High bits choose the set and low ones the slot; `Table` chose the region by the other half.
        let set = ((u128::from((hash as u64) >> 8) * self.sets as u128) >> 56) as usize;
        let home = hash as usize % SET;
        let (first, words) = (set * SET * self.kind.words(), self.kind.words());
        (0..SET).map(move |i| first + (home + i) % SET * words)
    }

    fn hash(&self, at: usize) -> u128 {
        hash_of(self.words(), at)
    }
}

fn hash_of(words: &[u64], at: usize) -> u128 {
    u128::from(words[at + HASH]) | u128::from(words[at + HASH + 1]) << 64
}
