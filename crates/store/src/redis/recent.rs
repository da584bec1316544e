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
use tokio::time::{Instant, timeout_at};

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
        deadline: Instant,
        keeper: impl Fn(&[u8]) -> u64,
        write: impl Fn(Arc<Call>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Rewritten, Failure>>,
    {
        if self.version.load(Ordering::Acquire) == version {
            return Ok(());
        }
        let late = |_elapsed| Err(Failure::Unreachable("what was written lately is not there yet".to_owned()));
        timeout_at(deadline, self.write_again(version, keeper, write)).await.unwrap_or_else(late)
    }

    async fn write_again<F>(
        &self,
        version: u64,
        keeper: impl Fn(&[u8]) -> u64,
        write: impl Fn(Arc<Call>) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Rewritten, Failure>>,
    {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Fingerprint, Hold, Keeping, Name, Outcome, Owner, Payer};
    use bytes::Bytes;
    use std::cell::RefCell;

    const LONG: Duration = Duration::from_secs(60);

    fn hold(number: u8) -> Hold {
        let (fingerprint, owner) = (Fingerprint([number; 32]), Owner([number; 16]));
        Hold { name: Name([number; 16]), fingerprint, owner, trace_id: 0, payer: Payer::default() }
    }

    fn call(number: u8) -> Arc<Call> {
        Arc::new(Call::release("test", &hold(number)))
    }

    /// Writes to `keeper` what is behind, and gives the keys that were written.
    async fn bring(recent: &Recent, version: u64, came: Rewritten) -> Vec<Vec<u8>> {
        let written = RefCell::new(Vec::new());
        let write = |call: Arc<Call>| {
            written.borrow_mut().push(call.key.clone());
            async move { Ok(came) }
        };
        recent.bring_over(version, Instant::now() + LONG, |_| version, write).await.expect("in time");
        written.into_inner()
    }

    #[tokio::test]
    async fn what_another_server_has_is_written_once_to_the_next() {
        let recent = Recent::default();
        recent.note(&call(1), 1, LONG);
        recent.note(&call(2), 2, LONG);
        assert_eq!(bring(&recent, 2, Rewritten::Yes).await, [call(1).key.clone()], "the other one is there");
        assert!(bring(&recent, 2, Rewritten::Yes).await.is_empty());
        assert_eq!(bring(&recent, 3, Rewritten::Yes).await.len(), 2);
    }

    #[tokio::test]
    async fn what_could_not_be_taken_is_tried_again_with_the_next_change() {
        let recent = Recent::default();
        recent.note(&call(1), 1, LONG);
        assert_eq!(bring(&recent, 2, Rewritten::NotYet).await.len(), 1);
        assert!(recent.behind(|_| 2).len() == 1, "it counts as written nowhere new");
        assert_eq!(bring(&recent, 3, Rewritten::Yes).await.len(), 1);
        assert!(recent.behind(|_| 3).is_empty());
    }

    #[tokio::test]
    async fn what_was_ended_meanwhile_is_not_claimed_again() {
        let recent = Recent::default();
        let claims = [call(1), call(2)];
        claims.iter().for_each(|claim| recent.note(claim, 1, LONG));
        let written = RefCell::new(0);
        let write = |_| {
            *written.borrow_mut() += 1;
            // Both end while the first of them is written.
            [1, 2].iter().for_each(|number| recent.note(&call(*number), 2, LONG));
            async { Ok(Rewritten::Yes) }
        };
        recent.bring_over(2, Instant::now() + LONG, |_| 2, write).await.expect("in time");
        assert_eq!(written.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_write_that_fails_leaves_all_that_is_behind() {
        let recent = Recent::default();
        recent.note(&call(1), 1, LONG);
        let fails = |_| async { Err(Failure::Late) };
        assert_eq!(recent.bring_over(2, Instant::now() + LONG, |_| 2, fails).await, Err(Failure::Late));
        assert_eq!(bring(&recent, 2, Rewritten::Yes).await.len(), 1);
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_is_too_much_and_all_when_their_time_is_over() {
        let recent = Recent::default();
        let reply = Bytes::from(vec![0; 1 << 20]);
        for number in 0..40 {
            let outcome = Outcome::Done { status: 201, reply: reply.clone() };
            let keep = Keeping { ttl: LONG, replicas: 0 };
            recent.note(&Arc::new(Call::complete("test", &hold(number), &outcome, keep)), 1, LONG);
        }
        let behind = recent.behind(|_| 2);
        assert!((14..=16).contains(&behind.len()) && recent.state.lock().bytes <= MOST_BYTES, "{}", behind.len());
        assert!(behind.iter().any(|(kept, _)| kept.key == call(39).key), "the last one is kept");

        let recent = Recent::default();
        recent.note(&call(1), 1, Duration::ZERO);
        assert!(recent.behind(|_| 2).is_empty());
        assert_eq!(recent.state.lock().bytes, 0);
    }
}
