//! The pace of a request body over HTTP/2, which is read by whoever wants it and not where its bytes come in.
//!
//! Unlike with HTTP/1 it counts from when the body is first asked for to now: how long the proxy itself did not read is
//! not known here. An upload that the application takes slowly has earned its time with the bytes that wait for it.

use super::pace::Pace;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Whoever reads the body refuses one that falls behind, with an answer. Where nobody reads it, it loses its stream this
/// much later.
const BEFORE_RESET: Duration = Duration::from_secs(1);

/// The upload of one exchange.
#[derive(Debug, Default)]
pub struct Upload {
    asked_for: Notify,
    /// Since the body is asked for.
    pace: Mutex<Option<Pace>>,
}

impl Upload {
    /// The body is read from now on.
    pub fn begin(&self) {
        let mut pace = self.pace.lock();
        if pace.is_none() {
            pace.get_or_insert_default().waiting_until(Instant::now(), 0);
            self.asked_for.notify_one();
        }
    }

    /// So many bytes more; whether all of it came at `bytes_per_second` on average. 0: whatever the pace.
    pub fn came(&self, bytes: usize, bytes_per_second: u64) -> bool {
        let now = Instant::now();
        if let Some(pace) = &mut *self.pace.lock() {
            pace.came(bytes, now);
        }
        // A body that has used up what it earned is due now, and not a moment ago.
        self.due(now, bytes_per_second).is_none_or(|due| now < due)
    }

    fn due(&self, now: Instant, bytes_per_second: u64) -> Option<Instant> {
        self.pace.lock().as_mut()?.waiting_until(now, bytes_per_second)
    }

    /// Resolves when what has come so far is not enough any more; never with 0.
    pub async fn falls_behind(&self, bytes_per_second: u64) {
        while let Some(due) = self.due(Instant::now(), bytes_per_second) {
            if Instant::now() >= due {
                return;
            }
            sleep_until(due).await;
        }
        std::future::pending::<()>().await;
    }

    /// Resolves when the body is overdue and `is_awaited` still.
    pub async fn overdue(&self, bytes_per_second: u64, is_awaited: impl Fn() -> bool) {
        self.asked_for.notified().await;
        while let Some(due) = self.due(Instant::now(), bytes_per_second)
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

        let read = Upload::default();
        read.begin();
        let began = Instant::now();
        read.falls_behind(100).await;
        assert_eq!(began.elapsed().as_secs(), 5);
        let never = tokio::time::timeout(Duration::from_secs(1000), read.falls_behind(0)).await;
        assert!(never.is_err(), "no floor");
    }
}
