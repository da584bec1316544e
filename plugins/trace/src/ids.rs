//! Ids of spans: unlikely to meet again, not secret.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// One generator a thread, seeded by the operating system: no lock, about a nanosecond an id.
    static RNG: RefCell<SmallRng> = RefCell::new(
        // Without that source the standard library's own keys have to do; an id is no secret.
        SmallRng::try_from_os_rng()
            .unwrap_or_else(|_| SmallRng::seed_from_u64(RandomState::new().hash_one(std::thread::current().id()))),
    );
}

/// A new span id, never 0.
pub(crate) fn span_id() -> u64 {
    RNG.with_borrow_mut(RngCore::next_u64).max(1)
}
