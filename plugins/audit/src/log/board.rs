//! What the writer has come to, for all who ask: requests that wait, sinks, the operator.

use super::Position;
use super::queue::Writing;
use crate::metrics::Metrics;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Durable {
    /// Everything before it has been fsynced.
    pub(crate) at: Position,
    /// So many events have been written or counted as lost.
    pub(crate) tickets: u64,
    /// Those that were counted as lost last: behind the first number, up to the second.
    pub(crate) given_up: (u64, u64),
    /// The log was closed: nothing more comes.
    pub(crate) over: bool,
}

impl Durable {
    /// Whether the event with this number is on disk. One that was given up is not, and never will be.
    pub(crate) fn holds(&self, ticket: u64) -> bool {
        let (before, last) = self.given_up;
        self.tickets >= ticket && !(before < ticket && ticket <= last)
    }
}

/// The board.
pub(crate) struct Board {
    durable: watch::Sender<Durable>,
    state: Mutex<State>,
    /// Bytes of the directory.
    spooled: AtomicU64,
    lost: AtomicU64,
    metrics: Metrics,
}

struct State {
    writing: Writing,
    last_checkpoint_ms: Option<u64>,
    /// The segment that each sink needs next; `None` until it is known which sinks there are.
    sinks: Option<BTreeMap<String, u64>>,
}

impl Board {
    pub(crate) fn new(at: Position, bytes: u64, metrics: Metrics) -> Self {
        let state = State { writing: Writing::Works, last_checkpoint_ms: None, sinks: None };
        let board = Self {
            durable: watch::Sender::new(Durable { at, tickets: 0, given_up: (0, 0), over: false }),
            state: Mutex::new(state),
            spooled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            metrics,
        };
        board.spool(bytes);
        board
    }

    /// What is on disk, and each change of it.
    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    /// What is on disk now.
    pub(crate) fn at(&self) -> Durable {
        *self.durable.borrow()
    }

    /// The log ends at `at` now, with `bytes` and these events more.
    pub(crate) fn advance(&self, at: Position, tickets: u64, bytes: u64, checkpoint_ms: Option<u64>) {
        if let Some(now) = checkpoint_ms {
            self.state.lock().last_checkpoint_ms = Some(now);
        }
        self.spool(self.spooled() + bytes);
        self.durable.send_modify(|durable| {
            durable.at = at;
            durable.tickets += tickets;
        });
    }

    /// These events will never be written.
    pub(crate) fn give_up(&self, events: u64) {
        self.count_lost(events);
        self.durable.send_modify(|durable| {
            let before = durable.tickets;
            durable.tickets += events;
            if events > 0 {
                durable.given_up = (before, durable.tickets);
            }
        });
    }

    /// Events that were lost, more.
    pub(crate) fn count_lost(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
        self.metrics.lost(events);
    }

    /// Events lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.durable.send_modify(|durable| durable.over = true);
    }

    /// Whether records reach the disk.
    pub(crate) fn writing(&self) -> Writing {
        self.state.lock().writing
    }

    /// The same from now on; what it was before.
    pub(crate) fn now(&self, writing: Writing) -> Writing {
        std::mem::replace(&mut self.state.lock().writing, writing)
    }

    /// When the last checkpoint was written, in milliseconds since 1970.
    pub(crate) fn last_checkpoint_ms(&self) -> Option<u64> {
        self.state.lock().last_checkpoint_ms
    }

    /// Bytes of the directory.
    pub(crate) fn spooled(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }

    /// The same, counted anew.
    pub(crate) fn spool(&self, bytes: u64) {
        self.spooled.store(bytes, Ordering::Relaxed);
        self.metrics.spool.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// There are these sinks now, and who is new needs everything until it says otherwise.
    pub(crate) fn sinks<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut state = self.state.lock();
        let mut before = state.sinks.take().unwrap_or_default();
        let sinks = names.map(|name| before.remove_entry(name).unwrap_or_else(|| (name.to_owned(), 0)));
        state.sinks = Some(sinks.collect());
    }

    /// This sink needs this segment next. One that is delivered to no more needs none.
    pub(crate) fn needs(&self, sink: &str, segment: u64) {
        if let Some(next) = self.state.lock().sinks.as_mut().and_then(|sinks| sinks.get_mut(sink)) {
            *next = segment;
        }
    }

    /// The oldest segment that a sink needs; `None`: nobody needs any.
    pub(crate) fn all_past(&self) -> Option<u64> {
        match &self.state.lock().sinks {
            Some(sinks) => sinks.values().min().copied(),
            None => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_plugin::meter::Registry;

    #[test]
    fn what_was_given_up_is_not_on_disk() {
        let board = Board::new(Position::BEGINNING, 0, Metrics::new(&Registry::default()));
        board.advance(Position::BEGINNING, 2, 0, None);
        board.give_up(3);
        board.advance(Position::BEGINNING, 1, 0, None);
        let durable = board.at();
        let held: Vec<u64> = (1..=7).filter(|ticket| durable.holds(*ticket)).collect();
        assert_eq!(held, [1, 2, 6]);
    }
}
