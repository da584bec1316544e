//! Events that wait to be written: bounded, in order, and when there is no room, an account of what was lost.

use super::loss::{Loss, Reason};
use crate::config::OnError;
use crate::draft::Draft;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Instant;

/// Most events that wait.
const MOST_EVENTS: usize = 65_536;
/// Most bytes of them.
const MOST_BYTES: usize = 32 << 20;

/// Between those who report and the one who writes.
pub(crate) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    waiting: VecDeque<Draft>,
    /// Of what waits and of what is being written.
    held: Held,
    /// Events ever taken in.
    tickets: u64,
    loss: Loss,
    on_error: OnError,
    writing: Writing,
    /// The writer sleeps until somebody rings.
    asleep: bool,
    closing: bool,
}

#[derive(Clone, Copy, Default)]
struct Held {
    events: usize,
    bytes: usize,
}

/// Whether records reach the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writing {
    /// They do.
    Works,
    /// The last attempt failed.
    Fails(Reason),
    /// The log was closed.
    Over,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pushed {
    /// It will be written; durable once so many events are.
    Queued(u64),
    /// It was counted as lost.
    Lost,
}

/// What the writer is woken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// Events wait, or losses.
    ToWrite,
    /// The moment it asked for has come.
    ByTime,
    /// Nothing more will come.
    ToClose,
}

impl Queue {
    pub(crate) fn new(on_error: OnError) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            held: Held::default(),
            tickets: 0,
            loss: Loss::default(),
            on_error,
            writing: Writing::Works,
            asleep: false,
            closing: false,
        };
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    /// What is done about failures from now on.
    pub(crate) fn on_error(&self, on_error: OnError) {
        self.state.lock().on_error = on_error;
    }

    /// One more event. While nothing can be written it is lost under `open` and waits under `closed`.
    pub(crate) fn push(&self, draft: Draft) -> Pushed {
        let mut state = self.state.lock();
        let reason = match state.writing {
            Writing::Fails(reason) if state.on_error == OnError::Open => Some(reason),
            Writing::Over => Some(Reason::IoError),
            Writing::Works | Writing::Fails(_) => None,
        };
        let weight = draft.weight();
        let is_full = state.held.events >= MOST_EVENTS || state.held.bytes + weight > MOST_BYTES;
        if let Some(reason) = reason.or(is_full.then_some(Reason::QueueFull)) {
            state.loss.add(&draft, reason);
            return Pushed::Lost;
        }
        state.held.events += 1;
        state.held.bytes += weight;
        state.tickets += 1;
        state.waiting.push_back(draft);
        let ticket = state.tickets;
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.bell.notify_one();
        }
        Pushed::Queued(ticket)
    }

    /// Sleeps until there is something to write, until `deadline`, or until the end.
    pub(crate) fn wait(&self, deadline: Instant) -> Woken {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() || !state.loss.is_empty() && state.writing == Writing::Works {
                return Woken::ToWrite;
            }
            if state.closing {
                return Woken::ToClose;
            }
            state.asleep = true;
            let timed_out = self.bell.wait_until(&mut state, deadline).timed_out();
            state.asleep = false;
            if timed_out {
                return Woken::ByTime;
            }
        }
    }

    /// Sleeps until `until`, or until the end.
    pub(crate) fn pause(&self, until: Instant) {
        let mut state = self.state.lock();
        while !state.closing && !self.bell.wait_until(&mut state, until).timed_out() {}
    }

    /// Whether nothing more comes.
    pub(crate) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    /// Everything that waits, moved behind what `pending` holds already, and what was lost.
    pub(crate) fn take(&self, pending: &mut VecDeque<Draft>) -> Loss {
        let mut state = self.state.lock();
        pending.append(&mut state.waiting);
        std::mem::take(&mut state.loss)
    }

    /// These were written, or counted as lost: there is room again.
    pub(crate) fn release(&self, events: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.held.events = state.held.events.saturating_sub(events);
        state.held.bytes = state.held.bytes.saturating_sub(bytes);
    }

    /// The attempt to write succeeded or failed. What could not be told of losses is told another time; under `open`
    /// everything in hand is lost with it. How many events that is.
    pub(crate) fn settle(&self, writing: Writing, untold: Loss, pending: &mut VecDeque<Draft>) -> u64 {
        let mut state = self.state.lock();
        state.writing = writing;
        let mut lost = 0;
        let mut untold = untold;
        if let (Writing::Fails(reason), OnError::Open) = (writing, state.on_error) {
            let State { waiting, held, .. } = &mut *state;
            for draft in pending.drain(..).chain(waiting.drain(..)) {
                untold.add(&draft, reason);
                held.events -= 1;
                held.bytes -= draft.weight();
                lost += 1;
            }
        }
        untold.follow(std::mem::take(&mut state.loss));
        state.loss = untold;
        lost
    }

    /// Whether records reach the disk, and events lost that the log does not tell of yet.
    #[cfg(test)]
    pub(crate) fn standing(&self) -> (Writing, u64) {
        let state = self.state.lock();
        (state.writing, state.loss.lost())
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.bell.notify_all();
    }

    /// The writer is gone: what comes now is lost, and what waited.
    pub(crate) fn end(&self) -> u64 {
        let mut state = self.state.lock();
        state.writing = Writing::Over;
        state.held = Held::default();
        state.waiting.drain(..).count() as u64 + state.loss.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{Data, Mark};

    fn draft() -> Draft {
        Draft::new("request.finished", 1, Mark::None, Data { action: "a".into(), ..Data::default() })
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let queue = Queue::new(OnError::Closed);
        let queued = (0..MOST_EVENTS + 5).filter(|_| queue.push(draft()) != Pushed::Lost).count();
        assert!(queued <= MOST_EVENTS && queued * draft().weight() <= MOST_BYTES);
        let (_, lost) = queue.standing();
        assert_eq!(queued as u64 + lost, MOST_EVENTS as u64 + 5);
        let mut pending = VecDeque::new();
        let loss = queue.take(&mut pending);
        assert_eq!((pending.len(), loss.lost()), (queued, lost));
        assert_eq!(queue.push(draft()), Pushed::Lost, "what is being written takes room");
        queue.release(queued, queued * draft().weight());
        assert!(matches!(queue.push(draft()), Pushed::Queued(_)));
    }

    #[test]
    fn a_failure_loses_what_is_in_hand_when_open_and_nothing_when_closed() {
        for (on_error, kept) in [(OnError::Open, 0), (OnError::Closed, 2)] {
            let queue = Queue::new(on_error);
            queue.push(draft());
            queue.push(draft());
            let mut pending = VecDeque::new();
            let loss = queue.take(&mut pending);
            let lost = queue.settle(Writing::Fails(Reason::DiskFull), loss, &mut pending);
            assert_eq!((pending.len(), lost), (kept, 2 - kept as u64));
            let pushed = queue.push(draft());
            assert_eq!(pushed == Pushed::Lost, on_error == OnError::Open);
            assert_eq!(queue.standing().1, if on_error == OnError::Open { 3 } else { 0 });
        }
    }
}
