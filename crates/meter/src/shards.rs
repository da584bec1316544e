//! Which copy of a number a thread writes to, so that cores do not fight over one cache line.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Most copies of one number. Memory is bounded by it; beyond it threads share.
const MOST: usize = 16;

/// Keeps its content on cache lines of its own: two of 64 bytes, because the prefetcher of x86 fetches them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// Copies of a number, as many as there are cores, a power of two.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).next_power_of_two().min(MOST))
}

/// One `T` for each shard.
pub(crate) fn each<T>(make: impl FnMut() -> T) -> Box<[T]> {
    std::iter::repeat_with(make).take(count()).collect()
}

/// The shard of the calling thread; threads are dealt out in turn.
pub(crate) fn mine<T>(shards: &[T]) -> &T {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    let turn = MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1));
        }
        mine.get()
    });
    // `each` made a power of two of them.
    &shards[turn & (shards.len() - 1)]
}
