//! Ten million callers that each come once: what they do to memory, and to the time of a decision.
//!
//! `cargo bench -p vestibule-store --bench flood`. The table has room for a million; what a key costs when there is none
//! left is what is asked. Quiet are a hundred thousand callers who come again and again.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_plugin::{ClientAddress, Soon, SystemClock};
use vestibule_store::quotas::{Algorithm, Charge, Demand, Force, Limit, OnStoreError, Sharing, Terms};
use vestibule_store::{MemoryQuotas, Quotas};

/// The allocator of the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keys that the table is asked to hold, and bytes of each.
const ROOM: usize = 1_000_000;
const KEY_BYTES: usize = 64;
const CALLERS: u64 = 10_000_000;
const USUAL_CALLERS: u64 = 100_000;
/// Decisions of a round, each timed alone.
const TIMED: u64 = 1_000_000;
const ROUNDS: u64 = 5;

fn main() {
    let limit = Limit::new(&Terms {
        name: "p",
        key: "address",
        algorithm: Algorithm::Gcra,
        quota: 10,
        window: Duration::from_secs(60),
        burst: 10,
        sharing: Sharing::Local,
        on_store_error: OnStoreError::LocalShare,
    })
    .unwrap();
    let store = MemoryQuotas::new(Arc::new(SystemClock::default()));
    let before = resident_kib();
    store.reserve(ROOM).unwrap();
    (0..USUAL_CALLERS).for_each(|caller| take(&store, &limit, caller));

    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    let mut next = USUAL_CALLERS;
    for _ in 0..ROUNDS {
        quiet.push(p99_ns(|n| take(&store, &limit, scattered(n) % USUAL_CALLERS)));
        flooded.push(p99_ns(|n| take(&store, &limit, next + n)));
        next += TIMED;
    }
    (next..CALLERS + USUAL_CALLERS).for_each(|caller| take(&store, &limit, caller));

    let bound = ROOM * KEY_BYTES / 1024;
    let grown = resident_kib() - before;
    let over = grown as f64 / bound as f64;
    println!("{CALLERS} callers, room for {ROOM}: {grown} KiB more resident, {over:.2} x the bound of {bound} KiB");
    let (quiet, flooded) = (median(&mut quiet), median(&mut flooded));
    let ratio = flooded as f64 / quiet as f64;
    println!("p99 of a decision: {quiet} ns quiet, {flooded} ns under the flood, {ratio:.2} x; {ROUNDS} rounds");
}

fn take(store: &MemoryQuotas, limit: &Limit, caller: u64) {
    let mut key = *b"addr=0000000000";
    let mut rest = caller;
    for digit in key[5..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let charge = Charge { limit, key: std::str::from_utf8(&key).unwrap(), cost: 1, force: Force::Enforced };
    match store.take(Demand { charges: [charge].into_iter().collect(), address: ClientAddress::Local }) {
        Soon::Now(taken) => drop(black_box(taken)),
        Soon::Later(_) => unreachable!("memory does not wait"),
    }
}

/// Numbers in no order, each once before one comes again.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(2_654_435_761)
}

fn p99_ns(decide: impl Fn(u64)) -> u64 {
    let mut times: Vec<u64> = (0..TIMED)
        .map(|n| {
            let start = Instant::now();
            decide(n);
            start.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Resident memory of this process; 0 where `/proc` does not tell.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
