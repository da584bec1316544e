//! What an origin has seen, for tests to look at and to wait for.

use super::received::Received;
use crate::deadline::within;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::watch;

/// Requests remembered in full; older ones are only counted.
const KEPT: usize = 20_000;

/// What an origin has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// Complete request heads.
    pub hits: usize,
    /// Requests read to the end of their body.
    pub complete: usize,
    /// Exchanges whose connection the other side ended before the reply was sent.
    pub aborted: usize,
    /// Bytes of request bodies, as they came.
    pub body_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    counts: watch::Sender<Counts>,
    requests: Mutex<VecDeque<Received>>,
}

impl State {
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    /// Remembers a request whose head came; numbers it.
    pub(crate) fn arrived(&self, received: &mut Received) {
        let mut requests = self.requests.lock();
        received.number = self.counts().hits + 1;
        if requests.len() == KEPT {
            requests.pop_front();
        }
        requests.push_back(received.clone());
        self.count(|counts| counts.hits += 1);
    }

    /// Remembers how its body came.
    pub(crate) fn read(&self, received: &Received) {
        let mut requests = self.requests.lock();
        let first = requests.front().map_or(1, |first| first.number);
        if let Some(kept) = received.number.checked_sub(first).and_then(|at| requests.get_mut(at)) {
            *kept = received.clone();
        }
        if received.body_end == crate::BodyEnd::Complete {
            self.count(|counts| counts.complete += 1);
        }
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.requests.lock().iter().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<Received> {
        self.requests.lock().back().cloned()
    }

    pub(crate) async fn wait(&self, what: &str, mut until: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.counts.subscribe();
        let reached = async {
            // The sender lives in `self`, so the channel cannot close while this waits.
            counts.wait_for(|counts| until(counts)).await.map(|counts| *counts).unwrap_or_default()
        };
        within(what, reached).await
    }
}
