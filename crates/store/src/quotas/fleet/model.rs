//! A store in memory that keeps the rules of `take.lua`, so that what follows from them can be tried without a server.
//!
//! Its time is whatever a caller says that it is, and may step. Nothing expires before [`Store::expire`] is called, as a
//! server whose clock is given to the script expires by another one.

use super::round::{BucketAsk, Entry, Holding, Refund, play};
use crate::quotas::{Algorithm, Limit, sliding_log};
use std::collections::BTreeMap;

/// Buckets by the end of their key.
#[derive(Default)]
pub(super) struct Store {
    buckets: BTreeMap<String, Kept>,
}

/// So much is owed beyond the tolerance at most: 50 days.
const MOST_BEYOND_NS: u64 = 50 * 86_400 * 1_000_000_000;

/// The value of a key.
struct Kept {
    state: State,
    expires_ms: u64,
}

#[derive(Clone)]
enum State {
    Debt {
        stamp_us: u64,
        debt_ns: u64,
        reset_us: Option<u64>,
        /// How much of the debt may be beyond the tolerance.
        beyond_ns: u64,
    },
    /// Stamps in microseconds, the newest last.
    Log(Vec<u64>),
}

/// What is told of one bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) before: Holding,
    /// Nanoseconds of debt, or the units of a log, when all was done.
    pub(super) after: u64,
}

/// What a holding comes to in an answer.
pub(super) fn told(holding: &Holding) -> u64 {
    match holding {
        Holding::Debt(debt_ns) => *debt_ns,
        Holding::Log { words, .. } => words[0],
    }
}

/// A bucket as it is read, with what came back.
struct Read {
    state: State,
    before: Holding,
    changed: bool,
}

impl Store {
    /// One call of the script. Buckets are named, and told apart by algorithm as well.
    pub(super) fn take(&mut self, now_us: u64, asks: &[(&str, BucketAsk)], entries: &[Entry]) -> Vec<Answer> {
        let keys: Vec<String> = asks.iter().map(|(name, ask)| key(name, &ask.limit)).collect();
        let read: Vec<Read> = keys.iter().zip(asks).map(|(key, (_, ask))| self.read(now_us, key, ask)).collect();
        let mut after: Vec<Holding> = read.iter().map(|read| read.before.clone()).collect();
        let plain: Vec<BucketAsk> = asks.iter().map(|(_, ask)| ask.clone()).collect();
        play(&plain, entries, &mut after);
        let mut answers = Vec::with_capacity(asks.len());
        for (((key, ask), read), after) in keys.into_iter().zip(&plain).zip(read).zip(after) {
            answers.push(Answer { before: read.before.clone(), after: told(&after) });
            if read.changed || after != read.before {
                self.write(now_us, key, &ask.limit, &read, &after);
            }
        }
        answers
    }

    /// Empties a bucket, and remembers when.
    pub(super) fn reset(&mut self, now_us: u64, name: &str, limit: &Limit) {
        let key = key(name, limit);
        match limit.algorithm() {
            Algorithm::Gcra => {
                let state = State::Debt { stamp_us: now_us, debt_ns: 0, reset_us: Some(now_us), beyond_ns: 0 };
                self.keep(now_us, key, state, limit.tolerance_ns());
            }
            Algorithm::SlidingLog => {
                self.buckets.remove(&key);
            }
        }
    }

    /// Loses everything.
    pub(super) fn empty(&mut self) {
        self.buckets.clear();
    }

    /// Drops what has expired by now.
    pub(super) fn expire(&mut self, now_us: u64) {
        self.buckets.retain(|_, kept| now_us / 1_000 <= kept.expires_ms);
    }

    /// Buckets that are kept.
    pub(super) fn keys(&self) -> usize {
        self.buckets.len()
    }

    fn read(&self, now_us: u64, key: &str, ask: &BucketAsk) -> Read {
        let kept = self.buckets.get(key).map(|kept| &kept.state);
        match (ask.limit.algorithm(), kept) {
            (Algorithm::Gcra, Some(state @ State::Debt { .. })) => read_debt(now_us, ask, state),
            (Algorithm::Gcra, _) => {
                let unused = State::Debt { stamp_us: now_us, debt_ns: 0, reset_us: None, beyond_ns: 0 };
                read_debt(now_us, ask, &unused)
            }
            (Algorithm::SlidingLog, Some(State::Log(stamps))) => read_log(now_us, ask, stamps),
            (Algorithm::SlidingLog, _) => read_log(now_us, ask, &[]),
        }
    }

    fn write(&mut self, now_us: u64, key: String, limit: &Limit, read: &Read, after: &Holding) {
        match (&read.state, after) {
            (State::Debt { reset_us, beyond_ns, .. }, Holding::Debt(debt_ns)) => {
                let marked_ns = reset_us.map_or(0, |at| limit.tolerance_ns().saturating_sub(since_ns(now_us, at)));
                let beyond_ns = (*beyond_ns).min(debt_ns.saturating_sub(limit.tolerance_ns()));
                let state = State::Debt { stamp_us: now_us, debt_ns: *debt_ns, reset_us: *reset_us, beyond_ns };
                self.keep(now_us, key, state, marked_ns.max(*debt_ns));
            }
            (State::Log(stamps), Holding::Log { .. }) => {
                let mut stamps = stamps.clone();
                stamps.resize(usize::try_from(told(after)).expect("at most 64"), now_us);
                if stamps.is_empty() {
                    self.buckets.remove(&key);
                } else {
                    let expires_ms = now_us / 1_000 + limit.window_ns().div_ceil(1_000_000);
                    self.buckets.insert(key, Kept { state: State::Log(stamps), expires_ms });
                }
            }
            _ => unreachable!("a bucket stays of its kind"),
        }
    }

    fn keep(&mut self, now_us: u64, key: String, state: State, lasts_ns: u64) {
        let expires_ms = now_us / 1_000 + lasts_ns.div_ceil(1_000_000) + 1_000;
        self.buckets.insert(key, Kept { state, expires_ms });
    }
}

fn key(name: &str, limit: &Limit) -> String {
    match limit.algorithm() {
        Algorithm::Gcra => format!("{name}:g"),
        Algorithm::SlidingLog => format!("{name}:l"),
    }
}

/// A stamp ahead of the clock, which was set back, counts as now.
fn since_ns(now_us: u64, stamp_us: u64) -> u64 {
    now_us.saturating_sub(stamp_us) * 1_000
}

fn read_debt(now_us: u64, ask: &BucketAsk, kept: &State) -> Read {
    let State::Debt { stamp_us, debt_ns, reset_us, beyond_ns } = *kept else { unreachable!("it is one of debt") };
    let drained_ns = debt_ns.saturating_sub(since_ns(now_us, stamp_us));
    let tolerance_ns = ask.limit.tolerance_ns();
    let mut beyond_ns = beyond_ns.min(drained_ns.saturating_sub(tolerance_ns));
    let most_ns = (tolerance_ns + beyond_ns).max(if ask.is_asked { 0 } else { drained_ns });
    let mut debt_ns = drained_ns.min(most_ns);
    let (owed_ns, seen_us) = ask.owed.map_or((0, ask.seen_us), |owed| (owed.debt_ns, owed.seen_us));
    if reset_us.is_none_or(|reset_us| reset_us <= seen_us) {
        let cap_ns = (tolerance_ns + ask.limit.emission_ns() * ask.proxies.max(1)).min(MOST_BEYOND_NS);
        beyond_ns = (beyond_ns + ask.carry_ns).min(cap_ns);
        debt_ns = (debt_ns.max(owed_ns.min(most_ns)) + ask.carry_ns).min(most_ns.max(tolerance_ns + beyond_ns));
    }
    let counts =
        |refund: &&Refund| refund.stamp_us <= now_us && reset_us.is_none_or(|reset_us| reset_us <= refund.stamp_us);
    for refund in ask.refunds.iter().filter(counts) {
        debt_ns = debt_ns.saturating_sub(refund.amount.saturating_sub(since_ns(now_us, refund.stamp_us)));
    }
    Read {
        state: State::Debt { stamp_us, debt_ns, reset_us, beyond_ns },
        before: Holding::Debt(debt_ns),
        changed: debt_ns != drained_ns || stamp_us > now_us,
    }
}

fn read_log(now_us: u64, ask: &BucketAsk, kept: &[u64]) -> Read {
    let ahead_us = kept.last().map_or(0, |newest| newest.saturating_sub(now_us));
    let mut back: BTreeMap<u64, u64> = ask.refunds.iter().map(|refund| (refund.stamp_us, refund.amount)).collect();
    let mut changed = ahead_us > 0;
    let (mut stamps, mut words) = (Vec::new(), sliding_log::EMPTY);
    for (newer, raw_us) in (0..kept.len() as u64).rev().zip(kept) {
        let stamp_us = raw_us - ahead_us;
        if let Some(back) = back.get_mut(raw_us).filter(|back| **back > 0) {
            *back -= 1;
            changed = true;
        } else if newer < ask.limit.quota() && since_ns(now_us, stamp_us) < ask.limit.window_ns() {
            stamps.push(stamp_us);
            sliding_log::write(&mut words, stamp_us * 1_000, 1);
        }
    }
    Read { state: State::Log(stamps), before: Holding::Log { words, now_ns: now_us * 1_000 }, changed }
}

#[cfg(test)]
mod tests {
    use super::super::round::{Owed, Part};
    use super::*;
    use crate::quotas::{OnStoreError, Sharing, Terms};
    use std::time::Duration;

    const START_US: u64 = 1_700_000_000_000_000;
    const SECOND_US: u64 = 1_000_000;
    const SECOND_NS: u64 = 1_000_000_000;

    fn terms(algorithm: Algorithm) -> Terms<'static> {
        Terms {
            name: "p",
            key: "client",
            algorithm,
            quota: 10,
            window: Duration::from_secs(10),
            burst: 10,
            sharing: Sharing::Strict,
            on_store_error: OnStoreError::LocalShare,
        }
    }

    fn limit(algorithm: Algorithm) -> Limit {
        Limit::new(&terms(algorithm)).expect("a good limit")
    }

    fn ask(algorithm: Algorithm) -> BucketAsk {
        BucketAsk {
            limit: limit(algorithm),
            refunds: Vec::new(),
            owed: None,
            seen_us: 0,
            carry_ns: 0,
            is_asked: true,
            most: 0,
            proxies: 1,
        }
    }

    fn entry(count: usize, cost: u64) -> Entry {
        Entry { count, parts: [Part { bucket: 0, cost }].into_iter().collect() }
    }

    /// What the bucket held before and after.
    fn take(store: &mut Store, now_us: u64, ask: &BucketAsk, entries: &[Entry]) -> (u64, u64) {
        store.expire(now_us);
        let answer = store.take(now_us, &[("p", ask.clone())], entries).pop().expect("one bucket");
        (told(&answer.before), answer.after)
    }

    #[test]
    fn a_step_back_of_the_clock_counts_as_no_time_and_is_made_good_at_once() {
        let (mut store, ask) = (Store::default(), ask(Algorithm::Gcra));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(10, 1)]), (0, 10 * SECOND_NS));
        let before = START_US - 100 * SECOND_US;
        assert_eq!(take(&mut store, before, &ask, &[entry(1, 1)]), (10 * SECOND_NS, 10 * SECOND_NS));
        assert_eq!(take(&mut store, before + SECOND_US, &ask, &[entry(1, 1)]), (9 * SECOND_NS, 10 * SECOND_NS));
    }

    #[test]
    fn a_log_ahead_of_the_clock_is_set_back() {
        let (mut store, ask) = (Store::default(), ask(Algorithm::SlidingLog));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(4, 1)]), (0, 4));
        assert_eq!(take(&mut store, START_US + 5 * SECOND_US, &ask, &[entry(6, 1)]), (4, 10));
        let before = START_US - 100 * SECOND_US;
        assert_eq!(take(&mut store, before, &ask, &[entry(1, 1)]), (10, 10));
        assert_eq!(take(&mut store, before + 5 * SECOND_US, &ask, &[entry(5, 1)]), (6, 10));
    }

    #[test]
    fn what_comes_back_is_credited_less_what_the_bucket_refilled_meanwhile() {
        let (mut store, mut ask) = (Store::default(), ask(Algorithm::Gcra));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(8, 1)]), (0, 8 * SECOND_NS));
        ask.refunds = vec![Refund { amount: 3 * SECOND_NS, stamp_us: START_US }];
        assert_eq!(take(&mut store, START_US + SECOND_US, &ask, &[]), (5 * SECOND_NS, 5 * SECOND_NS));
        ask.refunds = vec![Refund { amount: 3 * SECOND_NS, stamp_us: START_US + 2 * SECOND_US }];
        assert_eq!(take(&mut store, START_US + SECOND_US, &ask, &[]), (5 * SECOND_NS, 5 * SECOND_NS));
        ask.refunds = vec![Refund { amount: 32 * SECOND_NS, stamp_us: START_US }];
        assert_eq!(take(&mut store, START_US + SECOND_US, &ask, &[]), (0, 0));
    }

    #[test]
    fn what_was_charged_before_a_reset_is_not_credited_after_it() {
        let (mut store, mut ask) = (Store::default(), ask(Algorithm::Gcra));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(8, 1)]), (0, 8 * SECOND_NS));
        store.reset(START_US + 1, "p", &ask.limit);
        assert_eq!(take(&mut store, START_US + 2, &ask, &[entry(8, 1)]), (0, 8 * SECOND_NS));
        ask.refunds = vec![Refund { amount: 8 * SECOND_NS, stamp_us: START_US }];
        assert_eq!(take(&mut store, START_US + 2, &ask, &[]), (8 * SECOND_NS, 8 * SECOND_NS));
    }

    #[test]
    fn what_only_goes_back_does_not_clamp_by_its_own_limit() {
        let (mut store, full) = (Store::default(), ask(Algorithm::Gcra));
        assert_eq!(take(&mut store, START_US, &full, &[entry(8, 1)]), (0, 8 * SECOND_NS));
        let terms = Terms { burst: 1, ..terms(Algorithm::Gcra) };
        let limit = Limit::new(&terms).expect("a good limit");
        let refunds = vec![Refund { amount: SECOND_NS, stamp_us: START_US }];
        let back = BucketAsk { limit, refunds, is_asked: false, ..full.clone() };
        assert_eq!(take(&mut store, START_US, &back, &[]), (7 * SECOND_NS, 7 * SECOND_NS));
        let asked = BucketAsk { is_asked: true, refunds: Vec::new(), ..back };
        assert_eq!(take(&mut store, START_US, &asked, &[]).0, SECOND_NS, "an asked one is held to its limit");
    }

    #[test]
    fn units_of_a_log_come_back_by_their_stamp() {
        let (mut store, mut ask) = (Store::default(), ask(Algorithm::SlidingLog));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(4, 1)]), (0, 4));
        assert_eq!(take(&mut store, START_US + 1, &ask, &[entry(4, 1)]), (4, 8));
        let refund = |amount, stamp_us| Refund { amount, stamp_us };
        ask.refunds = vec![refund(1, START_US), refund(2, START_US + 1), refund(1, START_US + 5)];
        assert_eq!(take(&mut store, START_US + 2, &ask, &[]), (5, 5), "of both times, and none of another");
        ask.refunds = vec![refund(3, START_US + 1)];
        assert_eq!(take(&mut store, START_US + 3, &ask, &[]), (3, 3), "no more than there are of that time");
    }

    #[test]
    fn what_was_owed_heals_an_emptied_store_unless_it_was_reset_since() {
        let (mut store, mut ask) = (Store::default(), ask(Algorithm::Gcra));
        ask.owed = Some(Owed { debt_ns: 7 * SECOND_NS, seen_us: START_US });
        ask.carry_ns = SECOND_NS;
        assert_eq!(take(&mut store, START_US, &ask, &[]), (8 * SECOND_NS, 8 * SECOND_NS));
        store.reset(START_US + 1, "p", &ask.limit);
        assert_eq!(take(&mut store, START_US + 2, &ask, &[]), (0, 0));
        store.empty();
        ask.carry_ns = 0;
        ask.owed = Some(Owed { debt_ns: u64::from(u32::MAX) * SECOND_NS, seen_us: START_US });
        assert_eq!(take(&mut store, START_US + 3, &ask, &[]).1, ask.limit.tolerance_ns(), "at most all of it");
    }

    #[test]
    fn what_is_carried_to_a_full_bucket_is_owed_beyond_its_tolerance_and_what_a_larger_limit_left_is_not() {
        let (mut store, mut ask) = (Store::default(), ask(Algorithm::Gcra));
        assert_eq!(take(&mut store, START_US, &ask, &[entry(10, 1)]), (0, 10 * SECOND_NS));
        ask.carry_ns = 3 * SECOND_NS;
        assert_eq!(take(&mut store, START_US, &ask, &[entry(1, 1)]), (13 * SECOND_NS, 13 * SECOND_NS));
        ask.carry_ns = 0;
        let later_us = START_US + 3 * SECOND_US;
        assert_eq!(take(&mut store, later_us, &ask, &[entry(1, 1)]), (10 * SECOND_NS, 10 * SECOND_NS));
        ask.carry_ns = 1_000 * SECOND_NS;
        assert_eq!(take(&mut store, later_us, &ask, &[]).1, 21 * SECOND_NS, "as much again, and one for each proxy");
        let tighter = Limit::new(&Terms { burst: 1, ..terms(Algorithm::Gcra) }).expect("a good limit");
        let left = |store: &mut Store| {
            take(store, later_us, &BucketAsk { limit: tighter.clone(), carry_ns: 0, ..ask.clone() }, &[]).0
        };
        assert_eq!(left(&mut store), 12 * SECOND_NS, "what was carried is owed under any limit");
        let mut other = Store::default();
        take(&mut other, later_us, &BucketAsk { carry_ns: 0, ..ask.clone() }, &[entry(8, 1)]);
        assert_eq!(left(&mut other), SECOND_NS);
    }

    #[test]
    fn keys_outlive_their_debt_by_a_second_and_no_longer() {
        for (algorithm, lasts_us) in [(Algorithm::Gcra, 4 * SECOND_US), (Algorithm::SlidingLog, 10 * SECOND_US)] {
            let mut store = Store::default();
            take(&mut store, START_US, &ask(algorithm), &[entry(3, 1)]);
            store.expire(START_US + lasts_us);
            assert_eq!(store.keys(), 1);
            store.expire(START_US + lasts_us + 1_000);
            assert_eq!(store.keys(), 0);
        }
    }
}
