//! The pace of a request body over HTTP/2, where the guard below the parser cannot tell streams apart.
//!
//! Unlike with HTTP/1 it counts from when the body is first asked for to now: how long the proxy itself did not read is
//! not known here. An upload that the application takes slowly has earned its time with the bytes that wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Waiting that is forgiven before the rate counts.
const GRACE: Duration = Duration::from_secs(5);
/// A body that still comes in drops is refused with an answer by whoever reads the next drop. One that does not come at
/// all loses its stream this much later.
const BEFORE_RESET: Duration = Duration::from_secs(1);

/// The upload of one exchange.
#[derive(Debug, Default)]
pub struct Upload {
    asked_for: Notify,
    bytes: AtomicU64,
    began: parking_lot::Mutex<Option<Instant>>,
}

impl Upload {
    /// The body is read from now on.
    pub fn begin(&self) {
        let mut began = self.began.lock();
        if began.is_none() {
            *began = Some(Instant::now());
            self.asked_for.notify_one();
        }
    }

    /// So many bytes more; whether all of it came at `bytes_per_second` on average. 0: whatever the pace.
    pub fn came(&self, bytes: usize, bytes_per_second: u64) -> bool {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.due(bytes_per_second).is_none_or(|due| Instant::now() <= due)
    }

    fn due(&self, bytes_per_second: u64) -> Option<Instant> {
        if bytes_per_second == 0 {
            return None;
        }
        let earned = self.bytes.load(Ordering::Relaxed) as f64 / bytes_per_second as f64;
        let began = (*self.began.lock())?;
        began.checked_add(Duration::try_from_secs_f64(earned).ok()?.max(GRACE))
    }

    /// Resolves when the body is overdue and `is_awaited` still.
    pub async fn overdue(&self, bytes_per_second: u64, is_awaited: impl Fn() -> bool) {
        self.asked_for.notified().await;
        while let Some(due) = self.due(bytes_per_second)
            && is_awaited()
        {
            let end = due + BEFORE_RESET;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_in_drops_is_too_slow_after_its_grace_and_one_at_a_pace_is_not() {
        for (each_second, in_time) in [(1, false), (200, true)] {
            let upload = Upload::default();
            upload.begin();
            for _ in 0..4 {
                tokio::time::advance(Duration::from_secs(1)).await;
                assert!(upload.came(each_second, 100), "grace");
            }
            tokio::time::advance(Duration::from_millis(1001)).await;
            assert_eq!(upload.came(each_second, 100), in_time);
            assert!(upload.came(0, 0), "no floor");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_overdue_and_one_that_has_come_is_not() {
        let (missing, whole) = (Upload::default(), Upload::default());
        for upload in [&missing, &whole] {
            upload.begin();
        }
        let began = Instant::now();
        missing.overdue(100, || true).await;
        assert_eq!(began.elapsed().as_secs(), 6);
        let never = tokio::time::timeout(Duration::from_secs(1000), whole.overdue(100, || false)).await;
        assert!(never.is_err());
    }
}
