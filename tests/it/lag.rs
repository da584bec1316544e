//! Whether the machine keeps time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How late the machine wakes a thread that sleeps. A promise of milliseconds can be judged on a machine that gives them; one that is
/// busy with something else does not.
pub struct Lag {
    worst_us: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Lag {
    /// Threads are woken within a millisecond on a machine that has nothing else to do.
    const BUSY: Duration = Duration::from_millis(5);
    const STEP: Duration = Duration::from_millis(2);

    /// Watches until it is dropped.
    pub fn watch() -> Self {
        let (worst_us, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, end) = (Arc::clone(&worst_us), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let slept = std::time::Instant::now();
                std::thread::sleep(Self::STEP);
                let late = slept.elapsed().saturating_sub(Self::STEP).as_micros() as u64;
                worst.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self { worst_us, ended }
    }

    /// The latest so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }

    /// Whether the machine was busy with something else.
    pub fn is_busy(&self) -> bool {
        self.worst() >= Self::BUSY
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
