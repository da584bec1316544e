//! What an operation says when something is wrong with Redis.

use super::*;
use vestibule_testkit::{Fault, Relay};

/// Asks until it is answered again, which takes as long as it takes a server to come back.
async fn begins_again(records: &RedisRecords) {
    vestibule_testkit::within("a claim to be granted again", async {
        while begin(records, claim()).await != Ok(Begun::Acquired) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut redis = Server::start().await;
    let records = records(&redis.url());
    assert!(!records.standing().up);
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
    assert!(records.standing().up);
    redis.kill().await;
    // The end of the connection is heard before it is asked, or after.
    let first = begin(&records, claim()).await;
    assert!(matches!(first, Err(Outage::Timeout | Outage::Unheard(_) | Outage::Unavailable(_))), "{first:?}");
    let second = begin(&records, claim()).await;
    assert!(matches!(second, Err(Outage::Unavailable(_))), "{second:?}");
    assert!(!records.standing().up);
    redis.restart().await;
    begins_again(&records).await;
    assert!(records.standing().up);
}

/// ID-37
#[tokio::test]
async fn forgotten_scripts_are_loaded_again_unseen() {
    let mut redis = Server::setup().appendonly(true).start().await;
    let records = records(&redis.url());
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    redis.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(complete(&records, claimed.hold, done(10)).await, Ok(Completed::Ok));
    redis.command(&["SCRIPT", "FLUSH"]).await;
    assert!(matches!(begin(&records, claimed).await, Ok(Begun::Replay { .. })));
    redis.restart().await;
    assert!(matches!(begin(&records, claimed).await, Ok(Begun::Replay { .. })), "the first after the restart");
}

#[tokio::test]
async fn a_restart_keeps_what_is_on_disk_and_loses_what_is_not() {
    for appendonly in [true, false] {
        let mut redis = Server::setup().appendonly(appendonly).start().await;
        let records = records(&redis.url());
        let claimed = claim();
        assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
        redis.restart().await;
        let other = Claim { hold: Hold { owner: Owner::draw(), ..claimed.hold }, ..claimed };
        let found = begin(&records, other).await;
        match appendonly {
            true => assert_eq!(found, Ok(Begun::Busy { trace_id: claimed.hold.trace_id })),
            false => assert_eq!(found, Ok(Begun::Acquired)),
        }
    }
}

#[tokio::test]
async fn a_reset_connection_costs_nothing_when_the_next_one_works() {
    let redis = Server::start().await;
    let relay = Relay::to(redis.address());
    let records = records(&format!("redis://{}", relay.address()));
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    for _ in 0..3 {
        relay.set(Fault::Reset).await;
        relay.set(Fault::None).await;
        assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    }
    assert_eq!(relay.connections(), 4);
    // The question arrives, and the connection breaks within the answer: the same owner asks again.
    relay.set(Fault::CutResponse(2)).await;
    let begun = begin(&records, claim()).await;
    assert!(matches!(begun, Err(Outage::Unheard(_))), "it may have happened: {begun:?}");
    relay.set(Fault::None).await;
    assert_eq!(complete(&records, claimed.hold, done(1)).await, Ok(Completed::Ok));
}

#[tokio::test]
async fn connections_are_shared_and_made_once() {
    let redis = Server::start().await;
    let relay = Relay::to(redis.address());
    let records = records(&format!("redis://{}", relay.address()));
    let begun = futures::future::join_all((0..500).map(|_| begin(&records, claim()))).await;
    assert!(begun.iter().all(|begun| *begun == Ok(Begun::Acquired)));
    assert_eq!(relay.connections(), 1);
    relay.set(Fault::Reset).await;
    let begun = futures::future::join_all((0..500).map(|_| begin(&records, claim()))).await;
    assert!(begun.iter().all(Result::is_err));
    assert!(relay.connections() < 10, "{} for one reset", relay.connections());
}

/// A connection ends with the runtime that it was made in, and the store goes on in another.
#[test]
fn a_store_outlives_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let redis = first.block_on(Server::start());
    let (records, claimed) = (records(&redis.url()), claim());
    assert_eq!(first.block_on(begin(&records, claimed)), Ok(Begun::Acquired));
    drop(first);
    assert_eq!(runtime().block_on(complete(&records, claimed.hold, done(1))), Ok(Completed::Ok));
}

#[tokio::test]
async fn a_halted_server_takes_no_longer_than_the_timeout() {
    let redis = Server::start().await;
    let records = impatient(&redis.url());
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    redis.stop();
    for _ in 0..3 {
        // The third comes on a new connection, which the halted server's system accepts.
        let (begun, completed) = tokio::join!(begin(&records, claim()), complete(&records, claimed.hold, done(1)));
        assert!(matches!(begun, Err(Outage::Timeout | Outage::Unavailable(_))), "{begun:?}");
        assert!(matches!(completed, Err(Outage::Timeout | Outage::Unavailable(_))), "{completed:?}");
    }
    redis.resume();
    assert_eq!(complete(&records, claimed.hold, done(1)).await, Ok(Completed::Ok));
}

#[tokio::test]
async fn a_connection_that_goes_quiet_is_replaced() {
    let redis = Server::start().await;
    let relay = Relay::to(redis.address());
    let records = impatient(&format!("redis://{}", relay.address()));
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
    relay.set(Fault::Stall).await;
    assert_eq!(begin(&records, claim()).await, Err(Outage::Timeout));
    assert_eq!(begin(&records, claim()).await, Err(Outage::Timeout));
    assert_eq!(relay.connections(), 1);
    relay.set(Fault::None).await;
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
    assert_eq!(relay.connections(), 2);
}

#[tokio::test]
async fn after_failures_in_a_row_only_claims_are_held_back() {
    let mut redis = Server::start().await;
    let records = records(&redis.url());
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    redis.kill().await;
    for _ in 0..5 {
        assert!(complete(&records, claimed.hold, done(1)).await.is_err());
    }
    assert_eq!(records.standing().breaker, crate::records::Breaker::Open);
    redis.restart().await;
    let held_back = begin(&records, claim()).await;
    assert!(matches!(&held_back, Err(Outage::Unavailable(why)) if why.contains("in a row")), "{held_back:?}");
    assert_eq!(complete(&records, claimed.hold, done(1)).await, Ok(Completed::Ok), "always tried");
    assert_eq!(records.standing().breaker, crate::records::Breaker::Closed);
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
}

/// ID-35
#[tokio::test]
async fn a_server_that_evicts_is_refused_until_it_does_not() {
    let redis = Server::setup().config("maxmemory-policy", "allkeys-lru").start().await;
    let records = records(&redis.url());
    let Contact::Refused(why) = records.first_contact().await else { panic!("it must be refused") };
    assert!(why.contains("maxmemory-policy is allkeys-lru"), "{why}");
    assert_eq!(records.standing().refused, Some(why.clone()));
    assert_eq!(begin(&records, claim()).await, Err(Outage::Unavailable(why.clone())));
    assert_eq!(redis.command(&["DBSIZE"]).await.int(), 0);
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    begins_again(&records).await;
    assert_eq!(records.standing().refused, None);
    assert_eq!(records.first_contact().await, Contact::Made);
}

#[tokio::test]
async fn the_first_contact_tells_a_server_that_is_away_from_one_that_is_refused() {
    let mut redis = Server::start().await;
    let records = records(&redis.url());
    redis.kill().await;
    assert!(matches!(records.first_contact().await, Contact::None(_)));
    assert!(!records.standing().up);
    redis.restart().await;
    assert_eq!(records.first_contact().await, Contact::Made);
    assert!(records.standing().up);
}

#[tokio::test]
async fn a_full_server_refuses_claims_and_still_replays() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    let (finished, open) = (claim(), claim());
    assert_eq!(begin(&records, finished).await, Ok(Begun::Acquired));
    assert_eq!(complete(&records, finished.hold, done(10)).await, Ok(Completed::Ok));
    assert_eq!(begin(&records, open).await, Ok(Begun::Acquired));
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(begin(&records, claim()).await, Err(Outage::Full(crate::records::Bound::Store)));
    assert!(matches!(begin(&records, finished).await, Ok(Begun::Replay { .. })));
    assert!(matches!(complete(&records, open.hold, done(10)).await, Err(Outage::Unavailable(_))));
    assert_eq!(records.release(open.hold).get().await, Ok(Released::Ok));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
}

#[tokio::test]
async fn a_replica_is_a_failure_that_passes() {
    let master = Server::start().await;
    let replica = Server::setup().replica_of(&master).start().await;
    let records = records(&replica.url());
    let refused = begin(&records, claim()).await;
    assert!(matches!(&refused, Err(Outage::Unavailable(why)) if why.starts_with("READONLY")), "{refused:?}");
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
}

#[tokio::test]
async fn what_is_not_a_record_is_never_a_miss_and_never_overwritten() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    let good = record::encode(&claim().hold, &Outcome::Tombstone { status: 200, why: crate::records::NotKept::Stream });
    let with = |at: usize, byte: u8| {
        let mut value = good.clone();
        value[at] = byte;
        value
    };
    let garbage = [
        Vec::new(),
        b"garbage".to_vec(),
        good[..record::HEADER_BYTES - 1].to_vec(),
        [&good[..], b"more"].concat(),
        with(0, 2),
        with(1, 0),
        with(1, 9),
        with(2, 0),
        with(2, 6),
        vec![0xff; 4096],
    ];
    for (number, value) in garbage.iter().enumerate() {
        let claimed = claim();
        let hold = claimed.hold;
        redis.command(&[&b"SET"[..], key(&hold).as_bytes(), value]).await;
        let unreadable = |outage: Outage| assert!(matches!(outage, Outage::Unreadable(_)), "{number}: {outage:?}");
        unreadable(begin(&records, claimed).await.expect_err("begin"));
        unreadable(begin(&records, Claim { abandoned: Abandoned::TakeOver, ..claimed }).await.expect_err("begin"));
        unreadable(records.renew(hold, LEASE, TTL).get().await.expect_err("renew"));
        unreadable(complete(&records, hold, done(1)).await.expect_err("complete"));
        unreadable(records.release(hold).get().await.expect_err("release"));
        unreadable(records.forget(hold.name, Live::Spare).get().await.expect_err("forget"));
        assert_eq!(redis.command(&["GET", &key(&hold)]).await, vestibule_testkit::Resp::Bulk(value.clone()));
        assert_eq!(records.forget(hold.name, Live::Forget).get().await, Ok(Forgotten::Deleted));
        assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    }
    let claimed = claim();
    redis.command(&["RPUSH", &key(&claimed.hold), "a"]).await;
    assert!(matches!(begin(&records, claimed).await, Err(Outage::Unreadable(_))), "a list");
    assert!(matches!(complete(&records, claimed.hold, done(1)).await, Err(Outage::Unreadable(_))));
    assert_eq!(records.forget(claimed.hold.name, Live::Forget).get().await, Ok(Forgotten::Deleted));
    assert!(records.standing().up && records.standing().breaker == crate::records::Breaker::Closed);
}
