//! What one scrape may cost.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Limits of a registry. They may change while it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `false`: nobody may scrape.
    pub enabled: bool,
    /// Most sample lines of one scrape. Series that exist stay when it is lowered.
    pub max_series: u32,
    /// Whether OpenMetrics carries exemplars.
    pub exemplars: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { enabled: true, max_series: 2000, exemplars: true }
    }
}

/// The limits in force and the lines given out under them.
pub(crate) struct Budget {
    enabled: AtomicBool,
    exemplars: AtomicBool,
    max: AtomicU32,
    taken: AtomicU32,
    /// Whether somebody has said what the limits are.
    said: AtomicBool,
}

impl Default for Budget {
    fn default() -> Self {
        let Limits { enabled, max_series, exemplars } = Limits::default();
        Self {
            enabled: enabled.into(),
            exemplars: exemplars.into(),
            max: max_series.into(),
            taken: AtomicU32::new(0),
            said: AtomicBool::new(false),
        }
    }
}

impl Budget {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            enabled: self.enabled.load(Ordering::Relaxed),
            max_series: self.max.load(Ordering::Relaxed),
            exemplars: self.exemplars.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set(&self, limits: Limits) {
        self.enabled.store(limits.enabled, Ordering::Relaxed);
        self.max.store(limits.max_series, Ordering::Relaxed);
        self.exemplars.store(limits.exemplars, Ordering::Relaxed);
    }

    pub(crate) fn prepare(&self, limits: Limits) {
        if self.said.swap(true, Ordering::Relaxed) {
            self.max.fetch_max(limits.max_series, Ordering::Relaxed);
        } else {
            self.set(limits);
        }
    }

    /// Takes `lines`, all or none.
    pub(crate) fn take(&self, lines: u32) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(lines).filter(|after| *after <= max)
            })
            .is_ok()
    }
}
