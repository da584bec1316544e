use super::*;
use crate::quotas::{Algorithm, OnStoreError, Sharing, Terms};
use proptest::prelude::*;
use std::time::Duration;

const EMISSION: u64 = 10_000_000;

/// 100/s with a burst of 20, or a log of 20.
fn ask(algorithm: Algorithm, most: u64, proxies: u64) -> BucketAsk {
    let limit = Limit::new(&Terms {
        name: "p",
        key: "client",
        algorithm,
        quota: if algorithm == Algorithm::Gcra { 100 } else { 20 },
        window: Duration::from_secs(1),
        burst: 20,
        sharing: Sharing::Leased,
        on_store_error: OnStoreError::LocalShare,
    });
    let limit = limit.expect("a good limit");
    BucketAsk { limit, refunds: Vec::new(), owed: None, seen_us: 0, carry_ns: 0, is_asked: true, most, proxies }
}

fn debt(most: u64, proxies: u64) -> BucketAsk {
    ask(Algorithm::Gcra, most, proxies)
}

/// Equal requests that ask each of these buckets for so many units.
fn entry(count: usize, parts: &[(usize, u64)]) -> Entry {
    Entry { count, parts: parts.iter().map(|(bucket, cost)| Part { bucket: *bucket, cost: *cost }).collect() }
}

fn units(holding: &Holding) -> u64 {
    match holding {
        Holding::Debt(debt_ns) => debt_ns / EMISSION,
        Holding::Log { words, .. } => words[0],
    }
}

fn owes(units: u64) -> Holding {
    Holding::Debt(units * EMISSION)
}

/// What a call lends when `waiting` units are waited for one by one, and how many are then owed.
fn lends(ask: BucketAsk, owed: u64, waiting: usize) -> (u64, u64) {
    let mut holdings = [owes(owed)];
    let played = play(&[ask], &[entry(waiting, &[(0, 1)])], &mut holdings);
    (played.lent[0], units(&holdings[0]))
}

#[test]
fn what_is_left_is_divided_among_the_proxies() {
    assert_eq!(lends(debt(32, 1), 0, 1), (19, 20), "all of it, one of which is waited for");
    assert_eq!(lends(debt(8, 1), 0, 1), (7, 8), "as much as is expected to be asked for");
    assert_eq!(lends(debt(32, 4), 0, 1), (4, 5), "a share");
    assert_eq!(lends(debt(32, 4), 12, 1), (1, 14), "a share of what is left");
    assert_eq!(lends(debt(32, 8), 13, 1), (0, 14), "at least what is waited for");
    assert_eq!(lends(debt(32, 4), 0, 9), (0, 9), "no more than is waited for, when that is more");
    assert_eq!(lends(debt(32, 0), 0, 1), (19, 20), "nobody was counted yet");
}

#[test]
fn nothing_is_lent_without_a_request_or_after_a_refusal() {
    assert_eq!(lends(debt(0, 1), 0, 1), (0, 1), "a strict limit lends nothing");
    assert_eq!(lends(debt(32, 1), 0, 0), (0, 0), "nobody waits");
    assert_eq!(lends(debt(32, 1), 18, 3), (0, 20), "the third was refused");
    let mut holdings = [owes(0)];
    let played = play(&[debt(24, 1)], &[entry(1, &[(0, 0)])], &mut holdings);
    assert_eq!((played.lent[0], units(&holdings[0])), (20, 20), "one who asks for none wants those that are lent");
    let mut holdings = [owes(18)];
    let entries = [entry(1, &[(0, 5)]), entry(1, &[(0, 1)])];
    let played = play(&[debt(32, 1)], &entries, &mut holdings);
    assert!(!admits(&played.requests[0][0]) && admits(&played.requests[1][0]), "the smaller one still fits");
    assert_eq!((played.lent[0], units(&holdings[0])), (0, 19), "what is left is for who was refused");
}

/// RL-06: all or nothing.
#[test]
fn a_request_that_one_bucket_refuses_is_charged_by_none() {
    let asks = [debt(0, 1), debt(0, 1), ask(Algorithm::SlidingLog, 0, 1)];
    let mut holdings = [owes(0), owes(18), Holding::Log { words: sliding_log::EMPTY, now_ns: 1 }];
    let played = play(&asks, &[entry(3, &[(0, 1), (1, 1), (2, 1)])], &mut holdings);
    assert_eq!(played.requests[0].iter().map(admits).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(holdings.iter().map(units).collect::<Vec<_>>(), [2, 20, 2]);
    let refused = &played.requests[0][2];
    assert!(matches!(refused[0], Decision::Admit { .. }));
    assert_eq!(refused[1], Decision::Refuse { remaining: 0, wait_ns: EMISSION });
}

/// Three buckets, the last of which is a log, and requests that ask some of them.
fn calls() -> impl Strategy<Value = (Vec<BucketAsk>, Vec<Holding>, Vec<Entry>)> {
    let lending = (0_u64..=32, 0_u64..10);
    let held = (0..=20 * EMISSION, 0..=20 * EMISSION, 0_u64..=20);
    let parts = prop::sample::subsequence(vec![0_usize, 1, 2], 1..=3);
    let entries = (0_usize..5, parts, prop::collection::vec(0_u64..6, 3));
    (lending, held, prop::collection::vec(entries, 0..8)).prop_map(|((most, proxies), (a, b, log), entries)| {
        let mut words = sliding_log::EMPTY;
        sliding_log::write(&mut words, 1_000, log);
        let asks = vec![debt(most, proxies), debt(0, proxies), ask(Algorithm::SlidingLog, most, proxies)];
        let holdings = vec![Holding::Debt(a), Holding::Debt(b), Holding::Log { words, now_ns: 2_000 }];
        let entries = entries.iter().map(|(count, buckets, costs)| {
            entry(*count, &buckets.iter().map(|bucket| (*bucket, costs[*bucket])).collect::<Vec<_>>())
        });
        (asks, holdings, entries.collect())
    })
}

proptest! {
    #[test]
    fn every_unit_is_accounted_for_and_none_exceeds_the_limit((asks, before, entries) in calls()) {
        let mut after = before.clone();
        let played = play(&asks, &entries, &mut after);
        let (mut charged, mut refused) = ([0; 3], [false; 3]);
        for (entry, requests) in entries.iter().zip(&played.requests) {
            prop_assert_eq!(requests.len(), entry.count);
            for decisions in requests {
                for (part, decision) in entry.parts.iter().zip(decisions) {
                    refused[part.bucket] |= matches!(decision, Decision::Refuse { .. });
                    charged[part.bucket] += if admits(decisions) { part.cost } else { 0 };
                }
            }
        }
        for bucket in 0..3 {
            let lent = played.lent[bucket];
            match (&before[bucket], &after[bucket]) {
                (Holding::Debt(before), Holding::Debt(after)) => {
                    prop_assert_eq!(*after, before + (charged[bucket] + lent) * EMISSION);
                    prop_assert!(*after <= asks[bucket].limit.tolerance_ns());
                }
                (before, after) => {
                    prop_assert_eq!(units(after), units(before) + charged[bucket]);
                    prop_assert!(units(after) <= asks[bucket].limit.quota());
                    prop_assert_eq!(lent, 0);
                }
            }
            prop_assert!(lent == 0 || !refused[bucket] && charged[bucket] + lent <= MAX_LEASE);
            prop_assert!(lent <= asks[bucket].most);
        }
    }

    #[test]
    fn a_count_is_so_many_requests((asks, before, entries) in calls()) {
        let (mut together, mut apart) = (before.clone(), before);
        let counted = play(&asks, &entries, &mut together);
        let each: Vec<Entry> =
            entries.iter().flat_map(|entry| vec![Entry { count: 1, ..entry.clone() }; entry.count]).collect();
        let single = play(&asks, &each, &mut apart);
        prop_assert_eq!(together, apart);
        prop_assert_eq!(counted.lent, single.lent);
        prop_assert_eq!(counted.requests.concat(), single.requests.concat());
    }
}
