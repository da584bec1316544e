//! Clusters, sentinels, TLS and passwords.

use super::*;
use vestibule_testkit::{Certs, RedisCluster, RedisSentinels, Resp};

async fn begins_again(records: &RedisRecords, claimed: Claim) {
    vestibule_testkit::within("a claim to be granted again", async {
        while begin(records, claimed).await != Ok(Begun::Acquired) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A claim whose key is in `slot`.
async fn claim_in(redis: &Server, slot: std::ops::RangeInclusive<i64>) -> Claim {
    loop {
        let claimed = claim();
        let found = redis.command(&["CLUSTER", "KEYSLOT", &key(&claimed.hold)]).await.int();
        assert_eq!(found, i64::from(slots::slot(key(&claimed.hold).as_bytes())), "both count alike");
        if slot.contains(&found) {
            return claimed;
        }
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start().await;
    let [first, second, third] = cluster.nodes() else { panic!("three masters") };
    let records = records(&cluster.url());
    let claimed = claim_in(first, 0..=5460).await;
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    let slot = slots::slot(key(&claimed.hold).as_bytes()).to_string();
    let (from, to) =
        (first.command(&["CLUSTER", "MYID"]).await.text(), second.command(&["CLUSTER", "MYID"]).await.text());

    second.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]).await;
    first.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]).await;
    let (port, key) = (second.address().port().to_string(), key(&claimed.hold));
    assert_eq!(first.command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"]).await.text(), "OK");
    // On the way: the old node says ASK for what it no longer has.
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    second.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired), "also where the script is not known");

    for node in [second, first, third] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]).await;
    }
    assert_eq!(complete(&records, claimed.hold, done(1)).await, Ok(Completed::Ok), "the old node says MOVED");
    assert!(matches!(begin(&records, claimed).await, Ok(Begun::Replay { .. })));
    assert_eq!(second.command(&["EXISTS", &key]).await, Resp::Int(1));
}

#[tokio::test]
async fn a_node_that_is_away_takes_its_own_keys_alone() {
    let mut cluster = RedisCluster::start().await;
    for node in cluster.nodes() {
        // Else the others stop, too, as soon as they notice.
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let records = impatient(&cluster.url());
    assert_eq!(records.first_contact().await, Contact::Made);
    let (lost, kept) =
        (claim_in(&cluster.nodes()[0], 0..=5460).await, claim_in(&cluster.nodes()[0], 5461..=16383).await);
    cluster.nodes_mut()[0].kill().await;
    let begun = begin(&records, lost).await;
    assert!(begun.is_err(), "{begun:?}");
    assert_eq!(begin(&records, kept).await, Ok(Begun::Acquired));
    cluster.nodes_mut()[0].restart().await;
    begins_again(&records, lost).await;
}

#[tokio::test]
async fn every_master_of_a_cluster_is_looked_at() {
    let cluster = RedisCluster::start().await;
    let last = &cluster.nodes()[2];
    last.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    let records = records(&cluster.url());
    let Contact::Refused(why) = records.first_contact().await else { panic!("it must be refused") };
    assert!(why.contains("maxmemory-policy is volatile-ttl"), "{why}");
    assert_eq!(records.standing().refused, Some(why));
    last.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let there = claim_in(last, 10923..=16383).await;
    begins_again(&records, there).await;
    assert_eq!((records.standing().refused, records.standing().kind), (None, "redis+cluster"));
}

#[tokio::test]
async fn a_cluster_waits_for_replicas_at_the_node_of_the_key() {
    let cluster = RedisCluster::start().await;
    let records = impatient(&cluster.url());
    let claimed = Claim { replicas: 1, ..claim() };
    assert_eq!(begin(&records, claimed).await, Err(Outage::Replicas { wanted: 1, acknowledged: 0 }));
    assert_eq!(begin(&records, Claim { replicas: 0, ..claimed }).await, Ok(Begun::Acquired));
    let lagging = records.complete(claimed.hold, done(1), Keeping { ttl: TTL, replicas: 1 }).get().await;
    assert_eq!(lagging, Ok(Completed::Lagging { replicas: 0 }));
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut sentinels = RedisSentinels::start().await;
    let records = records(&sentinels.url());
    assert_eq!(records.first_contact().await, Contact::Made);
    let claimed = claim();
    // On the replica as well, so that the failover does not lose it.
    vestibule_testkit::within("a claim on both", async {
        while records.begin(Claim { replicas: 1, ..claimed }).get().await != Ok(Begun::Acquired) {}
    })
    .await;
    sentinels.fail_over().await;
    begins_again(&records, claimed).await;
    let [master, _] = sentinels.servers() else { panic!("a master and a replica") };
    assert_eq!(master.command(&["EXISTS", &key(&claimed.hold)]).await, Resp::Int(1));
    assert_eq!(records.standing().kind, "redis+sentinel");
}

#[tokio::test]
async fn a_sentinel_that_does_not_answer_is_passed_over() {
    let sentinels = RedisSentinels::start().await;
    sentinels.sentinels()[0].stop();
    let records = records(&sentinels.url());
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
}

#[tokio::test]
async fn tls_trusts_the_authorities_it_is_given_and_no_other() {
    let certs = Certs::new();
    let redis = Server::setup().tls(&certs).password("s:cr/t@").start().await;
    let port = redis.address().port();
    let url = format!("rediss://:s%3Acr%2Ft%40@127.0.0.1:{port}");
    let with = |url: &str, authorities| {
        let url = RedisUrl::parse(url).expect("an address");
        let settings = Settings { authorities, ..Settings::new(url, "test", TIMEOUT) };
        RedisRecords::new(settings).expect("certificates")
    };
    let ours = || Some(vec![certs.authority()]);
    assert_eq!(begin(&with(&url, ours()), claim()).await, Ok(Begun::Acquired));
    for (url, authorities, what) in [
        (url.clone(), None, "the authorities of the web"),
        (url.clone(), Some(vec![Certs::new().authority()]), "another authority"),
        (format!("rediss://:s%3Acr%2Ft%40@127.0.0.2:{port}"), ours(), "another name"),
        (format!("rediss://:wrong@127.0.0.1:{port}"), ours(), "another password"),
        (format!("rediss://127.0.0.1:{port}"), ours(), "no password"),
        (format!("redis://:s%3Acr%2Ft%40@127.0.0.1:{port}"), None, "no TLS"),
    ] {
        let refused = begin(&with(&url, authorities), claim()).await;
        let Err(Outage::Unavailable(why)) = refused else { panic!("{what}: {refused:?}") };
        assert!(!why.contains("cr/t") && !why.contains("wrong"), "{why}");
    }
}
