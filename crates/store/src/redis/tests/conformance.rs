//! What every store must do, here done by Redis.

use super::{done, records};
use crate::records::conformance::{self, Rig};
use crate::records::{
    Abandoned, Claim, Fingerprint, Hold, Keeping, Live, MemoryRecords, Name, NotKept, Outcome, Owner, Payer, Records,
    Unknown,
};
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::SystemClock;
use vestibule_testkit::{Redis, RedisCluster, RedisSentinels};

fn pass<'a>(time: Duration) -> BoxFuture<'a, ()> {
    // Redis has a clock of its own: here real time is the point.
    Box::pin(tokio::time::sleep(time))
}

macro_rules! rig {
    ($case:path) => {{
        let redis = Redis::start().await;
        let records = records(&redis.url());
        $case(&Rig { records: &records, pass: &pass }).await;
    }};
}

conformance::conformance!(rig);

/// What does not wait for anything to run out, which is the same script anywhere.
async fn core(url: &str) {
    let records = records(url);
    let rig = Rig { records: &records, pass: &pass };
    for _ in 0..20 {
        // Of each name, so that every node of a cluster has some.
        conformance::a_claim_is_granted_once_and_busy_for_others(&rig).await;
        conformance::a_completion_can_be_repeated(&rig).await;
        conformance::a_released_name_is_free(&rig).await;
    }
    conformance::a_reply_is_given_back_byte_for_byte(&rig).await;
    conformance::a_tombstone_says_why_and_of_which_status(&rig).await;
    conformance::a_renewal_writes_nothing_where_nothing_is(&rig).await;
    conformance::a_lost_claim_is_made_good_by_its_completion(&rig).await;
    conformance::an_abandoned_claim_can_be_taken_over(&rig).await;
    conformance::a_record_is_forgotten_but_not_under_a_live_claim(&rig).await;
    conformance::of_many_claims_at_once_one_is_granted(&rig).await;
}

#[tokio::test]
async fn a_cluster_conforms() {
    let cluster = RedisCluster::start().await;
    core(&cluster.url()).await;
    for node in cluster.nodes() {
        assert!(node.command(&["DBSIZE"]).await.int() > 0, "every node has some");
    }
}

#[tokio::test]
async fn a_master_found_through_sentinels_conforms() {
    let sentinels = RedisSentinels::start().await;
    core(&sentinels.url()).await;
}

/// Long enough for the shortest lease to run out between two steps.
const STEP: Duration = Duration::from_millis(3);

/// One operation and its answer, as text so that all are alike.
async fn step(records: &dyn Records, rng: &mut StdRng) -> String {
    let hold = Hold {
        name: Name([rng.random_range(0..3); 16]),
        fingerprint: Fingerprint([u8::from(rng.random_ratio(1, 10)); 32]),
        owner: Owner([rng.random_range(0..3); 16]),
        trace_id: rng.random(),
        payer: Payer::default(),
    };
    let lease = *[Duration::from_millis(1), Duration::from_secs(3600)].choose(rng).expect("two");
    let ttl = Duration::from_secs(3600);
    match rng.random_range(0..10) {
        0..4 => {
            let abandoned = *[Abandoned::Respect, Abandoned::TakeOver].choose(rng).expect("two");
            let claim = Claim { hold, lease, ttl, abandoned, replicas: 0 };
            format!("begin {hold:?} {abandoned:?}: {:?}", records.begin(claim).get().await)
        }
        4 => format!("renew {hold:?}: {:?}", records.renew(hold, lease, ttl).get().await),
        5..7 => {
            let outcome = match rng.random_range(0..4) {
                0 => done(rng.random_range(0..50)),
                1 => Outcome::Tombstone { status: rng.random_range(200..1000), why: NotKept::Truncated },
                _ => Outcome::Uncertain(Unknown::Shutdown),
            };
            let completed = records.complete(hold, outcome, Keeping { ttl, replicas: 0 }).get().await;
            format!("complete {hold:?}: {completed:?}")
        }
        7 => format!("release {hold:?}: {:?}", records.release(hold).get().await),
        _ => {
            let live = *[Live::Spare, Live::Forget].choose(rng).expect("two");
            format!("forget {hold:?} {live:?}: {:?}", records.forget(hold.name, live).get().await)
        }
    }
}

/// The scripts and the rules in Rust say the same, whatever is asked in whatever order.
#[tokio::test]
async fn a_random_walk_is_answered_as_by_memory() {
    let redis = Redis::start().await;
    let in_redis = records(&redis.url());
    let in_memory = MemoryRecords::new(Arc::new(SystemClock::default()), 1 << 20);
    let seed = rand::random();
    let (mut here, mut there) = (StdRng::seed_from_u64(seed), StdRng::seed_from_u64(seed));
    let mut walked = Vec::new();
    for _ in 0..1000 {
        let expected = step(&in_memory, &mut here).await;
        let found = step(&in_redis, &mut there).await;
        walked.push(expected.clone());
        assert_eq!(found, expected, "with seed {seed}, after {:#?}", &walked[walked.len().saturating_sub(10)..]);
        tokio::time::sleep(STEP).await;
    }
    for answer in
        ["Acquired", "Mismatch", "Replay", "Gone", "Busy", "Uncertain", "Stale", "Lost", "Deleted", "Absent", "Alive"]
    {
        assert!(
            walked.iter().any(|step| step.contains(&format!("Ok({answer}"))),
            "{answer} never came, with seed {seed}"
        );
    }
}
