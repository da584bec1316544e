use super::*;
use crate::quotas::{OnStoreError, Terms};
use proptest::prelude::*;
use std::time::Duration;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const LEASE_NS: u64 = 50 * MILLISECOND;
const NOW: u64 = 1_000 * SECOND;
const STAMP_US: u64 = 1_700_000_000_000_000;

/// 100/s with a burst of 20: a unit weighs 10 ms.
fn limit(sharing: Sharing) -> Limit {
    made(Algorithm::Gcra, 100, 1, sharing)
}

fn made(algorithm: Algorithm, quota: u64, window_s: u64, sharing: Sharing) -> Limit {
    with_burst(20, algorithm, quota, window_s, sharing)
}

fn with_burst(burst: u64, algorithm: Algorithm, quota: u64, window_s: u64, sharing: Sharing) -> Limit {
    Limit::new(&Terms {
        name: "p",
        key: "client",
        algorithm,
        quota,
        window: Duration::from_secs(window_s),
        burst,
        sharing,
        on_store_error: OnStoreError::LocalShare,
    })
    .expect("a good limit")
}

fn told(sent: u64, now: u64) -> Told {
    Told { sent, now, stamp_us: STAMP_US, epoch: 1, lease_ns: LEASE_NS }
}

/// Of so many units of the limit above.
fn refund(units: u64) -> Refund {
    Refund { amount: units * 10 * MILLISECOND, stamp_us: STAMP_US }
}

/// Of the limit above.
fn fresh() -> Grant {
    told(NOW, NOW).grant(&limit(Sharing::Leased))
}

/// With `units`, of a call that left a millisecond ago; the bucket owes `debt_ns`.
fn lent(units: u64, debt_ns: u64) -> Lease {
    let mut lease = Lease::default();
    assert_eq!(lease.learn(&told(NOW - MILLISECOND, NOW), &limit(Sharing::Leased), debt_ns, units), None);
    lease
}

#[test]
fn units_are_used_until_they_are_gone_and_show_with_what_the_bucket_has() {
    let limit = limit(Sharing::Leased);
    let mut lease = lent(3, 150 * MILLISECOND);
    let grant = Grant { end: NOW - MILLISECOND + LEASE_NS, ..fresh() };
    // 20 - 15 in the bucket, and 2 here.
    let left = Left { remaining: 7, next_ns: 10 * MILLISECOND };
    assert_eq!(lease.know(&limit, NOW, 1), Known::Used(left, grant));
    assert_eq!(lease.know(&limit, NOW, 3), Known::Nothing, "all of a request or nothing");
    assert!(matches!(lease.know(&limit, NOW, 2), Known::Used(Left { remaining: 5, .. }, _)));
    assert_eq!(lease.know(&limit, NOW, 1), Known::Nothing);
}

#[test]
fn units_of_a_strict_limit_only_go_back() {
    let limit = limit(Sharing::Strict);
    let mut lease = lent(0, 0);
    lease.keep(3, fresh());
    assert_eq!(lease.know(&limit, NOW, 1), Known::Nothing);
    assert_eq!(lease.know(&limit, NOW, 0), Known::Nothing);
    let (ask, unused) = lease.ask(Aim::Fill, &limit, NOW, 1, LEASE_NS, 1);
    assert_eq!((ask.refunds, ask.most), (vec![refund(3)], 0));
    assert_eq!(unused, Unused::default());
}

#[test]
fn unused_units_leave_with_the_next_call_once() {
    let limit = limit(Sharing::Leased);
    for (later, refunded, expired) in [(10, 3, 0), (28, 3, 0), (29, 0, 3), (100, 0, 3)] {
        let mut lease = lent(3, 0);
        let (ask, unused) = lease.ask(Aim::Fill, &limit, NOW + later * MILLISECOND, 1, LEASE_NS, 8);
        assert_eq!(ask.refunds, [refund(3)]);
        assert_eq!(unused, Unused { refunded, expired }, "after {later} ms; 3 units weigh 30 ms");
        assert_eq!(lease.ask(Aim::Fill, &limit, NOW, 1, LEASE_NS, 8).0.refunds, []);
        assert_eq!(lease.draw(&limit, NOW, 1), None);
    }
}

/// Units of a loose limit are worth no more under a strict one, nor those of a strict limit under a loose one.
#[test]
fn units_go_back_at_the_lesser_weight_when_the_limit_was_changed() {
    let (loose, tight) = (limit(Sharing::Leased), with_burst(20, Algorithm::Gcra, 1, 1, Sharing::Leased));
    for (from, to) in [(&loose, &tight), (&tight, &loose)] {
        let mut lease = Lease::default();
        assert_eq!(lease.learn(&told(NOW, NOW), from, 0, 3), None);
        assert_eq!(lease.ask(Aim::Fill, to, NOW, 1, LEASE_NS, 1).0.refunds, [refund(3)]);
    }
}

#[test]
fn units_that_cannot_be_used_go_back_at_once() {
    let limit = limit(Sharing::Leased);
    let old = Grant { stamp_us: STAMP_US - 70_000, end: NOW - 20 * MILLISECOND, ..fresh() };
    let mut lease = lent(0, 0);
    assert_eq!(lease.take_in(NOW, 5, old), Some((5, old)), "too old to be used");
    assert_eq!(lease.take_in(NOW, 30, fresh()), None);
    assert_eq!(lease.take_in(NOW, 5, fresh()), Some((3, fresh())), "more than a lease has");
    let later = Told { stamp_us: STAMP_US + 60_000, ..told(NOW + 60 * MILLISECOND, NOW + 60 * MILLISECOND) };
    assert_eq!(lease.take_in(later.now, 4, later.grant(&limit)), Some((32, fresh())), "those that ran out make room");
    assert_eq!(lease.units, 4);
    let (ask, _) = lease.ask(Aim::Return, &limit, later.now, 1, LEASE_NS, 1);
    assert_eq!((ask.refunds, ask.most, lease.units), (vec![], 0, 4), "what can be used stays");
    let (ask, _) = lease.ask(Aim::Return, &limit, later.now + LEASE_NS, 1, LEASE_NS, 1);
    assert_eq!((ask.refunds.len(), lease.units), (1, 0));
}

#[test]
fn a_refusal_holds_for_the_same_or_more_and_not_for_less() {
    let limit = limit(Sharing::Leased);
    let mut lease = lent(0, 180 * MILLISECOND);
    lease.hold(&limit, NOW, 5, 30 * MILLISECOND);
    assert_eq!(lease.know(&limit, NOW, 4), Known::Nothing);
    assert_eq!(lease.know(&limit, NOW, 0), Known::Nothing);
    assert_eq!(lease.know(&limit, NOW, 5), Known::Held { remaining: 2, wait_ns: 30 * MILLISECOND });
    assert_eq!(lease.know(&limit, NOW, 7), Known::Held { remaining: 2, wait_ns: 50 * MILLISECOND });
    assert_eq!(lease.know(&limit, NOW + 30 * MILLISECOND, 5), Known::Nothing);
    lease.hold(&limit, NOW, 3, 10 * MILLISECOND);
    assert!(lease.held(&limit, NOW, 3).is_some(), "the least that was refused counts");
    lease.hold(&limit, NOW, 4, 20 * MILLISECOND);
    assert!(lease.held(&limit, NOW, 3).is_some(), "and goes on to");
    lease.learn(&told(NOW, NOW), &limit, 0, 0);
    assert_eq!(lease.held(&limit, NOW, 20), None, "the store has spoken again");
}

#[test]
fn units_that_came_back_are_used_while_a_refusal_holds() {
    let limit = limit(Sharing::Leased);
    let mut lease = lent(0, 200 * MILLISECOND);
    lease.hold(&limit, NOW, 1, 10 * MILLISECOND);
    assert_eq!(lease.take_in(NOW, 2, fresh()), None);
    assert_eq!(lease.know(&limit, NOW, 3), Known::Held { remaining: 2, wait_ns: 30 * MILLISECOND });
    assert!(matches!(lease.know(&limit, NOW, 2), Known::Used(..)));
    assert_eq!(lease.know(&limit, NOW, 1), Known::Held { remaining: 0, wait_ns: 10 * MILLISECOND });
}

#[test]
fn a_log_holds_for_as_long_as_the_store_said() {
    let log = made(Algorithm::SlidingLog, 5, 60, Sharing::Strict);
    let mut lease = lent(0, 0);
    lease.hold(&log, NOW, 1, 40 * SECOND);
    assert_eq!(lease.know(&log, NOW, 1), Known::Held { remaining: 0, wait_ns: 40 * SECOND });
    let Known::Held { wait_ns, .. } = lease.know(&log, NOW + SECOND - 1, 1) else { panic!("held for a second") };
    assert_eq!(wait_ns, 39 * SECOND + 1);
    assert_eq!(lease.know(&log, NOW + SECOND, 1), Known::Nothing, "a reset shows within a second");
    assert_eq!(lease.ask(Aim::Fill, &log, NOW + SECOND, 2, LEASE_NS, 1).0.owed, None);
}

#[test]
fn a_debt_is_told_to_another_life_of_the_store_and_only_to_that() {
    let limit = limit(Sharing::Leased);
    let mut lease = lent(0, 100 * MILLISECOND);
    let later = NOW + 40 * MILLISECOND;
    assert_eq!(lease.ask(Aim::Fill, &limit, later, 1, LEASE_NS, 1).0.owed, None);
    let owed = Owed { debt_ns: 60 * MILLISECOND, seen_us: STAMP_US };
    assert_eq!(lease.ask(Aim::Fill, &limit, later, 2, LEASE_NS, 1).0.owed, Some(owed));
    assert_eq!(lease.ask(Aim::Fill, &limit, NOW + 100 * MILLISECOND, 2, LEASE_NS, 1).0.owed, None, "it is gone by now");
    lease.forgive();
    assert_eq!(lease.ask(Aim::Fill, &limit, later, 2, LEASE_NS, 1).0.owed, None);
}

#[test]
fn what_is_borrowed_is_what_is_asked_for_during_a_lease() {
    let limit = limit(Sharing::Leased);
    for (every_ms, least, most) in [(1, 32, 32), (5, 9, 11), (20, 2, 3), (200, 1, 1)] {
        let mut lease = Lease::default();
        let mut now = NOW;
        for _ in 0..200 {
            now += every_ms * MILLISECOND;
            lease.note(now, 1);
        }
        let asked = lease.ask(Aim::Fill, &limit, now, 1, LEASE_NS, 1).0.most;
        assert!((least..=most).contains(&asked), "{asked} with one every {every_ms} ms");
        assert_eq!(lease.ask(Aim::Fill, &limit, now + 2 * SECOND, 1, LEASE_NS, 1).0.most, 1, "nobody asks any longer");
    }
}

proptest! {
    #[test]
    fn words_hold_all_of_it(
        (due, held_until, held_cost, units) in any::<(u64, u64, u16, u16)>(),
        (end, rate_at_us, weight_ns) in any::<(u64, u32, u64)>(),
        stamp_us in 0..1_u64 << STAMP_BITS,
        epoch in 0..1_u16 << EPOCH_BITS,
        rate in 0_f32..1e12,
    ) {
        let weight_ns = Weight::of(weight_ns);
        let lease = Lease { due, held_until, held_cost, units, weight_ns, end, stamp_us, epoch, rate, rate_at_us };
        prop_assert_eq!(Lease::from_words(lease.words()), lease);
    }

    #[test]
    fn a_weight_is_remembered_to_seven_digits_and_never_as_more(ns in 1_000..1_u64 << 52) {
        let kept = Weight::of(ns).ns();
        prop_assert!(kept <= ns && ns - kept <= ns / 5_000_000, "{ns} as {kept}");
        prop_assert_eq!(Weight::of(kept).ns(), kept);
    }

    #[test]
    fn units_are_used_or_go_back_and_none_later_than_a_lease_after_its_call_left(
        grants in prop::collection::vec((0..200 * MILLISECOND, 0..60 * MILLISECOND, 0_u64..20), 1..8),
        at in 0..300 * MILLISECOND,
    ) {
        let limit = limit(Sharing::Leased);
        let mut grants = grants;
        grants.sort_by_key(|(sent, took, _)| sent + took);
        let mut lease = Lease::default();
        let (mut granted, mut back) = (0, 0);
        // Those that its units are of.
        let mut held = Vec::<Grant>::new();
        for (sent, took, units) in grants {
            let told = Told { stamp_us: STAMP_US + sent / 1_000, ..told(NOW + sent, NOW + sent + took) };
            let left = lease.learn(&told, &limit, 0, units);
            granted += units;
            back += left.map_or(0, |(units, _)| units);
            let grant = told.grant(&limit);
            if units > 0 && told.now < grant.end && held.iter().any(|held| told.now >= held.end) {
                held.clear();
                held.push(grant);
            } else if left.is_none_or(|(back, _)| back < units) && units > 0 {
                held.push(grant);
            }
            prop_assert_eq!(granted, back + u64::from(lease.units));
            prop_assert!(u64::from(lease.units) <= MAX_LEASE);
        }
        let first = held.into_iter().reduce(earlier).filter(|_| lease.units > 0);
        let drawn = lease.draw(&limit, NOW + at, 1);
        prop_assert_eq!(drawn.is_some(), first.is_some_and(|first| NOW + at < first.end));
        if let Some((_, grant)) = drawn {
            prop_assert_eq!(Some(grant), first);
        }
    }

    #[test]
    fn a_hold_lasts_5_ms_to_1_s_and_never_offers_what_was_asked_for(
        debt_ns in 0..200 * MILLISECOND,
        (held_cost, cost) in (1_u64..10, 1_u64..10),
        units in 0_u64..10,
        wait_ns in 0..100 * SECOND,
        after in 0..2 * SECOND,
    ) {
        let limit = limit(Sharing::Leased);
        let mut lease = lent(0, debt_ns);
        lease.hold(&limit, NOW, held_cost, wait_ns);
        prop_assert_eq!(lease.take_in(NOW, units, fresh()), None);
        let live = if after < LEASE_NS { units } else { 0 };
        let lasts = wait_ns.clamp(5 * MILLISECOND, SECOND);
        let held = lease.held(&limit, NOW + after, cost);
        prop_assert_eq!(held.is_some(), after < lasts && cost >= held_cost && cost > live);
        if let Some((remaining, wait_ns)) = held {
            prop_assert!(remaining < cost && wait_ns > 0);
        }
    }

    #[test]
    fn what_is_left_is_at_most_the_burst(debt_ns in 0..300 * MILLISECOND, units in 1_u64..=32, cost in 0_u64..=32) {
        let limit = limit(Sharing::Leased);
        let mut lease = lent(units, debt_ns);
        let drawn = lease.draw(&limit, NOW, cost);
        prop_assert_eq!(drawn.is_some(), cost <= units);
        if let Some((left, _)) = drawn {
            prop_assert!(left.remaining <= limit.burst() && left.remaining >= (units - cost).min(limit.burst()));
        }
    }
}

#[test]
fn more_is_fetched_when_the_rest_will_be_used_up_and_there_is_plenty() {
    // A unit weighs 0.1 ms.
    let limit = with_burst(1_000, Algorithm::Gcra, 10_000, 1, Sharing::Leased);
    let hot = |hz: u64, owed: u64| {
        let mut lease = Lease::default();
        (0..hz).for_each(|n| lease.note(NOW - SECOND + n * SECOND / hz, 1));
        lease.learn(&told(NOW, NOW), &limit, owed * limit.emission_ns(), 8);
        lease
    };
    assert!(hot(1_000, 0).runs_low(&limit, NOW, 1), "50 will be asked for within the lease");
    assert!(!hot(500, 0).runs_low(&limit, NOW, 1), "25 will be: a whole lease would not be used up");
    assert!(!hot(1_000, 0).runs_low(&limit, NOW + LEASE_NS / 2, 1), "nor would it in the rest of its time");
    assert!(!hot(1_000, 0).runs_low(&limit, NOW + LEASE_NS, 1), "it is over");
    assert!(
        hot(1_000, 800).runs_low(&limit, NOW, 3) && !hot(1_000, 800).runs_low(&limit, NOW, 4),
        "50 for each of four"
    );
    let mut many = hot(1_000, 0);
    assert_eq!(many.take_in(NOW, 1, told(NOW, NOW).grant(&limit)), None);
    assert!(!many.runs_low(&limit, NOW, 1), "nine are enough for now");
    let (ask, unused) = hot(1_000, 0).ask(Aim::TopUp, &limit, NOW, 1, LEASE_NS, 1);
    assert_eq!((ask.refunds, ask.most, unused), (vec![], 24, Unused::default()), "what is there stays there");
}
