//! What was drawn or charged for a request that does not go on.

use super::*;
use crate::quotas::Left;

/// Of two partitions: units of the first can be had when the second refuses.
fn both<'a>(first: (&'a Limit, u64), second: &'a Limit) -> Demand<'a> {
    let mut demand = demand(first.0, first.1);
    demand.charges.push(Charge { limit: second, key: "other", cost: 1, force: Force::Enforced });
    demand
}

fn other(quota: u64) -> Limit {
    let terms = Terms { name: "other", ..terms(Algorithm::Gcra, quota, 3_600, Sharing::Strict) };
    Limit::new(&terms).expect("a good limit")
}

/// Waits for a while and leaves.
async fn leaves(rig: &Rig, demand: Demand<'_>) {
    let Soon::Later(mut waiting) = rig.quotas.take(demand) else { panic!("only the store can tell") };
    let brief = tokio::time::timeout(Duration::from_millis(1), &mut waiting);
    assert!(brief.await.is_err(), "the server is halted");
    // The question has left by now, or leaves when the server goes on: either way nobody waits for the answer.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn who_leaves_while_waiting_is_not_charged() {
    let redis = Redis::start().await;
    for sharing in [Sharing::Strict, Sharing::Leased] {
        let rig = proxy(&redis.url(), PATIENCE / 4);
        let hundred = hourly(100, sharing);
        redis.command(&["FLUSHALL"]).await;
        assert!(matches!(take(&rig, &hundred, 1).await.0, Outcome::Charged(_)));
        redis.stop();
        leaves(&rig, demand(&hundred, 40)).await;
        redis.resume();
        // A borrowed unit goes back with the next call. What these calls take is not among the forty.
        vestibule_testkit::within("the forty to be back", async {
            for taken in 2.. {
                let (Outcome::Charged(now), _) = take(&rig, &hundred, 1).await else { panic!("there are plenty") };
                if now.remaining + taken >= 90 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_given_back() {
    let redis = Redis::start().await;
    let relay = Relay::to(redis.address());
    let rig = proxy(&format!("redis://{}/0", relay.address()), Duration::from_millis(100));
    let direct = proxy(&redis.url(), PATIENCE / 4);
    let hundred = hourly(100, Sharing::Strict);
    assert!(matches!(take(&rig, &hundred, 1).await, (Outcome::Charged(_), Source::Store)));
    relay.set(Fault::Delay(Duration::from_millis(150))).await;
    // Decided here, as nothing was heard in time.
    assert!(matches!(take(&rig, &hundred, 5).await, (Outcome::Charged(_), Source::Fallback)));
    relay.set(Fault::None).await;
    // The five that the store charged go back when its answer comes; the five that were admitted here are carried over.
    until_left(&direct, &hundred, 94).await;
}

#[tokio::test]
async fn who_leaves_while_waiting_for_one_partition_gives_back_what_was_borrowed_of_another() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let (twenty, ten) = (hourly(20, Sharing::Leased), other(10));
    let mut last = None;
    for _ in 0..3 {
        last = Some(take(&rig, &twenty, 1).await);
    }
    let Some((Outcome::Charged(Left { remaining, .. }), _)) = last else { panic!("there are twenty: {last:?}") };
    redis.stop();
    leaves(&rig, both((&twenty, 5), &ten)).await;
    let (outcome, source) = take(&rig, &twenty, 1).await;
    let Outcome::Charged(left) = outcome else { panic!("there are some: {outcome:?}") };
    assert_eq!((left.remaining, source), (remaining - 1, Source::Lease));
    redis.resume();
}

#[tokio::test]
async fn all_units_of_a_log_go_back_when_another_partition_refuses_and_none_counts_here() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let direct = proxy(&redis.url(), PATIENCE / 4);
    let (log, one) = (limit(Algorithm::SlidingLog, 4, 3_600, Sharing::Strict), other(1));
    let taken = direct.quotas.take(both((&hourly(10, Sharing::Strict), 1), &one)).get().await;
    assert!(matches!(taken.verdicts[1].outcome, Outcome::Charged(_)), "{taken:?}");
    let refused = futures::future::join_all((0..3).map(|_| rig.quotas.take(both((&log, 1), &one)).get())).await;
    assert!(refused.iter().all(|taken| matches!(taken.verdicts[1].outcome, Outcome::Refused { .. })), "{refused:?}");
    until_left(&direct, &log, 4).await;
    drop(redis);
    for admitted in 0..4 {
        let (outcome, source) = take(&rig, &log, 1).await;
        assert!(matches!(outcome, Outcome::Charged(_)) && source == Source::Fallback, "{admitted}: {outcome:?}");
    }
    assert!(matches!(take(&rig, &log, 1).await.0, Outcome::Refused { .. }));
}

/// Each call reaches the store, and none is heard in time: what was admitted here meanwhile is told once all the same.
#[tokio::test]
async fn what_was_admitted_here_is_told_once_however_late_the_answers_are() {
    let redis = Redis::start().await;
    let relay = Relay::to(redis.address());
    let rig = proxy(&format!("redis://{}/0", relay.address()), Duration::from_millis(100));
    let direct = proxy(&redis.url(), PATIENCE / 4);
    let hundred = hourly(100, Sharing::Strict);
    assert!(matches!(take(&rig, &hundred, 1).await, (Outcome::Charged(_), Source::Store)));
    relay.set(Fault::Delay(Duration::from_millis(150))).await;
    for _ in 0..2 {
        assert!(matches!(take(&rig, &hundred, 5).await, (Outcome::Charged(_), Source::Fallback)));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    relay.set(Fault::None).await;
    // What the calls of the ten had charged has come back.
    until_left(&direct, &hundred, 89).await;
    assert!(matches!(take(&rig, &hundred, 1).await.0, Outcome::Charged(left) if left.remaining == 88));
}

/// Nobody waits for a server that is known to fail, not even who was in the queue already.
#[tokio::test]
async fn who_waits_behind_a_call_is_told_when_the_server_is_given_up() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), TIMEOUT);
    let ten = hourly(10, Sharing::Strict);
    assert!(matches!(take(&rig, &ten, 1).await.0, Outcome::Charged(_)));
    redis.stop();
    let (rig, ten) = (&rig, &ten);
    // Takes of a bucket of its own, after a while; the fifth failure in a row is the last one's.
    let after = |pause: Duration, key: &'static str| async move {
        tokio::time::sleep(pause).await;
        let mut demand = demand(ten, 1);
        demand.charges[0].key = key;
        let came = tokio::time::Instant::now();
        let taken = rig.quotas.take(demand).get().await;
        (came.elapsed(), taken)
    };
    let at_once = ["a", "b", "c", "d"].map(|key| after(Duration::ZERO, key));
    let first = async { tokio::join!(futures::future::join_all(at_once), after(TIMEOUT / 10, "last")) };
    let behind = after(TIMEOUT / 2, "last");
    let ((_, failed), (waited, taken)) = tokio::join!(first, behind);
    assert_eq!(failed.1.verdicts[0].source, Source::Fallback);
    assert_eq!(taken.verdicts[0].source, Source::Fallback);
    assert!(waited < TIMEOUT * 4 / 5, "{waited:?}");
    redis.resume();
}
