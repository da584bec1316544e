//! Whether a body comes fast enough. Pure: time is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// Waiting that is forgiven before the rate counts.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes against time spent waiting for them; time in which nobody asked does not count.
#[derive(Debug, Default)]
pub struct Pace {
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// A new body begins.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Bytes have come by `now`, and nobody waits until the next are asked for.
    pub fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Somebody waits from `now` on, if nobody did; until when they may, at a floor of `bytes_per_second`. `None`: for
    /// ever, as there is no floor.
    pub fn waiting_until(&mut self, now: Instant, bytes_per_second: u64) -> Option<Instant> {
        let since = *self.waiting_since.get_or_insert(now);
        if bytes_per_second == 0 {
            return None;
        }
        let earned = Duration::try_from_secs_f64(self.bytes as f64 / bytes_per_second as f64).ok()?;
        since.checked_add(earned.max(GRACE).saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_body_gets_five_seconds_and_then_what_its_bytes_earn() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.waiting_until(start, 100), Some(start + Duration::from_secs(5)));
        let later = start + Duration::from_secs(4);
        pace.came(1000, later);
        // 1000 bytes at 100 a second earn ten seconds, of which four are gone.
        assert_eq!(pace.waiting_until(later, 100), Some(later + Duration::from_secs(6)));
    }

    #[test]
    fn time_in_which_the_proxy_does_not_read_does_not_count() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.waiting_until(start, 100);
        pace.came(1, start);
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.waiting_until(later, 100), Some(later + GRACE));
        assert_eq!(Pace::default().waiting_until(later, 0), None);
    }
}
