//! Servers that the tests of the stores stand on.

use vestibule_testkit::{Certs, Redis, RedisCluster, RedisSentinels, Resp};

fn bulk(text: &str) -> Resp {
    Resp::Bulk(text.as_bytes().to_vec())
}

#[tokio::test]
async fn a_server_answers_and_is_gone_when_dropped() {
    let redis = Redis::start().await;
    assert_eq!(redis.command(&["SET", "a", "1"]).await.text(), "OK");
    assert_eq!(redis.command(&["GET", "a"]).await, bulk("1"));
    assert_eq!(redis.command(&["GET", "b"]).await, Resp::Nil);
    assert!(matches!(redis.command(&["NO"]).await, Resp::Error(_)));
    assert_eq!(redis.command(&["KEYS", "*"]).await, Resp::Array(vec![bulk("a")]));
    let (address, halted) = (redis.address(), Redis::start().await);
    let halted_address = halted.address();
    halted.stop();
    drop((redis, halted));
    for address in [address, halted_address] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_restart_keeps_what_is_on_disk() {
    for appendonly in [true, false] {
        let mut redis = Redis::setup().appendonly(appendonly).start().await;
        let address = redis.address();
        redis.command(&["SET", "a", "1"]).await;
        redis.kill().await;
        redis.restart().await;
        assert_eq!(redis.address(), address);
        assert_eq!(redis.command(&["EXISTS", "a"]).await, Resp::Int(i64::from(appendonly)));
        redis.restart().await;
    }
}

#[tokio::test]
async fn a_halted_server_goes_on() {
    let redis = Redis::start().await;
    redis.stop();
    let asked = redis.command(&["PING"]);
    redis.resume();
    assert_eq!(asked.await.text(), "PONG");
}

#[tokio::test]
async fn a_monitor_sees_what_clients_ask() {
    let redis = Redis::start().await;
    let monitor = redis.monitor().await;
    redis.command(&["SET", "seen", "1"]).await;
    let lines = monitor.wait("the command", |lines| lines.iter().any(|line| line.contains("\"seen\""))).await;
    assert_eq!(monitor.lines(), lines);
}

#[tokio::test]
async fn tls_password_and_replica_are_options() {
    let certs = Certs::new();
    let secured = Redis::setup().tls(&certs).password("secret").start().await;
    assert_eq!(secured.command(&["PING"]).await.text(), "PONG");
    assert_eq!(secured.url(), format!("rediss://:secret@{}/0", secured.address()));
    let master = Redis::start().await;
    let replica = Redis::setup().replica_of(&master).start().await;
    let info = replica.command(&["INFO", "replication"]).await.text();
    assert!(info.contains("role:slave"), "{info}");
    let policy = Redis::setup().config("maxmemory-policy", "allkeys-lru").start().await;
    assert!(policy.command(&["INFO", "memory"]).await.text().contains("maxmemory_policy:allkeys-lru"));
}

#[tokio::test]
async fn a_cluster_is_whole() {
    let cluster = RedisCluster::start().await;
    assert_eq!(cluster.nodes().len(), 3);
    assert!(cluster.url().starts_with("redis+cluster://127.0.0.1:"));
    let slots = cluster.nodes()[2].command(&["CLUSTER", "SLOTS"]).await;
    assert_eq!(slots.parts().len(), 3);
}

#[tokio::test]
async fn sentinels_fail_over() {
    let mut sentinels = RedisSentinels::start().await;
    let before = sentinels.servers()[0].address();
    sentinels.fail_over().await;
    assert_ne!(sentinels.servers()[0].address(), before);
    assert_eq!(sentinels.servers()[0].command(&["SET", "a", "1"]).await.text(), "OK");
}
