//! One observation that stands for the others of its bucket, with the trace it came from.

use crate::shards;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, SystemTime};

/// Where an observation came from. Give one for sampled traces only: nobody finds the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// 128 bits, written as 32 hex digits.
    pub trace_id: u128,
    /// Written as 16 hex digits.
    pub span_id: u64,
    /// When it was observed.
    pub at: SystemTime,
}

/// An exemplar as kept and encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) value: f64,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
}

/// The latest exemplar of each bucket.
pub(crate) struct Latest {
    shards: Box<[Box<[Slot]>]>,
}

impl Latest {
    pub(crate) fn new(buckets: usize) -> Self {
        Self { shards: shards::each(|| std::iter::repeat_with(Slot::default).take(buckets).collect()) }
    }

    pub(crate) fn keep(&self, bucket: usize, value: f64, exemplar: &Exemplar) {
        let since_1970 = exemplar.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        shards::mine(&self.shards)[bucket].write(Kept {
            trace_id: exemplar.trace_id,
            span_id: exemplar.span_id,
            value,
            at: u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
        });
    }

    pub(crate) fn of(&self, bucket: usize) -> Option<Kept> {
        self.shards.iter().filter_map(|slots| slots[bucket].read()).max_by_key(|kept| kept.at)
    }
}

/// A sequence lock: writers never wait, a reader takes only what no writer touched meanwhile. `sequence` is odd while
/// somebody writes and 0 before the first write.
#[derive(Default)]
struct Slot {
    sequence: AtomicU64,
    words: [AtomicU64; 5],
}

impl Slot {
    /// Writes, unless another thread is writing: then that one is the latest.
    fn write(&self, kept: Kept) {
        let before = self.sequence.load(Ordering::Relaxed);
        let free = before.is_multiple_of(2)
            && self.sequence.compare_exchange(before, before + 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !free {
            return;
        }
        fence(Ordering::Release);
        let [high, low] = halves(kept.trace_id);
        for (word, value) in self.words.iter().zip([high, low, kept.span_id, kept.value.to_bits(), kept.at]) {
            word.store(value, Ordering::Relaxed);
        }
        self.sequence.store(before + 2, Ordering::Release);
    }

    /// What was written last; `None` when there is nothing or writers are too quick for a few tries.
    fn read(&self) -> Option<Kept> {
        (0..4).find_map(|_| {
            let before = self.sequence.load(Ordering::Acquire);
            if before == 0 || !before.is_multiple_of(2) {
                return None;
            }
            let [high, low, span_id, value, at] = self.words.each_ref().map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            (self.sequence.load(Ordering::Relaxed) == before).then(|| Kept {
                trace_id: u128::from(high) << 64 | u128::from(low),
                span_id,
                value: f64::from_bits(value),
                at,
            })
        })
    }
}

/// The high and the low 64 bits.
fn halves(id: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "each half is 64 bits by construction")]
    [(id >> 64) as u64, id as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept() {
        let latest = Latest::new(2);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        latest.keep(1, 0.5, &Exemplar { trace_id: u128::MAX - 7, span_id: 8, at: at(10) });
        latest.keep(1, 0.6, &Exemplar { trace_id: 1 << 64 | 2, span_id: 9, at: at(11) });
        assert_eq!(latest.of(0), None);
        assert_eq!(latest.of(1), Some(Kept { trace_id: 1 << 64 | 2, span_id: 9, value: 0.6, at: 11_000_000_000 }));
    }

    #[test]
    fn a_reader_never_sees_half_an_exemplar() {
        let slot = Slot::default();
        std::thread::scope(|scope| {
            for writer in 1..=3u64 {
                let slot = &slot;
                scope.spawn(move || {
                    for round in 1..20_000u64 {
                        let word = writer * 1_000_000 + round;
                        slot.write(Kept {
                            trace_id: u128::from(word) << 64 | u128::from(word),
                            span_id: word,
                            value: f64::from_bits(word),
                            at: word,
                        });
                    }
                });
            }
            for _ in 0..20_000 {
                if let Some(kept) = slot.read() {
                    assert_eq!(halves(kept.trace_id), [kept.at; 2]);
                    assert_eq!((kept.span_id, kept.value.to_bits()), (kept.at, kept.at));
                }
            }
        });
        assert!(slot.read().is_some());
    }
}
