//! Whether a server answered when it was last asked.

use std::sync::atomic::{AtomicU8, Ordering};

const UNASKED: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// Of one server.
#[derive(Debug, Default)]
pub(super) struct LastAnswer(AtomicU8);

impl LastAnswer {
    pub(super) fn came(&self) {
        self.0.store(UP, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.store(DOWN, Ordering::Relaxed);
    }

    /// `None`: nothing was asked yet.
    pub(super) fn is_up(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            UNASKED => None,
            last => Some(last == UP),
        }
    }
}
