//! Writes that wait for replicas.

use super::*;
use vestibule_testkit::Resp;

fn keep(replicas: u32) -> Keeping {
    Keeping { ttl: TTL, replicas }
}

async fn with_replica() -> (Server, Server) {
    let master = Server::start().await;
    let replica = Server::setup().replica_of(&master).start().await;
    let online = |info: &Resp| info.text().contains("state=online");
    master.wait("the replica to follow", &["INFO", "replication"], online).await;
    // Writes flow only after its first acknowledgement, which may be a second later.
    master.command(&["SET", "something", "to follow"]).await;
    master.command(&["DEL", "something"]).await;
    let acknowledges = |info: &Resp| online(info) && !info.text().contains(",offset=0,");
    master.wait("the replica to acknowledge", &["INFO", "replication"], acknowledges).await;
    (master, replica)
}

#[tokio::test]
async fn a_claim_and_a_reply_are_on_the_replica_when_they_are_acknowledged() {
    let (master, replica) = with_replica().await;
    let records = records(&master.url());
    for _ in 0..20 {
        let claimed = Claim { replicas: 1, ..claim() };
        assert_eq!(records.begin(claimed).get().await, Ok(Begun::Acquired));
        assert_eq!(replica.command(&["EXISTS", &key(&claimed.hold)]).await, Resp::Int(1));
        assert_eq!(records.complete(claimed.hold, done(1), keep(1)).get().await, Ok(Completed::Ok));
        let length = i64::try_from(record::HEADER_BYTES + 1).expect("small");
        assert_eq!(replica.command(&["STRLEN", &key(&claimed.hold)]).await, Resp::Int(length));
    }
}

#[tokio::test]
async fn a_claim_with_too_few_replicas_is_taken_back() {
    let redis = Server::start().await;
    let records = impatient(&redis.url());
    let claimed = Claim { replicas: 1, ..claim() };
    assert_eq!(begin(&records, claimed).await, Err(Outage::Replicas { wanted: 1, acknowledged: 0 }));
    assert_eq!(redis.command(&["DBSIZE"]).await, Resp::Int(0));
    let (master, _replica) = with_replica().await;
    let two = Claim { replicas: 2, ..claim() };
    let begun = self::records(&master.url()).begin(two).get().await;
    assert_eq!(begun, Err(Outage::Replicas { wanted: 2, acknowledged: 1 }));
    assert_eq!(master.command(&["DBSIZE"]).await, Resp::Int(0));
}

/// What is there already is told, whoever follows.
#[tokio::test]
async fn only_what_was_written_waits() {
    let redis = Server::start().await;
    let records = impatient(&redis.url());
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    assert_eq!(records.complete(claimed.hold, done(1), keep(1)).get().await, Ok(Completed::Lagging { replicas: 0 }));
    let again = Claim { replicas: 1, ..claimed };
    assert!(matches!(begin(&records, again).await, Ok(Begun::Replay { .. })), "it is written all the same");
}

/// One that waits for replicas holds nobody else up.
#[tokio::test]
async fn others_are_answered_while_one_waits() {
    let redis = Server::start().await;
    let records = impatient(&redis.url());
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
    let waiting = Claim { replicas: 1, ..claim() };
    let others = async {
        let started = std::time::Instant::now();
        for _ in 0..20 {
            assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
        }
        assert!(started.elapsed() < TIMEOUT / 2, "{:?}", started.elapsed());
    };
    let (waited, also_waited, ()) =
        tokio::join!(begin(&records, waiting), begin(&records, Claim { replicas: 1, ..claim() }), others);
    let lonely = Err(Outage::Replicas { wanted: 1, acknowledged: 0 });
    assert_eq!((waited, also_waited), (lonely.clone(), lonely));
}

#[tokio::test]
async fn a_halted_replica_makes_a_reply_lag() {
    let (master, replica) = with_replica().await;
    let records = records_within(&master.url(), PATIENCE / 5);
    let claimed = Claim { replicas: 1, ..claim() };
    assert_eq!(records.begin(claimed).get().await, Ok(Begun::Acquired));
    replica.stop();
    assert_eq!(records.complete(claimed.hold, done(1), keep(1)).get().await, Ok(Completed::Lagging { replicas: 0 }));
    replica.resume();
    assert_eq!(records.complete(claimed.hold, done(1), keep(1)).get().await, Ok(Completed::Ok), "by now it has it");
}
