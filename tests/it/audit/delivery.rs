//! Delivery to http sinks: at least once, in order, whatever they answer.

use super::*;
use receiver::{taken, taken_ids};
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use vestibule_testkit::{Fault, Origin, Relay, Reply, Scrape};

/// AUD-10: a sink that is down costs nobody anything, and gets everything once it is back, across a restart.
#[tokio::test]
async fn a_sink_that_was_down_gets_everything_in_order() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let relay = Relay::to(receiver.origin.address());
    let origin = Origin::returning(200, "ok");
    let lines = format!("sinks = [\"http://{}/in\"]\n", relay.address());
    let mut proxy = trail.proxy(&origin, &lines).await;
    let mut slowest = [Duration::ZERO; 2];
    for (phase, fault) in [Fault::None, Fault::Refuse, Fault::Reset, Fault::None].into_iter().enumerate() {
        relay.set(fault).await;
        let mut kept = proxy.connect().await;
        for number in 0..30 {
            let began = Instant::now();
            assert_eq!(order(&proxy, phase * 100 + number).on(&mut kept).await.status, 200);
            let slowest = &mut slowest[usize::from(fault != Fault::None)];
            *slowest = (*slowest).max(began.elapsed());
        }
        if phase == 1 {
            proxy.kill().await;
            proxy = trail.proxy(&origin, &lines).await;
        }
        if phase == 2 {
            proxy.sigterm();
            assert!(proxy.wait_exit().await.success(), "a dead sink does not hold up the end");
            proxy = trail.proxy(&origin, &lines).await;
        }
    }
    // What was in hand when it was killed is gone, or interrupted.
    let is_over = |log: &Log| log.by_request().values().all(|phases| phases.len() == 2);
    let has_last = |log: &Log| log.of("request.finished").iter().any(|event| event["subject"] == "order:329");
    let log = trail.wait("everything in the log", |log| has_last(log) && is_over(log)).await;
    let batches = receiver.wait("everything at the sink", |batches| taken(batches).len() >= log.events.len()).await;
    let ids = taken_ids(&batches);
    assert_eq!(
        ids[..log.events.len()].iter().map(String::as_str).collect::<Vec<_>>(),
        log.ids(),
        "first arrivals are in order"
    );
    assert!(slowest[1] < slowest[0] + Duration::from_millis(500), "{slowest:?}");
}

/// AUD-11: what is not taken comes again, the same and in order.
#[tokio::test]
async fn a_failing_sink_gets_the_batch_again() {
    let trail = Trail::new();
    let receiver = Receiver::answering(|nth, _| if nth < 2 { 500 } else { 200 });
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, &receiver.toml()).await;
    order(&proxy, 1).await;
    let batches = receiver.wait_for("request.finished", 1).await;
    assert_eq!(batches.iter().map(|batch| batch.status).take(3).collect::<Vec<_>>(), [500, 500, 200]);
    assert_eq!(batches[0].ids(), batches[1].ids());
    assert_eq!(batches[0].ids(), batches[2].ids());
    let pauses = [batches[1].at - batches[0].at, batches[2].at - batches[1].at];
    assert!(pauses[0] <= Duration::from_millis(800) && pauses[1] <= Duration::from_millis(1300), "{pauses:?}");
    let scrape = proxy.metrics().await;
    let retried = scrape.value("vestibule_audit_events_total", &[("outcome", "retried")]);
    assert_eq!(retried as usize, batches[0].events.len() + batches[1].events.len());
    proxy.wait_log("that it failed", |line| line["sink"] == "http" && line["level"] == "WARN").await;
    proxy.wait_log("that it works", |line| line["sink"] == "http" && line["level"] == "INFO").await;
}

/// AUD-11: a receiver that says when is asked then.
#[tokio::test]
async fn a_sink_that_asks_for_a_pause_gets_it() {
    for (asked, least, most) in [("2", 2000, 2600), ("0", 0, 1100)] {
        let trail = Trail::new();
        let receiver = Receiver::replying(move |nth, _| match nth {
            0 => (429, Reply::new(429).field("retry-after", asked)),
            _ => (204, Reply::new(204)),
        });
        let origin = Origin::returning(200, "ok");
        let _proxy = trail.proxy(&origin, &receiver.toml()).await;
        let batches = receiver.wait("a second batch", |batches| batches.len() >= 2).await;
        let pause = batches[1].at - batches[0].at;
        assert!((least..=most).contains(&pause.as_millis()), "{asked}: {pause:?}");
        assert_eq!(batches[0].ids(), batches[1].ids());
    }
}

/// A receiver that says it is busy and may be asked at once is still not asked without a pause.
#[tokio::test]
async fn a_pause_of_nothing_is_no_busy_loop() {
    let trail = Trail::new();
    let receiver = Receiver::replying(|_, _| (503, Reply::new(503).field("retry-after", "0")));
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, &receiver.toml()).await;
    receiver.wait("a few attempts", |batches| batches.len() >= 3).await;
    // Nothing announces that nothing happens.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let attempts = receiver.batches().len();
    assert!(attempts < 40, "{attempts} attempts");
    drop(proxy);
}

/// AUD-11: of many events one that is refused for good is skipped, and the log says so.
#[tokio::test]
async fn one_event_that_is_refused_is_skipped() {
    let trail = Trail::new();
    let bad = |event: &Value| event["subject"] == "order:50" && kind(event) == "request.finished";
    let receiver = Receiver::answering(move |_, events| if events.iter().any(bad) { 422 } else { 204 });
    let relay = Relay::to(receiver.origin.address());
    relay.set(Fault::Refuse).await;
    let origin = Origin::returning(200, "ok");
    let lines = format!("sinks = [\"http://{}/in\"]\n", relay.address());
    let proxy = trail.proxy(&origin, &lines).await;
    let mut kept = proxy.connect().await;
    for number in 1..=100 {
        assert_eq!(proxy.get(&format!("/orders/{number}")).on(&mut kept).await.status, 200);
    }
    let log = trail.wait_for("request.finished", 100).await;
    let refused = log.of("request.finished").into_iter().find(|event| bad(event)).expect("there").clone();
    relay.set(Fault::None).await;
    let batches = receiver.wait_for("audit.rejected", 1).await;
    let arrived: HashSet<String> = taken_ids(&batches).into_iter().collect();
    let log = trail.wait_for("audit.rejected", 1).await;
    let rejected = log.the("audit.rejected");
    assert_eq!(rejected["data"]["metadata"], json!({ "event_id": refused["id"], "sink": "http", "status": 422 }));
    let missing: Vec<&str> = log.ids().into_iter().filter(|id| !arrived.contains(*id)).collect();
    assert_eq!(missing, [refused["id"].as_str().expect("an id")]);
    assert!(taken_ids(&batches).is_sorted(), "in order all the same");
    let scrape = proxy.metrics().await;
    assert_eq!(scrape.value("vestibule_audit_events_total", &[("outcome", "rejected")]), 1.0);
}

/// A receiver that takes nothing makes no record of what it refuses to hear about refusals.
#[tokio::test]
async fn refusals_of_refusals_are_not_told() {
    let trail = Trail::new();
    let receiver = Receiver::answering(|_, _| 400);
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, &receiver.toml()).await;
    order(&proxy, 1).await;
    // Segment, process, started, finished: each once, then each refusal alone and no more.
    proxy
        .wait_metrics("eight refusals", |scrape| {
            scrape.value("vestibule_audit_events_total", &[("outcome", "rejected")]) >= 8.0
        })
        .await;
    let log = trail.log();
    assert_eq!((log.events.len(), log.count("audit.rejected")), (8, 4), "{:?}", log.kinds());
    let status = proxy.admin("GET", "/status").await.json();
    assert_eq!(status["audit"]["sinks"][0]["last_error"], "an event was refused for good: 400");
    let waits = |line: &Value| line["msg"].as_str().is_some_and(|msg| msg.contains("they wait in the log"));
    assert!(!proxy.logs().iter().any(waits), "nothing waits");
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
}

/// AUD-12
#[tokio::test]
async fn a_sink_that_hangs_holds_up_no_other() {
    let trail = Trail::new();
    let good = Receiver::taking();
    let bad = Receiver::replying(|_, _| (0, Reply::never()));
    let origin = Origin::returning(200, "ok");
    let lines = format!("sinks = [\"{}/in\", \"{}/in\"]\n", bad.origin.url(), good.origin.url());
    let mut proxy = trail.proxy(&origin, &lines).await;
    let mut kept = proxy.connect().await;
    for number in 0..10 {
        assert_eq!(order(&proxy, number).on(&mut kept).await.status, 200);
        let done = Instant::now();
        good.wait_for("request.finished", number + 1).await;
        assert!(done.elapsed() < Duration::from_secs(1), "{:?}", done.elapsed());
    }
    assert_eq!(bad.batches().len(), 1, "one batch in flight");
    let status = proxy.admin("GET", "/status").await.json();
    let sinks = status["audit"]["sinks"].as_array().expect("sinks").clone();
    assert_eq!(
        (&sinks[0]["name"], &sinks[1]["name"], &sinks[1]["unsent"]),
        (&json!("http"), &json!("http-2"), &json!(0))
    );
    assert!(sinks[0]["unsent"].as_u64().is_some_and(|unsent| unsent >= 20), "{sinks:?}");
    proxy.sigterm();
    let began = Instant::now();
    assert!(proxy.wait_exit().await.success());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    good.wait_for("audit.checkpoint", 1).await;
}

/// A batch is whole, bounded, and carries the token alone.
#[tokio::test]
async fn batches_are_bounded_and_carry_the_token() {
    let trail = Trail::new();
    let token = trail.beside("token");
    std::fs::write(&token, "sink-s3cret\n").expect("a file");
    let receiver = Receiver::taking();
    let relay = Relay::to(receiver.origin.address());
    relay.set(Fault::Refuse).await;
    let origin = Origin::returning(200, "ok");
    let lines = format!("sink_token_file = \"{}\"\nsinks = [\"http://{}/in?a=b\"]\n", token.display(), relay.address());
    let proxy = trail.proxy(&origin, &lines).await;
    let mut kept = proxy.connect().await;
    for _ in 0..1_200 {
        proxy.get("/orders/1").on(&mut kept).await;
    }
    // What is written may be read; only what is on disk for good is sent.
    let unsent = |scrape: &Scrape| scrape.value("vestibule_audit_unsent_events", &[("sink", "http")]);
    proxy.wait_metrics("all of them on disk", |scrape| unsent(scrape) >= 1_202.0).await;
    relay.set(Fault::None).await;
    let batches = receiver.wait_for("request.finished", 1_200).await;
    // The first is what was under way when the sink was away, as it was; behind it 500 wait, however many it holds.
    assert_eq!(batches[1].events.len(), 500);
    for batch in &batches {
        assert!(batch.events.len() <= 500 && batch.request.body.len() <= (1 << 20) + (64 << 10));
        assert_eq!(
            (batch.request.field("authorization"), batch.request.target.as_str()),
            ("Bearer sink-s3cret", "/in?a=b")
        );
    }
    let text = format!("{}{}", proxy.stderr(), proxy.admin("GET", "/config").await.text());
    assert!(!text.contains("s3cret"));
}

/// A redirect is not followed, and is no success.
#[tokio::test]
async fn a_redirect_is_a_failure() {
    let trail = Trail::new();
    let other = Receiver::taking();
    let target = format!("{}/stolen", other.origin.url());
    let receiver = Receiver::replying(move |nth, _| match nth {
        0 => (307, Reply::new(307).field("location", target.clone())),
        _ => (204, Reply::new(204)),
    });
    let origin = Origin::returning(200, "ok");
    let _proxy = trail.proxy(&origin, &receiver.toml()).await;
    let batches = receiver.wait("a second batch", |batches| batches.len() >= 2).await;
    assert_eq!(batches[0].ids(), batches[1].ids());
    assert_eq!(other.batches().len(), 0);
}

/// SIGTERM: what is told at the end arrives, and the cursor says so, so that nothing comes twice.
#[tokio::test]
async fn the_end_is_delivered_and_remembered() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, &receiver.toml()).await;
    order(&proxy, 1).await;
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    let log = trail.log();
    assert_eq!(taken(&receiver.batches()), log.events);
    let before = receiver.batches().len();
    let _proxy = trail.proxy(&origin, &receiver.toml()).await;
    let batches = receiver.wait("what is new", |batches| batches.len() > before).await;
    assert_eq!(kind(&batches[before].events[0]), "process.started");
}
