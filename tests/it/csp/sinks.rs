//! Where records go, and what a sink that fails costs.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use vestibule_testkit::{Redis, Reply, within};

const SUNK: &str = "vestibule_csp_sink_records_total";

async fn wait_sunk(stage: &Stage, sink: &str, outcome: &str, count: f64) {
    let labels = [("sink", sink), ("outcome", outcome)];
    let what = format!("{count} records of {sink} {outcome}");
    stage.proxy.wait_metrics(&what, |scrape| scrape.value(SUNK, &labels) >= count).await;
}

#[tokio::test]
async fn every_sink_gets_every_record() {
    let (collector, redis) = (Origin::returning(202, ""), Redis::start().await);
    let toml = format!(
        "[csp]\nreports = true\nsinks = [\"log\", \"file:records.jsonl\", \"{}/ingest\", \"store\"]\n\
         sink_token_file = \"token\"\n[store]\nurl = \"{}\"\nsecret_file = \"secret\"\n",
        collector.url(),
        redis.url()
    );
    let origin = Origin::returning(200, "ok");
    let setup = Setup::new(crate::bin()).upstream(origin.url()).toml(toml);
    let setup = setup.file("token", "t0ken\n").file("secret", "0123456789abcdef0123456789abcdef");
    let stage = Stage { proxy: setup.start().await, origin };
    stage.takes(&json!([image("/a"), image("/b")])).await;
    for sink in ["log", "file", "http", "store"] {
        wait_sunk(&stage, sink, "sent", 2.0).await;
    }
    let posted = collector.last();
    assert_eq!((posted.method.as_str(), posted.target.as_str()), ("POST", "/ingest"));
    assert_eq!((posted.field("authorization"), posted.field("content-type")), ("Bearer t0ken", "application/json"));
    let posted: Value = serde_json::from_str(&posted.text()).expect("JSON");
    let file = stage.proxy.dir().join("records.jsonl");
    let lines: Vec<Value> = std::fs::read_to_string(&file)
        .expect("the file")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(posted, json!(lines));
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let entries = redis.command(&["XRANGE", "vestibule:csp", "-", "+"]).await;
    let stored: Vec<Value> = entries
        .parts()
        .iter()
        .map(|entry| serde_json::from_slice(entry.parts()[1].parts()[1].bytes()).expect("JSON"))
        .collect();
    assert_eq!(stored, lines);
    let logged = stage.proxy.wait_log("a record", |line| line["target"] == "vestibule::csp").await;
    assert_eq!((&logged["level"], &logged["blocked"]), (&json!("INFO"), &lines[0]["blocked"]));
    assert!(stage.proxy.metrics().await.value("vestibule_store_up", &[]) > 0.0);
}

#[tokio::test]
async fn lines_that_the_log_leaves_out_are_told_as_lost() {
    let stage = Stage::collecting("").await;
    stage.takes(&image("/a")).await;
    wait_sunk(&stage, "log", "sent", 1.0).await;
    stage.proxy.rewrite("[log]\nlevel = \"warn\"\n[csp]\nreports = true\n");
    assert_eq!(stage.proxy.reload().await.status, 200);
    stage.takes(&image("/b")).await;
    wait_sunk(&stage, "log", "failed", 1.0).await;
    let told = stage.proxy.wait_log("a loss", |line| line["sink"] == "log" && line["level"] == "WARN").await;
    assert_eq!(told["cause"], json!("`[log] level` leaves info lines out"));
    assert_eq!(stage.proxy.metrics().await.value(SUNK, &[("sink", "log"), ("outcome", "sent")]), 1.0);
}

/// CSP-18
#[tokio::test]
async fn a_collector_that_refuses_or_hangs_delays_nobody() {
    let refusing = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("an address")
    };
    let hanging = Origin::replying(|_| Reply::never());
    for (what, url) in [("refusing", format!("http://{refusing}")), ("hanging", hanging.url())] {
        let stage = Stage::collecting(&format!("sinks = [\"{url}\", \"file:records.jsonl\"]\n")).await;
        let mut raw = stage.proxy.connect().await;
        let (began, mut slowest, mut sent) = (Instant::now(), Duration::ZERO, 0);
        while began.elapsed() < Duration::from_secs(10) {
            let asked = Instant::now();
            let reports: Vec<Value> = (0..20).map(|n| image(&lettered(sent + n))).collect();
            let answer = stage.send(&json!(reports)).on(&mut raw).await;
            slowest = slowest.max(asked.elapsed());
            assert_eq!(answer.status, 204);
            sent += 20;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Who waited for the collector would have waited for one of its tries, which are 2 s long.
        assert!(slowest <= Duration::from_secs(1), "{what}: {slowest:?}");
        stage
            .proxy
            .wait_metrics("records that were lost", |scrape| {
                let lost = |outcome| scrape.value(SUNK, &[("sink", "http"), ("outcome", outcome)]);
                lost("failed") + lost("dropped") > 0.0
            })
            .await;
        wait_sunk(&stage, "file", "sent", sent.min(10_000) as f64).await;
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_is_refused_is_not() {
    let collector = Origin::replying({
        let tries = std::sync::atomic::AtomicUsize::new(0);
        move |_| {
            let statuses = [503, 429, 200, 400, 302];
            let nth = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Reply::new(statuses[nth.min(4)]).field("location", "/elsewhere")
        }
    });
    let stage = Stage::collecting(&format!("sinks = [\"{}\"]\n", collector.url())).await;
    stage.takes(&image("/a")).await;
    wait_sunk(&stage, "http", "sent", 1.0).await;
    assert_eq!(collector.hits(), 3);
    stage.takes(&image("/b")).await;
    wait_sunk(&stage, "http", "failed", 1.0).await;
    stage.takes(&image("/c")).await;
    wait_sunk(&stage, "http", "failed", 2.0).await;
    assert_eq!(collector.hits(), 5, "no redirect is followed");
    let told = stage.proxy.wait_log("an outage", |line| line["sink"] == "http" && line["level"] == "WARN").await;
    assert_eq!(told["cause"], json!("it answered 400"));
}

#[tokio::test]
async fn a_store_that_is_away_loses_records_and_nothing_else() {
    let mut redis = Redis::start().await;
    let toml = format!(
        "[csp]\nreports = true\nsinks = [\"store\"]\n[store]\nurl = \"{}\"\nsecret_file = \"secret\"\n",
        redis.url()
    );
    let origin = Origin::returning(200, "ok");
    let setup = Setup::new(crate::bin()).upstream(origin.url()).toml(toml);
    let stage = Stage { proxy: setup.file("secret", "0123456789abcdef0123456789abcdef").start().await, origin };
    stage.takes(&image("/a")).await;
    wait_sunk(&stage, "store", "sent", 1.0).await;
    redis.kill().await;
    stage.takes(&image("/b")).await;
    wait_sunk(&stage, "store", "failed", 1.0).await;
    redis.restart().await;
    within("a record to arrive again", async {
        for number in 0.. {
            stage.takes(&image(&lettered(number))).await;
            let sent = stage.proxy.metrics().await.value(SUNK, &[("sink", "store"), ("outcome", "sent")]);
            if sent >= 2.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(stage.proxy.get("/").await.status, 200);
}
