//! One decision among a million keys, alone and against the `governor` crate's keyed limiter; four threads on one
//! bucket against one. Prints nanoseconds a decision, the median of five rounds, alternating.
//!
//! `cargo bench -p vestibule-store`

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_plugin::{ClientAddress, Soon, SystemClock};
use vestibule_store::quotas::{Algorithm, Charge, Demand, Force, Limit, OnStoreError, Sharing, Terms};
use vestibule_store::{MemoryQuotas, Quotas};

/// The allocator of the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const DECISIONS: usize = 2_000_000;
const ROUNDS: usize = 5;

fn main() {
    // Fixed-size texts in the order they are asked for, so that reading them costs next to nothing.
    let deck: Vec<Key> = (0..DECISIONS).map(|i| key(i.wrapping_mul(2_654_435_761) % KEYS)).collect();
    let limit = Limit::new(&Terms {
        name: "p",
        key: "address",
        algorithm: Algorithm::Gcra,
        quota: 1_000,
        window: Duration::from_secs(1),
        burst: 1_000,
        sharing: Sharing::Local,
        on_store_error: OnStoreError::LocalShare,
    })
    .unwrap();
    println!("resident at start: {} KiB", resident_kib());
    let ours = MemoryQuotas::new(Arc::new(SystemClock::default()));
    ours.reserve(2 * KEYS).unwrap();
    println!("resident with an empty table for {} keys: {} KiB", 2 * KEYS, resident_kib());
    let theirs = RateLimiter::keyed(Quota::per_second(NonZeroU32::new(1_000).unwrap()));
    fill(&ours, &theirs, &limit);

    let mut rounds: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(each(DECISIONS, || deck.iter().for_each(|key| take(&ours, &limit, key))));
        rounds[1].push(each(DECISIONS, || deck.iter().for_each(|key| drop(black_box(theirs.check_key(key))))));
        rounds[2].push(each(DECISIONS, || (0..DECISIONS).for_each(|_| take(&ours, &limit, &deck[0]))));
        rounds[3].push(together(4, || (0..DECISIONS / 4).for_each(|_| take(&ours, &limit, &deck[0]))));
        rounds[4].push(together(1, || (0..DECISIONS / 4).for_each(|_| take(&ours, &limit, &deck[0]))));
    }
    let names =
        ["a million keys", "a million keys, governor", "one key", "one key, four threads, wall", "one key, one, wall"];
    for (name, mut times) in names.into_iter().zip(rounds) {
        times.sort_by(f64::total_cmp);
        println!("{name:>28}: {:6.1} ns  {times:.1?}", times[ROUNDS / 2]);
    }
    let start = Instant::now();
    ours.reserve(4 * KEYS).unwrap();
    println!("moving a million keys: {:?}", start.elapsed());
}

/// `addr=…`, 20 bytes.
type Key = [u8; 20];

fn key(i: usize) -> Key {
    let mut key = *b"addr=000.000.000.000";
    for (place, byte) in (i as u32 * 4_091).to_be_bytes().into_iter().enumerate() {
        let text = format!("{byte:03}");
        key[5 + place * 4..][..3].copy_from_slice(text.as_bytes());
    }
    key
}

fn fill(ours: &MemoryQuotas, theirs: &DefaultKeyedRateLimiter<Key>, limit: &Limit) {
    let before = resident_kib();
    (0..KEYS).for_each(|i| take(ours, limit, &key(i)));
    println!("bytes a key: {}", (resident_kib() - before) * 1_024 / KEYS);
    for i in 0..KEYS {
        let _ = theirs.check_key(&key(i));
    }
}

fn take(store: &MemoryQuotas, limit: &Limit, key: &Key) {
    let key = std::str::from_utf8(key).unwrap();
    let charge = Charge { limit, key, cost: 1, force: Force::Enforced };
    match store.take(Demand { charges: [charge].into_iter().collect(), address: ClientAddress::Local }) {
        Soon::Now(taken) => drop(black_box(taken)),
        Soon::Later(_) => unreachable!("memory does not wait"),
    }
}

/// Nanoseconds of one of `count` runs: of this thread's CPU where `/proc` tells, so that a busy machine does not count.
fn each(count: usize, run: impl FnOnce()) -> f64 {
    let (start, cpu) = (Instant::now(), thread_cpu_ns());
    run();
    let spent = match (cpu, thread_cpu_ns()) {
        (Some(before), Some(after)) => after - before,
        _ => start.elapsed().as_nanos() as u64,
    };
    spent as f64 / count as f64
}

/// Nanoseconds by the wall clock from one decision to the next of any of `threads`.
fn together(threads: usize, run: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&run);
        }
    });
    start.elapsed().as_nanos() as f64 / (threads * DECISIONS / 4) as f64
}

fn thread_cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Resident memory of this process; 0 where `/proc` does not tell.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
