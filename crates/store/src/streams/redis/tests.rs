//! Against real servers.

use super::*;
use crate::redis::RedisUrl;
use vestibule_plugin::SystemClock;
use vestibule_plugin::meter::Format;
use vestibule_testkit::{Redis, RedisCluster, RedisSentinels};

const TO: Stream<'_> = Stream { suffix: "csp", keeps: 1000 };

fn streams(url: &str, meter: &Registry) -> RedisStreams {
    let url = RedisUrl::parse(url).expect("an address");
    let timeout = Duration::from_secs(2);
    let settings = Settings::new(url, "test", timeout);
    RedisStreams::new(&settings, Arc::new(SystemClock::default()), meter).expect("no authorities to be wrong")
}

fn entries(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| vec![("record", text.as_bytes().to_vec())]).collect()
}

async fn stored(redis: &Redis) -> Vec<String> {
    let entries = redis.command(&["XRANGE", "test:csp", "-", "+"]).await;
    entries.parts().iter().map(|entry| entry.parts()[1].parts()[1].text()).collect()
}

#[tokio::test]
async fn entries_are_appended_in_their_order_with_all_their_fields() {
    let (redis, meter) = (Redis::start().await, Registry::default());
    let streams = streams(&redis.url(), &meter);
    assert_eq!(streams.is_up(), None);
    assert_eq!(streams.append(TO, &[]).get().await, Ok(()));
    assert_eq!(streams.append(TO, &entries(&["a", "b"])).get().await, Ok(()));
    assert_eq!(streams.append(TO, &[vec![("x", b"\0\r\n".to_vec()), ("y", b"2".to_vec())]]).get().await, Ok(()));
    let all = redis.command(&["XRANGE", "test:csp", "-", "+"]).await;
    assert_eq!(all.parts().len(), 3);
    let fields: Vec<&[u8]> = all.parts()[2].parts()[1].parts().iter().map(vestibule_testkit::Resp::bytes).collect();
    assert_eq!(fields, [b"x" as &[u8], b"\0\r\n", b"y", b"2"]);
    assert_eq!(streams.is_up(), Some(true));
    let count = "vestibule_store_operation_duration_seconds_count{operation=\"append\",outcome=\"ok\"} 2\n";
    assert!(meter.encode(Format::Text).contains(count));
}

#[tokio::test]
async fn a_stream_keeps_about_as_many_as_it_may() {
    let (redis, meter) = (Redis::start().await, Registry::default());
    let streams = streams(&redis.url(), &meter);
    let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let many = entries(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..50 {
        streams.append(TO, &many).get().await.expect("appended");
    }
    let length = redis.command(&["XLEN", "test:csp"]).await.int();
    assert!((1000..1200).contains(&length), "{length}");
}

#[tokio::test]
async fn what_is_no_stream_or_not_there_takes_nothing() {
    let (mut redis, meter) = (Redis::start().await, Registry::default());
    let streams = streams(&redis.url(), &meter);
    redis.command(&["SET", "test:csp", "x"]).await;
    let refused = streams.append(TO, &entries(&["a"])).get().await;
    assert_eq!(refused, Err(Outage::Unavailable("what lies under the key is no stream".to_owned())));
    redis.command(&["DEL", "test:csp"]).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(streams.append(TO, &entries(&["a", "b"])).get().await, Err(Outage::Full(crate::records::Bound::Store)));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(stored(&redis).await, Vec::<String>::new());
    redis.kill().await;
    let gone = streams.append(TO, &entries(&["a"])).get().await;
    assert!(matches!(gone, Err(Outage::Unavailable(_) | Outage::Unheard(_))), "{gone:?}");
    assert_eq!(streams.is_up(), Some(false));
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_to_the_deadline() {
    let (redis, meter) = (Redis::start().await, Registry::default());
    let streams = streams(&redis.url(), &meter);
    streams.append(TO, &entries(&["a"])).get().await.expect("appended");
    redis.stop();
    assert_eq!(streams.append(TO, &entries(&["b"])).get().await, Err(Outage::Timeout));
    redis.resume();
}

#[tokio::test]
async fn a_cluster_and_a_master_that_sentinels_name_take_them() {
    let (cluster, meter) = (RedisCluster::start().await, Registry::default());
    let there = streams(&cluster.url(), &meter);
    assert_eq!(there.append(TO, &entries(&["a", "b"])).get().await, Ok(()));
    let mut lengths = Vec::new();
    for node in cluster.nodes() {
        lengths.push(node.command(&["DBSIZE"]).await.int());
    }
    assert_eq!(lengths.iter().sum::<i64>(), 1, "one node has the stream");
    let sentinels = RedisSentinels::start().await;
    let there = streams(&sentinels.url(), &meter);
    assert_eq!(there.append(TO, &entries(&["a"])).get().await, Ok(()));
    assert_eq!(stored(&sentinels.servers()[0]).await, ["a"]);
}
