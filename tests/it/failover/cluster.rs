//! A cluster one of whose nodes is away.

use super::ALONE;
use super::traffic::Traffic;
use std::time::Duration;
use tokio::time::sleep;
use vestibule_testkit::RedisCluster;

/// The keys of live nodes are served as ever, and whether the store is up does not waver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_refuses_its_own_keys_alone() {
    let _alone = ALONE.lock().await;
    let mut cluster = RedisCluster::start().await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let toml = format!(
        "[store]\nurl = \"{}\"\nsecret = \"test\"\n[idempotency]\nprincipal = [\"authorization\"]\n",
        cluster.url()
    );
    let traffic = Traffic::start(1, &toml).await;
    let proxy = &traffic.proxies[0];
    let order = |number: usize| {
        let request = proxy.post("/orders").header("authorization", "Bearer a");
        request.header("idempotency-key", format!("\"k{number}\"")).body("one").send()
    };
    assert_eq!(order(0).await.status, 201);
    // The lowest address of all, which is asked for the map first by whoever asks in order.
    let lowest = (0..3).min_by_key(|at| cluster.nodes()[*at].address()).expect("three");
    cluster.nodes_mut()[lowest].kill().await;
    // Past the first failures, which open the breaker of this node.
    for number in 1..40 {
        order(number).await;
    }

    let (mut served, mut refused) = (0, 0);
    for number in 100..250 {
        match order(number).await.status {
            201 => served += 1,
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    // A third of all keys is its own.
    assert!((70..=130).contains(&served), "{served} served, {refused} refused");
    for _ in 0..10 {
        order(300).await;
        assert_eq!(proxy.metrics().await.value("vestibule_store_up", &[]), 0.0, "a part of it is away");
    }
    cluster.nodes_mut()[lowest].restart().await;
    vestibule_testkit::within("all keys", async {
        let mut number = 1_000;
        let mut in_a_row = 0;
        while in_a_row < 30 {
            number += 1;
            in_a_row = if order(number).await.status == 201 { in_a_row + 1 } else { 0 };
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(proxy.metrics().await.value("vestibule_store_up", &[]), 1.0);
}
