//! Whether a body comes fast enough. Pure: time is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// Waiting that is forgiven before the rate counts.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes against time spent waiting for them; time in which nobody asked does not count.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// A floor in bytes a second; 0: none.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// A new body begins.
    pub fn reset(&mut self) {
        *self = Self::new(self.bytes_per_second);
    }

    /// A read brought this many bytes.
    pub fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// A read waits; until when it may. `None`: for ever.
    pub fn waiting_until(&mut self, now: Instant) -> Option<Instant> {
        if self.bytes_per_second == 0 {
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let earned = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        Some(since + earned.max(GRACE).saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_gets_five_seconds_and_then_what_its_bytes_earn() {
        let start = Instant::now();
        let mut pace = Pace::new(100);
        assert_eq!(pace.waiting_until(start), Some(start + Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(4)).await;
        pace.came(1000);
        // 1000 bytes at 100 a second earn ten seconds, of which four are gone.
        assert_eq!(pace.waiting_until(Instant::now()), Some(Instant::now() + Duration::from_secs(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_proxy_does_not_read_does_not_count() {
        let mut pace = Pace::new(100);
        pace.waiting_until(Instant::now());
        pace.came(1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pace.waiting_until(Instant::now()), Some(Instant::now() + GRACE));
        assert_eq!(Pace::new(0).waiting_until(Instant::now()), None);
    }
}
