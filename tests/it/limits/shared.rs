//! Limits of a fleet, while its store is well.

use super::fleet::{Fleet, admitted, alone, burst, expired, ideal, meanwhile, most, one_policy, store};
use super::{HERE, left};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vestibule_testkit::{Origin, Redis, RedisCluster, Resp, Setup};

/// Longest use of a borrowed unit.
const LEASE: Duration = Duration::from_millis(50);

/// RL-25: the store decides on each request, so the fleet admits what one proxy would.
#[tokio::test]
async fn a_strict_limit_is_one_limit_for_all() {
    let redis = Redis::start().await;
    let toml = store(&redis.url()) + &one_policy("consistency = \"strict\"", "limit = \"100/min\"");
    let fleet = Fleet::start(2, &toml).await;
    let (units, time) = admitted(&fleet.load(&[250.0, 250.0], Duration::from_secs(2)).await);
    assert!((100..=most(100, 100.0 / 60.0, time)).contains(&units), "{units} in {time:?}");
}

/// A limit of a fleet that is asked for three times as much as it admits: never exceeded, and used.
async fn accuracy(count: usize, consistency: &str, url: &str) {
    // A strict proxy has time for the store. A leased one has what it has unless configured: units that it had no time to use
    // are counted by it, and simulated fleets, whose machine keeps time, show how few they are.
    let table = match consistency {
        "strict" => "consistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"900ms\"",
        _ => "consistency = \"leased\"",
    };
    let toml = store(url) + &one_policy(table, "limit = \"100/s\"\nburst = 20");
    let fleet = Fleet::start(count, &toml).await;
    // The first proxy has half of the load, the second a quarter, and so on.
    let rates: Vec<f64> = (0..count).map(|i| (300.0 / f64::from(2 << i)).max(4.0)).collect();

    let asked = fleet.load(&rates, Duration::from_secs(4)).await;
    assert!(asked.iter().all(|asked| matches!(asked.status, 200 | 429)), "only those two");

    let (units, time) = admitted(&asked);
    let slack = if consistency == "leased" { LEASE } else { Duration::ZERO };
    let bound = most(20, 100.0, time + slack);
    assert!(units <= bound, "{units} of at most {bound} in {time:?}");

    let (ideal, alone, expired) = (ideal(&asked, 20, 100.0), alone(&asked), expired(&fleet).await);
    if consistency == "strict" {
        assert_eq!((alone, expired), (0, 0), "the store decides");
    }
    let unused = alone as u64 + expired;
    assert!((units + unused) * 10 >= ideal * 9, "{units}, {unused} had no time, of {ideal} in {time:?}: it is used");
}

#[tokio::test]
async fn four_proxies_keep_to_a_strict_limit() {
    accuracy(4, "strict", &Redis::start().await.url()).await;
}

#[tokio::test]
async fn four_proxies_keep_to_a_leased_limit() {
    let redis = Redis::start().await;
    accuracy(4, "leased", &redis.url()).await;
}

#[tokio::test]
async fn eight_proxies_keep_to_a_leased_limit_and_to_a_strict_one() {
    let redis = Redis::start().await;
    accuracy(8, "leased", &redis.url()).await;
    redis.command(&["FLUSHALL"]).await;
    accuracy(8, "strict", &redis.url()).await;
}

#[tokio::test]
async fn a_cluster_keeps_to_a_limit_as_well() {
    let cluster = RedisCluster::start().await;
    accuracy(4, "leased", &cluster.url()).await;
    for node in cluster.nodes() {
        node.command(&["FLUSHALL"]).await;
    }
    accuracy(4, "strict", &cluster.url()).await;
}

/// RL-28: a store that forgets the script is told it again.
#[tokio::test]
async fn a_forgotten_script_costs_nobody_a_unit() {
    let redis = Arc::new(Redis::start().await);
    let table = "consistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"500ms\"";
    let fleet = Fleet::start(2, &(store(&redis.url()) + &one_policy(table, "limit = \"300/h\""))).await;
    let flushed = Arc::clone(&redis);
    let flushing = meanwhile(move || {
        let redis = Arc::clone(&flushed);
        async move {
            redis.command(&["SCRIPT", "FLUSH"]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let asked = fleet.load(&[120.0, 120.0], Duration::from_secs(2)).await;
    drop(flushing);
    assert!(asked.iter().all(|asked| matches!(asked.status, 200 | 429)), "no client sees an error");
    let (units, time) = admitted(&asked);
    let least = (asked.len() as u64).min(300);
    assert!((least..=most(300, 300.0 / 3_600.0, time)).contains(&units), "{units} of {}", asked.len());
    for proxy in &fleet.proxies {
        assert!(
            !proxy.metrics().await.has("vestibule_store_operation_duration_seconds_count", &[("outcome", "error")])
        );
    }
}

/// RL-29: each partition is on one node, whatever policies it has.
#[tokio::test]
async fn ten_thousand_callers_are_counted_exactly_on_three_masters() {
    const CALLERS: usize = 10_000;
    const CONNECTIONS: usize = 8;
    let cluster = RedisCluster::start().await;
    let table = "consistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"500ms\"";
    let toml = format!(
        "{}[rate_limit]\n{table}\n[rate_limit.tiers]\nanonymous = [\"a\", \"b\"]\n\
         [rate_limit.policies.a]\nkey = \"header:x-caller\"\nlimit = \"2/h\"\n\
         [rate_limit.policies.b]\nkey = \"header:x-caller\"\nlimit = \"1/h\"\n",
        store(&cluster.url())
    );
    let fleet = Fleet::start(2, &toml).await;
    let clients = (0..CONNECTIONS).map(|n| {
        let proxies = &fleet.proxies;
        async move {
            let mut connections = [proxies[0].connect().await, proxies[1].connect().await];
            let mut statuses = Vec::new();
            for caller in (n..CALLERS).step_by(CONNECTIONS) {
                let at = caller % 2;
                let request = proxies[at].get("/").header("x-caller", format!("caller-{caller}"));
                statuses.push(request.on(&mut connections[at]).await.status);
                // One in ten asks the other proxy as well, where it is the same caller.
                if caller % 10 == 0 {
                    let request = proxies[1 - at].get("/").header("x-caller", format!("caller-{caller}"));
                    assert_eq!(request.on(&mut connections[1 - at]).await.status, 429, "caller {caller}");
                }
            }
            statuses
        }
    });
    let statuses: Vec<u16> = futures::future::join_all(clients).await.into_iter().flatten().collect();
    assert_eq!(statuses.len(), CALLERS);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), CALLERS);
    for node in cluster.nodes() {
        assert!(node.command(&["DBSIZE"]).await.int() > 4_000, "every master has its part");
    }
}

/// RL-30: what is stored says nothing of anybody, and goes by itself.
#[tokio::test]
async fn what_is_stored_names_nobody_and_ends() {
    let redis = Redis::start().await;
    let toml = store(&redis.url())
        + "[rate_limit.tiers]\nanonymous = [\"p\", \"login\", \"who\"]\n\
           [rate_limit.policies.p]\nkey = \"address\"\nlimit = \"20/s\"\n\
           [rate_limit.policies.who]\nkey = \"header:x-caller\"\nlimit = \"10/s\"\nconsistency = \"strict\"\n\
           [rate_limit.policies.login]\nkey = \"address\"\nlimit = \"9/2s\"\nalgorithm = \"sliding_log\"\n";
    let mut fleet = Fleet::start(2, &toml).await;
    for n in 0..30 {
        fleet.proxies[n % 2].get("/").header("x-caller", "alice@example.org").await;
    }
    let keys: Vec<String> = redis.command(&["KEYS", "*"]).await.parts().iter().map(Resp::text).collect();
    assert!(keys.len() >= 5, "{keys:?}");
    for key in &keys {
        let ttl = redis.command(&["TTL", key]).await.int();
        assert!((0..=60).contains(&ttl), "{key} lives for {ttl} s");
        let kind = redis.command(&["TYPE", key]).await.text();
        let value = match kind.as_str() {
            "list" => format!("{:?}", redis.command(&["LRANGE", key, "0", "-1"]).await),
            "zset" => format!("{:?}", redis.command(&["ZRANGE", key, "0", "-1"]).await),
            _ => redis.command(&["GET", key]).await.text(),
        };
        assert!(
            !format!("{key} {value}").contains("127.0.0.1") && !format!("{key} {value}").contains("alice"),
            "{key}"
        );
    }
    for proxy in &fleet.proxies {
        assert!(!proxy.metrics().await.text.contains("alice"));
    }
    for proxy in &mut fleet.proxies {
        proxy.kill().await;
    }
    // The longest debt is gone in 2 s, and a second later its bucket.
    let only_common = |keys: &Resp| keys.parts().iter().all(|key| !key.text().contains('{'));
    redis.wait("the buckets to be gone", &["KEYS", "*"], only_common).await;
}

/// RL-31: a policy has one bucket wherever it is named; others, and other namespaces, have their own.
#[tokio::test]
async fn a_policy_is_shared_by_its_name_and_separated_by_its_namespace() {
    let redis = Redis::start().await;
    let policies = "[rate_limit.tiers]\nanonymous = \"unlimited\"\n\
         [rate_limit.policies.p]\nlimit = \"4/h\"\n[rate_limit.policies.q]\nlimit = \"4/h\"\n\
         [[routes]]\nname = \"a\"\npath = \"/a\"\nrate_limit = [\"p\"]\n\
         [[routes]]\nname = \"b\"\npath = \"/b\"\nrate_limit = [\"p\"]\n\
         [[routes]]\nname = \"c\"\npath = \"/c\"\nrate_limit = [\"q\"]\n";
    let here = store(&redis.url()) + policies;
    let there = store(&redis.url()) + "namespace = \"other\"\n" + policies;
    let origin = Origin::returning(200, "ok");
    let start = |toml: String| Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start();
    let (one, two, other) = (start(here.clone()).await, start(here).await, start(there).await);
    assert_eq!(one.get("/a").await.status, 200);
    assert_eq!(two.get("/b").await.status, 200);
    assert_eq!((left(&one, "p", HERE).await, left(&two, "p", HERE).await), (2, 2));
    assert_eq!(two.get("/c").await.status, 200);
    assert_eq!((left(&one, "p", HERE).await, left(&one, "q", HERE).await), (2, 3));
    assert_eq!(left(&other, "p", HERE).await, 4);
    assert_eq!(other.get("/a").await.status, 200);
    assert_eq!((left(&one, "p", HERE).await, left(&other, "p", HERE).await), (2, 3));
}

#[tokio::test]
async fn a_bucket_is_looked_at_and_reset_for_the_whole_fleet() {
    let redis = Redis::start().await;
    let toml = store(&redis.url()) + &super::TEN.replace("10/min", "10/h");
    let fleet = Fleet::start(2, &toml).await;
    assert_eq!(burst(&fleet.proxies[0], 12).await + burst(&fleet.proxies[1], 2).await, 10);
    let look = |answer: vestibule_testkit::Answer| answer.json();
    let seen = look(fleet.proxies[1].admin("GET", &format!("/rate-limit/p/{HERE}")).await);
    assert_eq!((&seen["remaining"], &seen["scope"]), (&0.into(), &"fleet".into()), "{seen}");
    // By the name that is logged, at the proxy that refused it last.
    let refused = fleet.proxies[1].wait_log("a refusal", |line| line["status"] == 429).await;
    let h = refused["rate_limit"]["h"].as_str().expect("its name").to_owned();
    let reset = Instant::now();
    assert_eq!(fleet.proxies[1].admin("DELETE", &format!("/rate-limit/p/h:{h}")).await.status, 204);
    for proxy in &fleet.proxies {
        while proxy.get("/").await.status != 200 {
            assert!(reset.elapsed() < Duration::from_secs(2), "it still refuses");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(left(&fleet.proxies[0], "p", HERE).await, 8);
    assert_eq!(fleet.proxies[0].admin("GET", "/rate-limit/p/h:short").await.status, 400);
    let status = fleet.proxies[0].admin("GET", "/status").await.json();
    assert_eq!(status["fleet"]["proxies"], 2);
    assert_eq!(status["store"], serde_json::json!({ "kind": "redis", "up": true, "breaker": "closed" }));
}

/// RL-06 and the first rule of charging, across partitions: what one policy gave goes back when another refuses.
#[tokio::test]
async fn a_request_is_charged_by_all_its_policies_or_by_none() {
    // Under a lease as short as the default nobody borrows more than a lone request needs, but a busy machine may be too slow
    // to answer from its store in a part of it.
    let tables = ["consistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"900ms\"", "consistency = \"leased\""];
    for table in tables {
        for attempt in 1.. {
            let (found, alone) = charged(table).await;
            if alone == 0 || attempt == 20 {
                assert_eq!(found, (vec![200; 3], 10, vec![200; 2], 95, [47, 48]), "{table}, {alone} without the store");
                break;
            }
        }
    }
}

/// Statuses of caller a at the first proxy, how often the second refused it, statuses of caller b there, units left of
/// 100, and of each proxy's own 50.
type Charged = (Vec<u16>, usize, Vec<u16>, u64, [u64; 2]);

/// What was charged, and decisions that the store was too slow for.
async fn charged(table: &str) -> (Charged, u64) {
    let redis = Redis::start().await;
    let toml = format!(
        "{}[rate_limit]\n{table}\n[rate_limit.tiers]\nanonymous = [\"all\", \"who\", \"mine\"]\n\
         [rate_limit.policies.all]\nkey = \"global\"\nlimit = \"100/h\"\n\
         [rate_limit.policies.who]\nkey = \"header:x-caller\"\nlimit = \"3/h\"\n\
         [rate_limit.policies.mine]\nkey = \"address\"\nlimit = \"50/h\"\nconsistency = \"local\"\n",
        store(&redis.url())
    );
    let fleet = Fleet::start(2, &toml).await;
    let (one, two) = (&fleet.proxies[0], &fleet.proxies[1]);
    let (mut first, mut refusals, mut second) = (Vec::new(), 0, Vec::new());
    for _ in 0..3 {
        first.push(one.get("/").header("x-caller", "a").await.status);
    }
    for _ in 0..10 {
        let refused = two.get("/").header("x-caller", "a").await;
        refusals += usize::from(refused.status == 429 && refused.field("ratelimit").starts_with("\"who\""));
    }
    // Under `leased` units are kept for the next requests, and go back with the next call. The second one comes so late
    // that no more than it needs are borrowed for it.
    for pause in [Duration::ZERO, Duration::from_secs(2)] {
        tokio::time::sleep(pause).await;
        second.push(two.get("/").header("x-caller", "b").await.status);
    }

    let mut all = 0;
    for _ in 0..100 {
        all = left(two, "all", "global").await;
        if all == 95 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let own = [left(one, "mine", HERE).await, left(two, "mine", HERE).await];
    let mut alone = 0.0;
    for proxy in [one, two] {
        alone += proxy.metrics().await.value("vestibule_rate_limit_decisions_total", &[("source", "fallback")]);
    }
    ((first, refusals, second, all, own), alone as u64)
}

/// RL-17 on a store: a shadow policy delays nobody, and is counted when the store has answered.
#[tokio::test]
async fn a_shadow_policy_is_not_waited_for() {
    let redis = Redis::start().await;
    let table = "lease = \"1s\"\nstore_timeout = \"900ms\"";
    let toml = store(&redis.url()) + &one_policy(table, "limit = \"1/h\"\nshadow = true");
    let fleet = Fleet::start(1, &toml).await;
    let proxy = &fleet.proxies[0];
    assert_eq!(proxy.get("/").await.status, 200);
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!(line["rate_limit"]["outcome"], "allowed", "{line}");
    tokio::time::sleep(Duration::from_millis(5)).await;
    redis.stop();
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.fields.all("ratelimit").count()), (200, 0));
    assert_eq!(proxy.access().len(), 1, "the store has not said anything yet");
    redis.resume();
    let line = proxy.wait_access(2).await.remove(1);
    assert_eq!(line["rate_limit"]["outcome"], "shadow_denied", "{line}");
    let report = proxy.admin("GET", "/rate-limit/p").await.json();
    assert_eq!(report["decisions"]["shadow_denied"], 1, "{report}");
    assert_eq!((&report["refused_last_hour"], &report["refused"][0]["last_hour"]), (&1.into(), &1.into()));
}
