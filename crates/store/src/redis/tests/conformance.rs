//! What every store must do, here done by Redis.

use super::records;
use crate::records::conformance::{self, Rig};
use futures::future::BoxFuture;
use std::time::Duration;
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
