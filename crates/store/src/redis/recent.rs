//! What this process wrote lately, for a server that takes over and may not have it.
//!
//! A server acknowledges before its replicas have what it wrote. Whoever takes over from it lacks what they had not got,
//! and what is not known there would be executed again. So each process keeps its claims that are open, and for a while
//! what became of the others, and writes them again before it asks the new server for anything. Every write can be repeated.

use super::failure::Failure;
use super::script::Call;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long an outcome is kept: longer than it takes to notice that another server has taken over.
pub(super) const KEPT: Duration = Duration::from_secs(5);
/// Most bytes that are kept; the oldest writes go first.
const MOST_BYTES: usize = 16 << 20;
/// What an entry takes beside its words.
const ENTRY_BYTES: usize = 256;
/// Writes repeated at a time.
const AT_ONCE: usize = 64;

/// Writes of the last seconds, by key the last one.
#[derive(Default)]
pub(super) struct Recent {
    state: Mutex<State>,
    /// Held by the one who writes them again.
    turn: tokio::sync::Mutex<()>,
    /// Which servers have them, as its owner counts them.
    version: AtomicU64,
    is_used: AtomicBool,
}

#[derive(Default)]
struct State {
    entries: HashMap<Vec<u8>, Entry>,
    /// When keys are looked at, each once.
    due: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

/// What came of writing something again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rewritten {
    Yes,
    /// Its server is away; it is tried again with the next change.
    NotYet,
}

struct Entry {
    call: Arc<Call>,
    /// The server that has it.
    keeper: u64,
    until: Instant,
}

impl Recent {
    /// Whether nobody has asked this before.
    pub(super) fn is_first_use(&self) -> bool {
        !self.is_used.swap(true, Ordering::Relaxed)
    }

    /// `call` is about to be written at `keeper`, and is of interest for so long.
    pub(super) fn note(&self, call: &Arc<Call>, keeper: u64, lives: Duration) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.bytes += weight(call);
        let entry = Entry { call: Arc::clone(call), keeper, until: now + lives };
        match state.entries.insert(call.key.clone(), entry) {
            Some(before) => state.bytes -= weight(&before.call),
            None => state.due.push_back((now + lives, call.key.clone())),
        }
        state.sweep(now);
    }

    /// `call` wrote nothing.
    pub(super) fn forget(&self, call: &Arc<Call>) {
        self.state.lock().remove_if(&call.key, |entry| Arc::ptr_eq(&entry.call, call));
    }

    /// What is known of `key` is of interest for so much longer.
    pub(super) fn prolong(&self, key: &[u8], lives: Duration) {
        if let Some(entry) = self.state.lock().entries.get_mut(key) {
            entry.until = entry.until.max(Instant::now() + lives);
        }
    }

    /// Writes again, by `write`, what another server should have by now than the one that has it; `version` counts such
    /// changes. What was written is not written again when the rest fails. How many there were, if any work was due.
    pub(super) async fn bring_over<F>(
        &self,
        version: u64,
        keeper: impl Fn(&[u8]) -> u64,
        write: impl Fn(Arc<Call>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Rewritten, Failure>>,
    {
        if self.version.load(Ordering::Acquire) == version {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.version.load(Ordering::Acquire) == version {
            return Ok(());
        }

        let behind = self.behind(&keeper);
        let count = behind.len();
        let written = stream::iter(behind).map(|(call, keeper)| {
            let write = &write;
            async move {
                // What became of a claim meanwhile is written by whoever ended it, and must not be followed by the claim.
                if !self.is_current(&call) {
                    return Ok(());
                }
                match write(Arc::clone(&call)).await {
                    Ok(Rewritten::Yes) => self.moved(&call, keeper),
                    Ok(Rewritten::NotYet) => {}
                    Err(failure) if failure.says_that_it_was_answered() => self.moved(&call, keeper),
                    Err(failure) => return Err(failure),
                }
                Ok(())
            }
        });
        written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;

        self.version.store(version, Ordering::Release);
        if count > 0 {
            tracing::info!(target: "store", records = count, "records written lately were written again where another server took over");
        }
        Ok(())
    }

    /// What is not where it should be, and where that is.
    fn behind(&self, keeper: impl Fn(&[u8]) -> u64) -> Vec<(Arc<Call>, u64)> {
        let mut state = self.state.lock();
        state.sweep(Instant::now());
        let entries = state.entries.iter().map(|(key, entry)| (entry, keeper(key)));
        entries.filter(|(entry, now)| entry.keeper != *now).map(|(entry, now)| (Arc::clone(&entry.call), now)).collect()
    }

    fn is_current(&self, call: &Arc<Call>) -> bool {
        self.state.lock().entries.get(&call.key).is_some_and(|entry| Arc::ptr_eq(&entry.call, call))
    }

    fn moved(&self, call: &Arc<Call>, keeper: u64) {
        if let Some(entry) = self.state.lock().entries.get_mut(&call.key)
            && Arc::ptr_eq(&entry.call, call)
        {
            entry.keeper = keeper;
        }
    }
}

impl State {
    /// Forgets what is of no interest any more, and the oldest beyond the bound.
    fn sweep(&mut self, now: Instant) {
        while let Some((due, _)) = self.due.front() {
            let is_over = self.bytes > MOST_BYTES;
            if *due > now && !is_over {
                return;
            }
            let Some((_, key)) = self.due.pop_front() else { return };
            let Some(until) = self.entries.get(&key).map(|entry| entry.until) else { continue };
            if until > now && !is_over {
                self.due.push_back((until, key));
            } else {
                self.remove_if(&key, |_| true);
            }
        }
    }

    fn remove_if(&mut self, key: &[u8], wanted: impl Fn(&Entry) -> bool) {
        if self.entries.get(key).is_some_and(wanted)
            && let Some(gone) = self.entries.remove(key)
        {
            self.bytes -= weight(&gone.call);
        }
    }
}

fn weight(call: &Call) -> usize {
    ENTRY_BYTES + call.bytes()
}
