//! What is known of one server by whoever keeps records there: whether it answers, and whether claims are asked for.

use super::breaker::Breaker;
use super::last_answer::LastAnswer;
use crate::records::Breaker as Shown;
use parking_lot::Mutex;
use vestibule_plugin::Monotonic;

/// Of one server.
#[derive(Debug, Default)]
pub(super) struct Health {
    breaker: Mutex<Breaker>,
    last: LastAnswer,
}

/// What an answer, or none, has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    None,
    /// Claims are asked for again.
    Closed,
    /// Claims are held back.
    Opened,
}

impl Health {
    /// Whether a claim may be asked for.
    pub(super) fn admits(&self, now: Monotonic) -> bool {
        self.breaker.lock().admits(now)
    }

    /// It answered.
    pub(super) fn answered(&self) -> Change {
        self.last.came();
        if self.breaker.lock().succeeded() { Change::Closed } else { Change::None }
    }

    /// It did not.
    pub(super) fn failed(&self, now: Monotonic) -> Change {
        self.last.failed();
        if self.breaker.lock().failed(now) { Change::Opened } else { Change::None }
    }

    /// The same of one that must not be used: it is looked at as it is, and says why.
    pub(super) fn is_refused(&self) {
        self.last.failed();
    }

    /// Whether it answered last time; `None`: nothing was asked yet.
    pub(super) fn is_up(&self) -> Option<bool> {
        self.last.is_up()
    }

    pub(super) fn shown(&self) -> Shown {
        self.breaker.lock().shown()
    }
}
