//! `/readyz`, `/livez`, `/status`: whether it serves, and what runs.

use super::proxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use vestibule_testkit::{Answer, Origin, Proxy, Reply, within};

async fn until_ready_is(proxy: &Proxy, status: u16) -> Answer {
    within(&format!("/readyz to answer {status}"), async {
        loop {
            let answer = proxy.admin("GET", "/readyz").await;
            if answer.status == status {
                return answer;
            }
            // Nothing announces that a probe has run.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn readiness_and_the_gauge_follow_the_health_path() {
    let health = Arc::new(AtomicU16::new(200));
    let answers = Arc::clone(&health);
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/health" => Reply::new(answers.load(Ordering::Relaxed)),
        _ => Reply::ok("ok"),
    });
    let proxy = proxy(&origin, "[upstream]\nhealth_path = \"/health\"\nhealth_interval = \"100ms\"\n").await;
    let port = origin.address().port().to_string();
    let up = |up: f64, what| {
        let port = port.clone();
        let proxy = &proxy;
        async move {
            let labels = [("server_address", "127.0.0.1"), ("server_port", port.as_str())];
            proxy
                .wait_metrics(what, |scrape| {
                    scrape.has("vestibule_upstream_up", &labels) && scrape.value("vestibule_upstream_up", &labels) == up
                })
                .await
        }
    };
    up(1.0, "the upstream to be up").await;
    assert_eq!(until_ready_is(&proxy, 200).await.json()["ready"], true);
    assert_eq!(proxy.admin("GET", "/status").await.json()["upstream"]["up"], true);

    health.store(500, Ordering::Relaxed);
    up(0.0, "the upstream to be down").await;
    let not_ready = until_ready_is(&proxy, 503).await.json();
    assert_eq!((&not_ready["ready"], not_ready["reasons"].as_array().map(Vec::len)), (&false.into(), Some(1)));
    assert_eq!(proxy.admin("GET", "/status").await.json()["upstream"]["up"], false);
    // It is a report and no switch: requests still go up, and the process lives.
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    proxy.wait_log("the line about it", |line| line["msg"] == "upstream is down").await;

    health.store(204, Ordering::Relaxed);
    up(1.0, "the upstream to be up again").await;
    until_ready_is(&proxy, 200).await;
    // A probe is no request of anybody's: it is in no access line.
    assert_eq!(proxy.wait_access(1).await.len(), 1);
}

/// An upstream that takes connections and says nothing is neither up nor down until the first probe has ended, and that
/// is bounded by the deadlines of a probe, not by that of the slowest page.
#[tokio::test]
async fn an_upstream_that_was_not_probed_yet_is_not_ready() {
    let origin = Origin::replying(|_| Reply::never());
    let toml = "[upstream]\nconnect_timeout = \"400ms\"\nhealth_interval = \"100ms\"\n\
                [[routes]]\nname = \"orders\"\npath = \"/orders\"\nupstream = { health_path = \"/health\" }\n";
    let proxy = proxy(&origin, toml).await;
    let reasons = |answer: Answer| answer.json()["reasons"].clone();
    let early = proxy.admin("GET", "/readyz").await;
    assert_eq!(early.status, 503);
    assert_eq!(reasons(early), serde_json::json!(["the upstream of route `orders` has not been probed yet"]));
    assert!(!proxy.metrics().await.has("vestibule_upstream_up", &[]));
    let line = proxy.wait_log("the first probe", |line| line["msg"] == "upstream is down").await;
    assert_eq!(line["cause"], "no answer within 400ms");
    let late = reasons(until_ready_is(&proxy, 503).await);
    assert_eq!(late, serde_json::json!(["the upstream of route `orders` does not answer its health path"]));
    assert_eq!(proxy.metrics().await.value("vestibule_upstream_up", &[]), 0.0);
}

#[tokio::test]
async fn without_a_health_path_nothing_is_probed_or_claimed() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 200);
    assert!(proxy.admin("GET", "/status").await.json()["upstream"]["up"].is_null());
    assert!(!proxy.metrics().await.has("vestibule_upstream_up", &[]));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn status_says_what_runs() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[etag]\n[rate_limit]\n").await;
    let status = proxy.admin("GET", "/status").await.json();
    let names: Vec<&String> = status.as_object().expect("an object").keys().collect();
    let expected = [
        "version",
        "revision",
        "uptime_seconds",
        "generation",
        "config_hash",
        "draining",
        "plugins",
        "store",
        "upstream",
        "fleet",
    ];
    assert_eq!(names, expected);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["plugins"], serde_json::json!(["trace", "metrics", "rate_limit", "etag"]));
    assert_eq!(status["store"], serde_json::json!({ "kind": "memory", "up": true, "breaker": "closed" }));
    assert_eq!((&status["generation"], &status["draining"]), (&1.into(), &false.into()));
    assert_eq!(status["upstream"]["url"], origin.url());
    assert_eq!(status["fleet"]["proxies"], 1);
    assert!(status["uptime_seconds"].is_u64());
    assert_eq!(status["config_hash"].as_str().map(str::len), Some(12));

    // The same configuration has the same hash, another one another.
    assert_eq!(proxy.reload().await.status, 200);
    let again = proxy.admin("GET", "/status").await.json();
    assert_eq!((&again["config_hash"], &again["generation"]), (&status["config_hash"], &2.into()));
    proxy.rewrite("[etag]\n");
    assert_eq!(proxy.reload().await.status, 200);
    let changed = proxy.admin("GET", "/status").await.json();
    assert_ne!(changed["config_hash"], status["config_hash"]);
    assert_eq!(changed["plugins"], serde_json::json!(["trace", "metrics", "etag"]));
}

#[tokio::test]
async fn liveness_and_readiness_say_nothing_about_versions_or_addresses() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    assert_eq!(proxy.admin("GET", "/livez").await.text(), "ok\n");
    let ready = proxy.admin("GET", "/readyz").await;
    assert_eq!(ready.json(), serde_json::json!({ "ready": true, "reasons": [] }));
    for (name, value) in ready.fields.iter() {
        assert!(!name.eq_ignore_ascii_case("server") && !value.contains("127.0.0.1"), "{name}: {value}");
    }
}
