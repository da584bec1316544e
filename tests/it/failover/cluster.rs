//! A cluster one of whose nodes is away, is cut off from the others, or gives slots to another.

use super::ALONE;
use super::traffic::{RECOVERY, Traffic};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::{Redis, RedisCluster, within, within_for};

/// Longest time until a store that is back counts as up: two words of a proxy to the others, each with the time it may take.
const HEARD_AGAIN: Duration = Duration::from_secs(4);

fn toml(url: &str) -> String {
    format!(
        "[store]\nurl = \"{url}\"\nsecret = \"test\"\n[idempotency]\nprincipal = [\"authorization\"]\nlease = \"30s\"\n"
    )
}

/// The keys of live nodes are served as ever, and whether the store is up does not waver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_refuses_its_own_keys_alone() {
    let _alone = ALONE.lock().await;
    let mut cluster = RedisCluster::start().await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let traffic = Traffic::start(1, &toml(&cluster.url())).await;
    assert_eq!(order(&traffic, 0).await, 201);
    // Which is asked for the map first by whoever asks in order.
    let lowest = cluster.lowest();
    cluster.nodes_mut()[lowest].kill().await;
    // Past the first failures, which open the breaker of this node.
    for number in 1..40 {
        order(&traffic, number).await;
    }

    let (mut served, mut refused) = (0, 0);
    for number in 100..250 {
        match order(&traffic, number).await {
            201 => served += 1,
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    // A third of all keys is its own.
    assert!((70..=130).contains(&served), "{served} served, {refused} refused");
    for _ in 0..10 {
        order(&traffic, 300).await;
        assert_eq!(is_up(&traffic).await, 0.0, "a part of it is away");
    }
    cluster.nodes_mut()[lowest].restart().await;
    wait_all(&traffic).await;
    counts_as_up(&traffic).await;
}

/// Proxies that begin while nobody can be asked for the map.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_away_at_first_counts_as_up_once_it_is_there() {
    let _alone = ALONE.lock().await;
    let cluster = RedisCluster::start().await;
    cluster.nodes().iter().for_each(Redis::stop);
    let traffic = Traffic::start(1, &toml(&cluster.url())).await;
    assert_eq!(order(&traffic, 0).await, 503);
    assert_eq!(traffic.proxy(0).await.get("/limited").await.status, 200, "by a share of its own");
    assert_eq!(is_up(&traffic).await, 0.0);
    cluster.nodes().iter().for_each(Redis::resume);
    wait_all(&traffic).await;
    assert_eq!(traffic.proxy(0).await.get("/limited").await.status, 200);
    counts_as_up(&traffic).await;
}

/// Where the cluster wants to be whole nothing is claimed, and nothing is executed, until it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_whole_refuses_and_executes_nothing() {
    let _alone = ALONE.lock().await;
    let mut cluster = RedisCluster::start().await;
    let traffic = Traffic::start(2, &toml(&cluster.url())).await;
    let lowest = cluster.lowest();
    let breaking = async {
        sleep(Duration::from_secs(1)).await;
        cluster.nodes_mut()[lowest].kill().await;
        sleep(Duration::from_secs(5)).await;
        cluster.nodes_mut()[lowest].restart().await;
        for node in cluster.nodes() {
            node.wait("the cluster to be whole", &["CLUSTER", "INFO"], |info| info.text().contains("cluster_state:ok"))
                .await;
        }
        Instant::now()
    };
    let (seen, whole) = tokio::join!(traffic.run(Duration::from_secs(10)), breaking);
    seen.hold("not whole", whole);
    assert_eq!(seen.twice().len(), 0);
    assert!(seen.recovered_after(whole) < RECOVERY, "{:?}", seen.recovered_after(whole));
}

/// A node that the others have given up goes on answering its clients, with a map of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_left_for_its_replica() {
    let _alone = ALONE.lock().await;
    for which in ["the lowest", "another"] {
        let cluster = RedisCluster::with_replicas().await;
        let at = if which == "another" { (cluster.lowest() + 1) % 3 } else { cluster.lowest() };
        let traffic = Traffic::start(2, &toml(&cluster.url())).await;
        let isolating = async {
            sleep(Duration::from_secs(2)).await;
            cluster.isolate(at).await;
            let taken_over = Instant::now();
            sleep(Duration::from_secs(3)).await;
            cluster.reunite().await;
            taken_over
        };
        let (seen, taken_over) = tokio::join!(traffic.run(Duration::from_secs(10)), isolating);
        seen.hold(&format!("{which} node cut off"), taken_over);
        assert_eq!(seen.twice().len(), 0);
        assert!(seen.recovered_after(taken_over) < RECOVERY, "{:?}", seen.recovered_after(taken_over));
    }
}

/// Slots move with their keys while everybody goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_lose_no_key() {
    let _alone = ALONE.lock().await;
    let cluster = RedisCluster::start().await;
    let traffic = Traffic::start(2, &toml(&cluster.url())).await;
    let moving = async {
        sleep(Duration::from_secs(1)).await;
        cluster.reshard(1_000, 0, 1).await;
        Instant::now()
    };
    let (seen, moved) = tokio::join!(traffic.run(Duration::from_secs(8)), moving);
    seen.hold("slots moved", moved);
    assert_eq!((seen.twice().len(), seen.refusals().len()), (0, 0), "twice, refused");
}

async fn order(traffic: &Traffic, number: usize) -> u16 {
    traffic.send(&format!("k{number}"), 0).await.status
}

async fn is_up(traffic: &Traffic) -> f64 {
    traffic.proxy(0).await.metrics().await.value("vestibule_store_up", &[])
}

/// That all keys of records are served says nothing yet of what proxies tell each other once a second: a node that is back
/// hears it with the next word.
async fn counts_as_up(traffic: &Traffic) {
    within_for(HEARD_AGAIN, "the store to count as up", async {
        while is_up(traffic).await != 1.0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn wait_all(traffic: &Traffic) {
    within("all keys", async {
        let (mut number, mut in_a_row) = (1_000, 0);
        while in_a_row < 30 {
            number += 1;
            in_a_row = if order(traffic, number).await == 201 { in_a_row + 1 } else { 0 };
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
