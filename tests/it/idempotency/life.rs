//! Shutdown, reload, and what a store in memory promises.

use super::stage::{On, Stage, is_replay, on_every_store, order, orders};
use std::time::Duration;
use vestibule_testkit::{Gate, Origin, Reply};

on_every_store! {
    an_execution_ends_under_the_configuration_it_began_with,
    a_lease_is_renewed_as_long_as_it_takes,
    a_drain_waits_for_executions,
    what_a_drain_cuts_off_says_so,
}

async fn an_execution_ends_under_the_configuration_it_began_with(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let stage = Stage::new(on, Origin::replying(move |request| order(request).once(&waiting))).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    stage.proxy.rewrite(&stage.store.toml("ttl = \"1s\"\non_concurrent = \"wait\"\n"));
    assert_eq!(stage.proxy.reload().await.status, 200);
    let waiter = tokio::spawn(stage.order("k").send());
    stage.proxy.wait_metrics("2 requests", |scrape| scrape.value("http_server_active_requests", &[]) >= 2.0).await;
    gate.open();
    let first = first.await.expect("no panic");
    assert_eq!(first.status, 201);
    assert_eq!(waiter.await.expect("no panic").body, first.body);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(is_replay(&stage.order("k").await), "it was kept for the day that it began with");
    assert_eq!(stage.hits(), 1);
}

/// ID-29.
async fn a_lease_is_renewed_as_long_as_it_takes(on: On) {
    let origin = Origin::replying(|request| order(request).after(Duration::from_secs(8)));
    let stage = Stage::new(on, origin).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.order("k").await.problem(), "idempotency-in-progress");
    }
    let first = first.await.expect("no panic");
    assert_eq!(first.status, 201);
    assert!(is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 1);
}

/// ID-31, in one process.
async fn a_drain_waits_for_executions(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let mut stage = Stage::new(on, Origin::replying(move |request| order(request).once(&waiting))).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let mut gone = stage.proxy.connect().await;
    gone.write(stage.order("other").encoded()).await;
    stage.origin.wait_hits(2).await;
    gone.reset();
    stage.proxy.sigterm();
    stage.proxy.wait_log("the drain", |line| line["msg"] == "draining").await;
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
    assert!(stage.proxy.wait_exit().await.success());
    let lines = stage.proxy.access();
    let executed = lines.iter().filter(|line| line["idempotency"] == "executed").count();
    assert_eq!(executed, 2, "{lines:#?}");
}

async fn what_a_drain_cuts_off_says_so(on: On) {
    let server = "[server]\ndrain_timeout = \"300ms\"\n";
    let mut stage = Stage::with(on, Origin::replying(|_| Reply::never()), server).await;
    let mut raw = stage.proxy.connect().await;
    raw.write(stage.order("k").encoded()).await;
    stage.origin.wait_hits(1).await;
    raw.reset();
    stage.proxy.sigterm();
    assert_eq!(stage.proxy.wait_exit().await.code(), Some(1), "something was cut off");
    let logs = stage.proxy.logs();
    let unknown = logs.iter().find(|line| line["msg"] == "nobody knows whether a request was executed");
    assert_eq!(unknown.expect("a line about it")["reason"], "shutdown");
    let line = &stage.proxy.access()[0];
    assert_eq!((&line["idempotency"], &line["end"]), (&"uncertain".into(), &"drained".into()));
}

/// ID-32.
#[tokio::test]
async fn a_store_in_memory_forgets_with_its_process_and_says_so() {
    let mut stage = Stage::new(On::Memory, orders()).await;
    assert_eq!(stage.order("k").await.status, 201);
    let warned = |line: &serde_json::Value| line["level"] == "WARN" && line["target"] == "idempotency";
    stage.proxy.wait_log("a warning", warned).await;
    assert_eq!(stage.proxy.logs().iter().filter(|line| warned(line)).count(), 1);
    stage.proxy.kill().await;
    stage.proxy = stage.another_proxy("").await;
    assert!(!is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 2);
}

/// ID-41.
#[tokio::test]
async fn a_full_store_takes_no_new_key_and_forgets_no_known_one() {
    let origin = Origin::replying(|request| order(request).field("x-pad", "x".repeat(20_000)));
    let stage = Stage::with(On::Memory, origin, "[store]\nmemory_max = \"1MiB\"\n").await;
    let mut raw = stage.proxy.connect().await;
    let (mut stored, mut unstored, mut full) = (Vec::new(), 0, 0);
    for round in 0..4000 {
        let key = format!("k{round}");
        let answer = stage.order(&key).on(&mut raw).await;
        match answer.status {
            201 => stored.push(key),
            _ => {
                assert_eq!((answer.status, answer.problem()), (503, "store-full".into()));
                assert_eq!(answer.field("retry-after"), "1");
                full += 1;
                if full == 3 {
                    break;
                }
            }
        }
    }
    assert_eq!(full, 3, "the store never filled up");
    let executed = stage.hits();
    assert_eq!(executed, stored.len(), "what did not fit was not executed");
    for key in &stored {
        let again = stage.order(key).on(&mut raw).await;
        match again.status {
            201 => assert!(is_replay(&again)),
            _ => {
                assert_eq!((again.status, again.problem()), (409, "idempotency-response-not-stored".into()));
                unstored += 1;
            }
        }
    }
    assert!(
        unstored > 0 && unstored < stored.len(),
        "{unstored} of {}: replies that did not fit left a mark",
        stored.len()
    );
    assert_eq!(stage.hits(), executed);
    let failed = [("outcome", "store_error")];
    let scrape = stage
        .proxy
        .wait_metrics("three failures", |scrape| scrape.value("vestibule_idempotency_requests_total", &failed) >= 3.0)
        .await;
    assert_eq!(scrape.value("vestibule_idempotency_records", &[]) as usize, stored.len());
}
