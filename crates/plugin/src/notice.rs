//! A log line that may be due often and is written at most once a minute.

use crate::Monotonic;
use std::sync::atomic::{AtomicU64, Ordering};

const MINUTE_NS: u64 = 60 * 1_000_000_000;

/// When the line may be written again, in nanoseconds; 0: at once.
#[derive(Debug, Default)]
pub struct Notice(AtomicU64);

impl Notice {
    /// Whether the line may be written now; only one of several callers is told so.
    pub fn is_due(&self, now: Monotonic) -> bool {
        let next = self.0.load(Ordering::Relaxed);
        now.0 >= next
            && self
                .0
                .compare_exchange(next, now.0.saturating_add(MINUTE_NS), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_once_a_minute() {
        let notice = Notice::default();
        let due: Vec<bool> =
            [0, 1, 59, 60, 61, 119, 120].map(|second| notice.is_due(Monotonic(second * 1_000_000_000))).to_vec();
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
