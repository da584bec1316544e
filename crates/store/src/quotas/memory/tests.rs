use super::*;
use crate::quotas::{Algorithm, Force, Left, OnStoreError, Outcome, Sharing, Source, Terms};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, SystemTime};
use vestibule_plugin::{ClientAddress, Monotonic};

const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
struct FakeClock(AtomicU64);

impl FakeClock {
    fn pass(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::SeqCst))
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn store() -> (MemoryQuotas, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    (MemoryQuotas::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

fn limit(name: &str, algorithm: Algorithm, quota: u64, window_s: u64) -> Limit {
    Limit::new(&Terms {
        name,
        key: "address",
        algorithm,
        quota,
        window: Duration::from_secs(window_s),
        burst: quota,
        sharing: Sharing::Local,
        on_store_error: OnStoreError::LocalShare,
    })
    .expect("a good limit")
}

fn gcra(name: &str, quota: u64, window_s: u64) -> Limit {
    limit(name, Algorithm::Gcra, quota, window_s)
}

fn enforced<'a>(limit: &'a Limit, key: &'a str, cost: u64) -> Charge<'a> {
    Charge { limit, key, cost, force: Force::Enforced }
}

fn address(ip: [u8; 4]) -> ClientAddress {
    ClientAddress::Ip { ip: IpAddr::V4(Ipv4Addr::from(ip)), prefix: 32 }
}

fn take<'a>(store: &MemoryQuotas, charges: impl IntoIterator<Item = Charge<'a>>) -> Vec<Outcome> {
    let demand = Demand { charges: charges.into_iter().collect(), address: address([192, 0, 2, 1]) };
    store.decide(&demand).verdicts.into_iter().map(|verdict| verdict.outcome).collect()
}

fn now<T>(soon: Soon<'_, T>) -> T {
    match soon {
        Soon::Now(value) => value,
        Soon::Later(_) => panic!("memory does not wait"),
    }
}

fn balance(store: &MemoryQuotas, limit: &Limit, key: &str) -> Balance {
    now(store.look(limit, Named::Text(key))).expect("memory answers")
}

fn admits(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Charged(_)))
}

/// RL-06: all or nothing.
#[test]
fn a_refused_request_is_charged_by_no_policy() {
    let (store, _) = store();
    let (a, h) = (gcra("a", 5, 1), gcra("h", 100, 3_600));
    for _ in 0..5 {
        assert!(admits(&take(&store, [enforced(&a, "k", 1), enforced(&h, "k", 1)])));
    }
    let sixth = take(&store, [enforced(&a, "k", 1), enforced(&h, "k", 1)]);
    assert_eq!(sixth, [Outcome::Refused { remaining: 0, wait_ns: SECOND / 5 }, Outcome::Spared]);
    assert_eq!(balance(&store, &h, "k").remaining, 95);
}

#[test]
fn a_shadow_policy_is_charged_with_the_others_and_refuses_nobody() {
    let (store, _) = store();
    let (hard, soft) = (gcra("hard", 3, 60), gcra("soft", 2, 60));
    let shadow = Charge { force: Force::Shadow, ..enforced(&soft, "k", 1) };
    for round in 0..3 {
        let outcomes = take(&store, [enforced(&hard, "k", 1), shadow]);
        assert!(matches!(outcomes[0], Outcome::Charged(_)));
        assert_eq!(matches!(outcomes[1], Outcome::Refused { .. }), round == 2);
    }
    assert_eq!(now(store.reset(&soft, Named::Text("k"))), Ok(()));
    assert_eq!(take(&store, [enforced(&hard, "k", 1), shadow])[1], Outcome::Spared);
    assert_eq!(balance(&store, &soft, "k").remaining, 2);
}

#[test]
fn buckets_differ_by_policy_key_and_algorithm() {
    let (store, _) = store();
    let (a, b, log) = (gcra("a", 1, 60), gcra("b", 1, 60), limit("a", Algorithm::SlidingLog, 1, 60));
    for (limit, key) in [(&a, "k"), (&a, "l"), (&b, "k"), (&log, "k")] {
        assert!(admits(&take(&store, [enforced(limit, key, 1)])), "{key}");
        assert!(!admits(&take(&store, [enforced(limit, key, 1)])), "{key}");
    }
    assert_eq!(store.keys(), 4);
}

#[test]
fn a_sliding_log_is_looked_at_and_reset_like_a_bucket() {
    let (store, clock) = store();
    let log = limit("login", Algorithm::SlidingLog, 3, 4);
    for _ in 0..3 {
        assert!(admits(&take(&store, [enforced(&log, "k", 1)])));
        clock.pass(SECOND);
    }
    assert_eq!(balance(&store, &log, "k"), Balance { remaining: 0, debt_ns: 3 * SECOND, wait_ns: SECOND });
    assert_eq!(now(store.reset(&log, Named::Text("k"))), Ok(()));
    assert_eq!(balance(&store, &log, "k"), Balance { remaining: 3, debt_ns: 0, wait_ns: 0 });
    assert!(admits(&take(&store, [enforced(&log, "k", 3)])));
}

/// RL-20, in the store: debt is time, so a changed limit keeps the used share and gains nobody a unit.
#[test]
fn a_changed_limit_keeps_the_debt_and_forgives_what_is_beyond_it() {
    let (store, clock) = store();
    let (slow, fast, short) = (gcra("p", 10, 60), gcra("p", 100, 60), gcra("p", 1, 1));
    assert!(admits(&take(&store, [enforced(&slow, "k", 10)])));
    assert_eq!(balance(&store, &fast, "k").remaining, 0);
    assert_eq!(balance(&store, &slow, "k").remaining, 0);
    clock.pass(SECOND);
    assert_eq!(balance(&store, &fast, "k").remaining, 1);
    let refused = take(&store, [enforced(&short, "k", 1)]);
    assert_eq!(refused, [Outcome::Refused { remaining: 0, wait_ns: SECOND }], "clamped to the new tolerance");
    clock.pass(SECOND);
    assert!(admits(&take(&store, [enforced(&short, "k", 1)])), "and kept so");
}

#[test]
fn nothing_asked_takes_no_key() {
    let (store, _) = store();
    let a = gcra("a", 1, 60);
    assert_eq!(take(&store, [enforced(&a, "k", 0)]), [Outcome::Charged(Left { remaining: 1, next_ns: 0 })]);
    assert_eq!(store.keys(), 0);
}

#[test]
fn another_capacity_moves_the_debts() {
    let (store, clock) = store();
    let (a, log) = (gcra("a", 10, 60), limit("l", Algorithm::SlidingLog, 5, 60));
    // Much more room than keys, so that no set of eight is full.
    store.reserve(100_000).expect("memory");
    let keys: Vec<String> = (0..500).map(|i| format!("k{i}")).collect();
    for key in &keys {
        take(&store, [enforced(&a, key, 4)]);
    }
    for key in &keys[..20] {
        take(&store, [enforced(&log, key, 2)]);
    }
    clock.pass(SECOND);
    for capacity in [100_000, 20_000, 200_000, 40_000] {
        store.reserve(capacity).expect("memory");
        assert_eq!(store.keys(), 520);
        assert!(keys.iter().all(|key| balance(&store, &a, key).remaining == 6));
        assert!(keys[..20].iter().all(|key| balance(&store, &log, key).remaining == 3));
    }
}

#[test]
fn a_full_table_evicts_who_owes_least_and_never_who_is_refused() {
    let (store, _) = store();
    store.reserve(8).expect("memory");
    let a = gcra("a", 2, 60);
    assert!(admits(&take(&store, [enforced(&a, "greedy", 2)])));
    assert!(!admits(&take(&store, [enforced(&a, "greedy", 1)])));
    for i in 0..1_000 {
        assert!(admits(&take(&store, [enforced(&a, &format!("k{i}"), 1)])));
        assert!(!admits(&take(&store, [enforced(&a, "greedy", 1)])), "after {i}");
    }
    assert_eq!(store.keys(), 8, "no more than there is room for");
}

#[test]
fn when_everybody_is_refused_newcomers_share_the_bucket_of_their_network() {
    let (store, clock) = store();
    store.reserve(8).expect("memory");
    let a = gcra("a", 5, 60);
    for i in 0..8 {
        let key = format!("k{i}");
        assert!(admits(&take(&store, [enforced(&a, &key, 5)])));
        assert!(!admits(&take(&store, [enforced(&a, &key, 5)])));
    }
    let ask = |ip, key: &str| {
        let demand = Demand { charges: [enforced(&a, key, 1)].into_iter().collect(), address: address(ip) };
        store.decide(&demand).verdicts[0]
    };
    let admitted = (0..100).filter(|i| {
        let verdict = ask([198, 51, 100, *i], &format!("new{i}"));
        assert_eq!(verdict.source, Source::Overflow);
        matches!(verdict.outcome, Outcome::Charged(_))
    });
    assert_eq!(admitted.count(), 5, "a fresh bucket is never handed out");
    assert!(matches!(ask([203, 0, 113, 1], "elsewhere").outcome, Outcome::Charged(_)), "networks are apart");
    clock.pass(61 * SECOND);
    assert_eq!(ask([198, 51, 100, 1], "new1").source, Source::Local, "there is room again");
}

#[test]
fn a_full_overflow_hands_out_no_fresh_bucket_either() {
    let (store, _) = store();
    store.reserve(8).expect("memory");
    let (a, log) = (gcra("a", 1, 3_600), limit("l", Algorithm::SlidingLog, 1, 3_600));
    let mut admitted = [0, 0];
    for i in 0..40_000_u32 {
        let [_, b, c, d] = i.to_be_bytes();
        let key = format!("k{i}");
        for (limit, admitted) in [&a, &log].into_iter().zip(&mut admitted) {
            // Asked twice, so that every bucket is refusing.
            for _ in 0..2 {
                let demand = Demand {
                    charges: [enforced(limit, &key, 1)].into_iter().collect(),
                    address: address([b, c, d, 0]),
                };
                *admitted += u32::from(matches!(store.decide(&demand).verdicts[0].outcome, Outcome::Charged(_)));
            }
        }
    }
    for admitted in admitted {
        assert!(admitted <= 4_096 + 16, "{admitted} of the 4,096 shared buckets and the few of the table");
    }
}

#[test]
fn eight_policies_of_one_request_never_take_each_others_slots() {
    let (store, _) = store();
    store.reserve(8).expect("memory");
    let limits: Vec<Limit> = (0..8).map(|i| gcra(&format!("p{i}"), 2, 60)).collect();
    for key in ["a", "b", "c"] {
        for remaining in [1, 0] {
            let outcomes = take(&store, limits.iter().map(|limit| enforced(limit, key, 1)));
            for outcome in outcomes {
                assert!(
                    matches!(outcome, Outcome::Charged(Left { remaining: r, .. }) if r == remaining),
                    "{key}: {outcome:?}"
                );
            }
        }
        let refused = take(&store, limits.iter().map(|limit| enforced(limit, key, 1)));
        assert!(refused.iter().all(|outcome| matches!(outcome, Outcome::Refused { .. })), "{key}");
        for limit in &limits {
            assert_eq!(now(store.reset(limit, Named::Text(key))), Ok(()));
        }
    }
}

/// Many threads on the same buckets, with the table moved under them: never more than the burst in a standing clock.
#[test]
fn threads_together_are_admitted_no_more_than_one_alone() {
    let (store, _) = store();
    let (a, b) = (gcra("a", 5_000, 60), gcra("b", 3_000, 60));
    let admitted = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (store, a, b, admitted) = (&store, &a, &b, &admitted);
                scope.spawn(move || {
                    for _ in 0..3_000 {
                        let charges = [enforced(a, "k", 1), enforced(b, "k", 1)];
                        let outcomes =
                            if worker % 2 == 0 { take(store, charges) } else { take(store, charges.into_iter().rev()) };
                        admitted.fetch_add(u64::from(admits(&outcomes)), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let (store, done) = (&store, &done);
        scope.spawn(move || {
            for capacity in (1..).map(|i| 1_000 + i % 7 * 1_000) {
                store.reserve(capacity).expect("memory");
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(admitted.into_inner(), 3_000);
    assert_eq!(balance(&store, &a, "k").remaining, 2_000);
}

#[test]
fn what_is_told_is_told_once_and_owed_until_it_is_heard() {
    let (store, clock) = store();
    let (limit, partition) = (gcra("p", 60, 60), store.hash(b"key"));
    let left = |store: &MemoryQuotas| {
        let Soon::Now(Ok(balance)) = store.look(&limit, Named::Text("key")) else { panic!("it is at hand") };
        balance.remaining
    };
    clock.pass(SECOND);
    // Seven seconds owed before, three admitted; then two more while it is told.
    store.owe_until(&limit, partition, 8 * SECOND);
    assert!(matches!(take(&store, [enforced(&limit, "key", 3)])[0], Outcome::Charged(_)));
    assert_eq!(store.tell_admitted_ns(&limit, partition), 3 * SECOND);
    assert_eq!((store.tell_admitted_ns(&limit, partition), left(&store)), (0, 50), "told, and owed all the same");
    assert!(matches!(take(&store, [enforced(&limit, "key", 2)])[0], Outcome::Charged(_)));
    assert_eq!(store.tell_admitted_ns(&limit, partition), 2 * SECOND);
    store.untell(&limit, partition, 2 * SECOND);
    store.forget_before(&limit, partition);
    assert_eq!(left(&store), 58, "what was not heard");
    assert_eq!(store.tell_admitted_ns(&limit, partition), 2 * SECOND);
}
