//! What becomes of keyed requests when their proxy is told to end.

use super::stage::{On, Stage, is_replay, orders, slow};
use std::time::Duration;
use vestibule_testkit::{Gate, Origin, Reply, Setup};

/// ID-31.
#[tokio::test]
async fn what_ends_in_a_drain_is_replayed_by_the_next_process() {
    let gate = Gate::closed();
    let mut stage = Stage::new(On::Redis, slow(&gate)).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    stage.proxy.sigterm();
    stage.proxy.wait_log("the drain", |line| line["msg"] == "draining").await;
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
    assert!(stage.proxy.wait_exit().await.success());
    stage.proxy = stage.another_proxy("").await;
    assert!(is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 1);
}

/// A drain waits for what only the store has still to hear of.
#[tokio::test]
async fn a_drain_waits_until_what_is_known_is_stored() {
    let gate = Gate::closed();
    let mut stage = Stage::new(On::Redis, slow(&gate)).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    stage.store.redis().stop();
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201, "after a lease of trying");
    stage.proxy.sigterm();
    stage.proxy.wait_log("the drain", |line| line["msg"] == "draining").await;
    // Longer than a drain with nothing to wait for takes.
    tokio::time::sleep(Duration::from_millis(700)).await;
    stage.store.redis().resume();
    assert!(stage.proxy.wait_exit().await.success());
    stage.proxy = stage.another_proxy("").await;
    assert!(is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 1);
}

/// A claim that a standing Redis reads after the last request is taken back before the process ends.
#[tokio::test]
async fn a_drain_leaves_no_claim_that_nobody_knows_of() {
    let mut stage = Stage::new(On::Redis, orders()).await;
    stage.order("warm").await;
    stage.store.redis().stop();
    assert_eq!(stage.order("k").await.status, 503);
    stage.proxy.sigterm();
    stage.proxy.wait_log("the drain", |line| line["msg"] == "draining").await;
    stage.store.redis().resume();
    assert!(stage.proxy.wait_exit().await.success());
    stage.proxy = stage.another_proxy("").await;
    assert_eq!(stage.order("k").await.status, 201);
    assert_eq!(stage.hits(), 2);
}

/// One that is not waited for any longer is said to be lost.
#[tokio::test]
async fn a_drain_that_waits_no_longer_says_what_was_not_stored() {
    let gate = Gate::closed();
    let mut stage = Stage::with(On::Redis, slow(&gate), "[server]\ndrain_timeout = \"500ms\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    stage.store.redis().stop();
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
    stage.proxy.sigterm();
    assert_eq!(stage.proxy.wait_exit().await.code(), Some(1));
    let lost = |line: &serde_json::Value| line["level"] == "ERROR" && line["owed"] == 1;
    stage.proxy.wait_log("what was lost", lost).await;
}

/// What a drain cut off is an open question for the next process at once, and not only after a lease.
#[tokio::test]
async fn what_a_drain_cut_off_is_known_to_be_unknown() {
    let mut stage = Stage::reaching(On::Redis, Origin::replying(|_| Reply::never()), "http://127.0.0.1:9", "").await;
    let toml = stage.store.toml("[server]\ndrain_timeout = \"300ms\"\n");
    let toml = toml.replace("lease = \"2s\"", "lease = \"60s\"");
    stage.proxy = Setup::new(crate::bin()).upstream(stage.origin.url()).toml(toml).start().await;
    let mut raw = stage.proxy.connect().await;
    raw.write(stage.order("k").encoded()).await;
    stage.origin.wait_hits(1).await;
    stage.proxy.sigterm();
    assert_eq!(stage.proxy.wait_exit().await.code(), Some(1));
    stage.proxy = stage.another_proxy("").await;
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem()), (409, "idempotency-outcome-unknown".into()));
    assert_eq!(stage.hits(), 1);
}
