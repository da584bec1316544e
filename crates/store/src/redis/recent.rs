//! Writes of the last seconds, kept for whoever takes over from the server that has them.
//!
//! A server acknowledges before its replicas have what it wrote. Whoever takes over from it lacks what they had not got,
//! and what is not known there would be executed again. So each process keeps its claims that are open, and for a while
//! what became of the others, and writes them again before it asks the new server for anything. Every write can be repeated.
//!
//! Replicas may also have a claim and not what took it back, whoever claimed the key since. So of each key the owners are
//! kept whose claims were taken back, and the last write of another kind.
//!
//! Where claims wait for replicas, it is known up to when these have everything: what came after that is kept for as long as
//! no replica is heard, however long it takes to notice.

use super::failure::Failure;
use super::script::Call;
use crate::records::Owner;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long an outcome is kept at least: longer than it takes to notice that another server has taken over.
pub(super) const KEPT: Duration = Duration::from_secs(5);
/// Most bytes that are kept; the oldest writes go first.
const MOST_BYTES: usize = 16 << 20;
/// Bytes that a key and its last write take beside their words.
const ENTRY_BYTES: usize = 320;
/// Most owners of a key whose claims were taken back; the oldest go first. One client that repeats its request four times a
/// second fills it in four minutes.
const MOST_UNDONE: usize = 1024;
/// Between two looks at what may not go yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Keys written again at a time.
const AT_ONCE: usize = 64;

/// Writes of the last seconds, by key.
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
    /// By server: everything written there before this moment is on a replica. One whose replicas nobody waits for is not here.
    replicated: HashMap<u64, Instant>,
}

/// What came of writing something again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rewritten {
    Yes,
    /// Its server is away; it is tried again with the next change.
    NotYet,
}

/// Knowledge of a key, in the order in which it is written again.
#[derive(Default)]
struct Entry {
    undone: VecDeque<Undone>,
    last: Option<Write>,
}

/// A claim that was taken back.
struct Undone {
    owner: Owner,
    place: Place,
    until: Instant,
}

/// A claim that was granted, or what became of it.
struct Write {
    call: Arc<Call>,
    owner: Owner,
    place: Place,
    until: Instant,
}

/// The server that has something, and since when.
#[derive(Clone, Copy)]
struct Place {
    keeper: u64,
    since: Instant,
}

/// Calls to write again for a key.
struct Behind {
    key: Vec<u8>,
    /// The server that should have it.
    keeper: u64,
    /// Up to when it is told here what was taken back.
    seen: Instant,
    undone: Option<Arc<Call>>,
    last: Option<Arc<Call>>,
}

impl Recent {
    /// Whether nobody has asked this before.
    pub(super) fn is_first_use(&self) -> bool {
        !self.is_used.swap(true, Ordering::Relaxed)
    }

    /// `call` of `owner` is about to be written at `keeper`, and is of interest for so long. It replaces the last one.
    pub(super) fn note(&self, call: &Arc<Call>, owner: Owner, keeper: u64, lives: Duration) {
        let now = Instant::now();
        let write = Write { call: Arc::clone(call), owner, place: Place { keeper, since: now }, until: now + lives };
        self.state.lock().change(&call.key, now, now + lives, |entry| entry.last = Some(write));
    }

    /// The claim of `key` by `owner` is about to be taken back at `keeper`.
    pub(super) fn undone(&self, key: &[u8], owner: Owner, keeper: u64) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let place = Place { keeper, since: now };
        state.change(key, now, now + KEPT, |entry| {
            entry.last.take_if(|write| write.owner == owner);
            // Who tries again has the last place already.
            entry.undone.pop_back_if(|undone| undone.owner == owner);
            entry.undone.push_back(Undone { owner, place, until: now + KEPT });
            if entry.undone.len() > MOST_UNDONE {
                entry.undone.pop_front();
            }
        });
    }

    /// `call` wrote nothing.
    pub(super) fn forget(&self, call: &Arc<Call>) {
        self.state.lock().change_known(&call.key, |entry| {
            entry.last.take_if(|write| Arc::ptr_eq(&write.call, call));
        });
    }

    /// Replicas of `keeper` were waited for: with `heard`, they have everything that was written there before `moment`. Else that is
    /// the least that may be missing, unless more is known.
    pub(super) fn waited_for(&self, keeper: u64, moment: Instant, heard: bool) {
        let mut state = self.state.lock();
        let known = state.replicated.entry(keeper).or_insert(moment);
        if heard {
            *known = moment;
        }
    }

    /// What is known of `key` is of interest for so much longer.
    pub(super) fn prolong(&self, key: &[u8], lives: Duration) {
        let mut state = self.state.lock();
        if let Some(write) = state.entries.get_mut(key).and_then(|entry| entry.last.as_mut()) {
            write.until = write.until.max(Instant::now() + lives);
        }
    }

    /// Writes again, by `write`, what another server should have by now than the one that has it; `version` counts such
    /// changes. What was written is not written again when the rest fails.
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
        let written = stream::iter(behind).map(|behind| self.write_key(behind, &write));
        written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;

        self.state.lock().forget_servers();
        self.version.store(version, Ordering::Release);
        if count > 0 {
            tracing::info!(target: "store", records = count, "records written lately were written again where another server took over");
        }
        Ok(())
    }

    /// Writes again what is known of one key, one after the other: what was taken back may stand in the way of what came later.
    async fn write_key<F>(&self, behind: Behind, write: impl Fn(Arc<Call>) -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<Rewritten, Failure>>,
    {
        let Behind { key, keeper, seen, undone, last } = behind;
        let is_there = |written: Result<Rewritten, Failure>| match written {
            Ok(Rewritten::Yes) => Ok(true),
            Ok(Rewritten::NotYet) => Ok(false),
            Err(failure) if failure.says_that_it_was_answered() => Ok(true),
            Err(failure) => Err(failure),
        };

        if let Some(call) = undone {
            if !is_there(write(call).await)? {
                return Ok(());
            }
            self.state.lock().change_known(&key, |entry| {
                let were_written = entry.undone.iter_mut().filter(|undone| undone.place.since <= seen);
                were_written.for_each(|undone| undone.place = Place { keeper, since: Instant::now() });
            });
        }

        // What became of a claim meanwhile is written by whoever ended it, and must not be followed by the claim.
        if let Some(call) = last.filter(|call| self.is_current(call))
            && is_there(write(Arc::clone(&call)).await)?
        {
            self.state.lock().change_known(&key, |entry| {
                if let Some(write) = entry.last.as_mut().filter(|write| Arc::ptr_eq(&write.call, &call)) {
                    write.place = Place { keeper, since: Instant::now() };
                }
            });
        }
        Ok(())
    }

    /// Keys of which something is not where it should be.
    fn behind(&self, keeper: impl Fn(&[u8]) -> u64) -> Vec<Behind> {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.sweep(now);
        state.entries.iter().filter_map(|(key, entry)| entry.behind(key, keeper(key), now)).collect()
    }

    fn is_current(&self, call: &Arc<Call>) -> bool {
        let state = self.state.lock();
        let last = state.entries.get(&call.key).and_then(|entry| entry.last.as_ref());
        last.is_some_and(|write| Arc::ptr_eq(&write.call, call))
    }
}

impl Entry {
    fn behind(&self, key: &[u8], keeper: u64, seen: Instant) -> Option<Behind> {
        let owners = self.undone.iter().filter(|undone| undone.place.keeper != keeper).map(|undone| undone.owner);
        let owners: Vec<_> = owners.collect();
        let undone = (!owners.is_empty()).then(|| Arc::new(Call::release_any(key.to_vec(), &owners)));

        let last = self.last.as_ref().filter(|write| write.place.keeper != keeper).map(|write| Arc::clone(&write.call));
        let is_behind = undone.is_some() || last.is_some();
        is_behind.then(|| Behind { key: key.to_vec(), keeper, seen, undone, last })
    }

    fn bytes(&self, key: &[u8]) -> usize {
        let last = self.last.as_ref().map_or(0, |write| write.call.bytes());
        ENTRY_BYTES + 2 * key.len() + last + self.undone.len() * size_of::<Undone>()
    }

    /// Lets go what is of no interest any more, and gives when to look again if anything is left.
    fn sweep(&mut self, now: Instant, is_alone: impl Fn(Place) -> bool) -> Option<Instant> {
        let may_go = |until: Instant, place: Place| until <= now && !is_alone(place);
        while self.undone.pop_front_if(|undone| may_go(undone.until, undone.place)).is_some() {}
        self.last.take_if(|write| may_go(write.until, write.place));

        let undone = self.undone.front().map(|undone| undone.until);
        let last = self.last.as_ref().map(|write| write.until);
        undone.into_iter().chain(last).min().map(|until| until.max(now + LOOK_AGAIN))
    }
}

impl State {
    /// Changes what is known of `key`, which is looked at again at `due`.
    fn change(&mut self, key: &[u8], now: Instant, due: Instant, change: impl FnOnce(&mut Entry)) {
        if !self.entries.contains_key(key) {
            let entry = Entry::default();
            self.bytes += entry.bytes(key);
            self.entries.insert(key.to_vec(), entry);
            self.due.push_back((due, key.to_vec()));
        }
        self.change_known(key, change);
        self.sweep(now);
    }

    fn change_known(&mut self, key: &[u8], change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.bytes -= entry.bytes(key);
            change(entry);
            self.bytes += entry.bytes(key);
        }
    }

    /// Forgets what is of no interest any more, and the oldest beyond the bound.
    fn sweep(&mut self, now: Instant) {
        while let Some((due, _)) = self.due.front() {
            let is_over = self.bytes > MOST_BYTES;
            if *due > now && !is_over {
                return;
            }
            let Some((_, key)) = self.due.pop_front() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };

            self.bytes -= entry.bytes(&key);
            let replicated = &self.replicated;
            let is_alone = |place: Place| replicated.get(&place.keeper).is_some_and(|moment| *moment < place.since);
            match entry.sweep(now, is_alone) {
                Some(due) if !is_over => {
                    self.bytes += entry.bytes(&key);
                    self.due.push_back((due, key));
                }
                _ => drop(self.entries.remove(&key)),
            }
        }
    }

    /// Forgets servers that have nothing any more.
    fn forget_servers(&mut self) {
        let places = |entry: &Entry| -> Vec<u64> {
            let undone = entry.undone.iter().map(|undone| undone.place.keeper);
            undone.chain(entry.last.as_ref().map(|write| write.place.keeper)).collect()
        };
        let keepers: HashSet<u64> = self.entries.values().flat_map(places).collect();
        self.replicated.retain(|server, _| keepers.contains(server));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Abandoned, Claim, Fingerprint, Hold, Keeping, Name, Outcome, Payer};
    use crate::redis::script::Kind;
    use bytes::Bytes;
    use std::cell::RefCell;

    const LONG: Duration = Duration::from_secs(60);

    fn hold(number: u8) -> Hold {
        let (fingerprint, owner) = (Fingerprint([number; 32]), Owner([number; 16]));
        Hold { name: Name([number; 16]), fingerprint, owner, trace_id: 0, payer: Payer::default() }
    }

    fn call(number: u8) -> Arc<Call> {
        let hold = hold(number);
        let claim = Claim { hold, lease: LONG, ttl: LONG, abandoned: Abandoned::Respect, replicas: 0 };
        Arc::new(Call::begin("test", &claim, 1))
    }

    fn note(recent: &Recent, number: u8, keeper: u64, lives: Duration) {
        recent.note(&call(number), Owner([number; 16]), keeper, lives);
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
        note(&recent, 1, 1, LONG);
        note(&recent, 2, 2, LONG);
        assert_eq!(bring(&recent, 2, Rewritten::Yes).await, [call(1).key.clone()], "the other one is there");
        assert!(bring(&recent, 2, Rewritten::Yes).await.is_empty());
        assert_eq!(bring(&recent, 3, Rewritten::Yes).await.len(), 2);
    }

    #[tokio::test]
    async fn what_could_not_be_taken_is_tried_again_with_the_next_change() {
        let recent = Recent::default();
        note(&recent, 1, 1, LONG);
        assert_eq!(bring(&recent, 2, Rewritten::NotYet).await.len(), 1);
        assert!(recent.behind(|_| 2).len() == 1, "it counts as written nowhere new");
        assert_eq!(bring(&recent, 3, Rewritten::Yes).await.len(), 1);
        assert!(recent.behind(|_| 3).is_empty());
    }

    #[tokio::test]
    async fn what_was_ended_meanwhile_is_not_claimed_again() {
        let recent = Recent::default();
        [1, 2].iter().for_each(|number| note(&recent, *number, 1, LONG));
        let written = RefCell::new(0);
        let write = |_| {
            *written.borrow_mut() += 1;
            // Both end while the first of them is written.
            [1, 2].iter().for_each(|number| note(&recent, *number, 2, LONG));
            async { Ok(Rewritten::Yes) }
        };
        recent.bring_over(2, Instant::now() + LONG, |_| 2, write).await.expect("in time");
        assert_eq!(written.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_write_that_fails_leaves_all_that_is_behind() {
        let recent = Recent::default();
        note(&recent, 1, 1, LONG);
        let fails = |_| async { Err(Failure::Late) };
        assert_eq!(recent.bring_over(2, Instant::now() + LONG, |_| 2, fails).await, Err(Failure::Late));
        assert_eq!(bring(&recent, 2, Rewritten::Yes).await.len(), 1);
    }

    /// The key is free where the release came first, and taken by whoever is not the owner where it did not.
    #[tokio::test]
    async fn what_was_taken_back_goes_before_what_came_later_and_never_in_its_place() {
        let recent = Recent::default();
        let key = call(1).key.clone();
        recent.undone(&key, Owner([7; 16]), 1);
        recent.undone(&key, Owner([8; 16]), 1);
        note(&recent, 1, 1, LONG);
        recent.undone(&key, Owner([7; 16]), 1);

        let written = RefCell::new(Vec::new());
        let write = |call: Arc<Call>| {
            written.borrow_mut().push(call);
            async { Ok(Rewritten::Yes) }
        };
        recent.bring_over(2, Instant::now() + LONG, |_| 2, write).await.expect("in time");
        let written = written.into_inner();
        assert_eq!(written.iter().map(|call| call.kind).collect::<Vec<_>>(), [Kind::Other, Kind::Claim]);
        assert!(bring(&recent, 2, Rewritten::Yes).await.is_empty());
        assert_eq!(bring(&recent, 3, Rewritten::Yes).await.len(), 2, "all of it is known still");

        recent.undone(&key, Owner([1; 16]), 3);
        assert_eq!(bring(&recent, 4, Rewritten::Yes).await.len(), 1, "the claim itself was taken back");
    }

    #[tokio::test]
    async fn what_was_taken_back_of_one_key_is_bounded() {
        let recent = Recent::default();
        for number in 0..2 * MOST_UNDONE as u128 {
            recent.undone(&call(1).key, Owner(number.to_be_bytes()), 1);
        }
        let state = recent.state.lock();
        let entry = &state.entries[&call(1).key];
        assert_eq!(entry.undone.len(), MOST_UNDONE);
        assert_eq!(state.bytes, entry.bytes(&call(1).key));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_replica_was_heard_to_have_is_kept_for_as_long_as_none_is_heard() {
        let recent = Recent::default();
        recent.waited_for(1, Instant::now(), true);
        tokio::time::advance(Duration::from_millis(10)).await;
        note(&recent, 1, 1, KEPT);
        recent.undone(&call(4).key, Owner([4; 16]), 1);
        tokio::time::advance(KEPT * 10).await;
        assert_eq!(recent.behind(|_| 2).len(), 2, "no replica is heard");

        recent.waited_for(1, Instant::now(), true);
        tokio::time::advance(LOOK_AGAIN).await;
        assert!(recent.behind(|_| 2).is_empty(), "one is");

        recent.waited_for(5, Instant::now(), false);
        tokio::time::advance(Duration::from_millis(10)).await;
        recent.waited_for(5, Instant::now(), false);
        note(&recent, 5, 5, KEPT);
        tokio::time::advance(KEPT * 10).await;
        assert_eq!(recent.behind(|_| 2).len(), 1, "none was ever heard");
        recent.waited_for(5, Instant::now(), true);
        tokio::time::advance(LOOK_AGAIN).await;

        note(&recent, 2, 3, KEPT);
        tokio::time::advance(KEPT).await;
        assert!(recent.behind(|_| 2).is_empty(), "nobody waits for the replicas of that server");
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_is_too_much_and_all_when_their_time_is_over() {
        let recent = Recent::default();
        let reply = Bytes::from(vec![0; 1 << 20]);
        for number in 0..40 {
            let outcome = Outcome::Done { status: 201, reply: reply.clone() };
            let keep = Keeping { ttl: LONG, replicas: 0 };
            let complete = Call::complete("test", &hold(number), &outcome, keep);
            recent.note(&Arc::new(complete), Owner([number; 16]), 1, LONG);
        }
        let behind = recent.behind(|_| 2);
        assert!((14..=16).contains(&behind.len()) && recent.state.lock().bytes <= MOST_BYTES, "{}", behind.len());
        assert!(behind.iter().any(|behind| behind.key == call(39).key), "the last one is kept");

        let recent = Recent::default();
        note(&recent, 1, 1, Duration::ZERO);
        assert!(recent.behind(|_| 2).is_empty());
        assert_eq!(recent.state.lock().bytes, 0);
    }
}
