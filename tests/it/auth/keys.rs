//! Keys that come and go while requests go on.

use super::*;
use std::time::{Duration, Instant};
use vestibule_testkit::{Proxy, Reply};

const KEYS: &str = "vestibule_auth_jwks_keys";

async fn refreshes(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().await.value(REFRESHES, &[("outcome", outcome)])
}

/// AU-22
#[tokio::test]
async fn keys_are_rotated_while_requests_go_on() {
    let (a, b) = (Pen::es256("a"), Pen::es256("b"));
    let stage = Stage::new(Issuer::publishing(&[&a]), "").await;
    let (by_a, by_b) = (a.token(), b.token());
    stage.accepts(&by_a, "the first key").await;
    // Past the cooldown of the first fetch, so that a new key is looked for at once: nothing says when it is over.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    stage.issuer.publish(&[&a, &b]);
    let hits = stage.issuer.endpoint.hits();
    for _ in 0..20 {
        stage.accepts(&by_a, "the old key").await;
        stage.accepts(&by_b, "the new key").await;
    }
    assert!(stage.issuer.endpoint.hits() <= hits + 1, "one fetch at most");
    stage.issuer.publish(&[&b]);
    let gone = Instant::now();
    while stage.bearing(&by_a).await.status == 200 {
        assert!(gone.elapsed() < Duration::from_millis(5500 + 1500), "trusted beyond jwks_refresh");
        stage.accepts(&by_b, "the new key").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.accepts(&by_b, "the new key").await;
    stage.refuses(&by_a, "remembered once").await;
}

/// AU-23
#[tokio::test]
async fn many_requests_with_a_new_key_cause_one_fetch() {
    let (a, b) = (Pen::es256("a"), Pen::es256("b"));
    let stage = Stage::new(Issuer::publishing(&[&a]), "jwks_max_stale = \"1h\"\n").await;
    // Past the cooldown of the first fetch: nothing says when it is over.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    stage.issuer.publish(&[&a, &b]);
    let hits = stage.issuer.endpoint.hits();
    let tokens: Vec<String> = (0..200).map(|_| b.token()).collect();
    let answers = futures::future::join_all(tokens.iter().map(|token| stage.bearing(token).send())).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(stage.issuer.endpoint.hits(), hits + 1);
}

/// Tokens under ids that nobody publishes cause a fetch a cooldown at most.
#[tokio::test]
async fn a_flood_of_unknown_keys_reaches_the_endpoint_once_a_cooldown() {
    let stage = Stage::with("failure_limit = \"off\"\n").await.0;
    let stranger = Pen::es256("stranger");
    let (started, hits) = (Instant::now(), stage.issuer.endpoint.hits());
    while started.elapsed() < Duration::from_secs(4) {
        stage.refuses(&stranger.token(), "nobody's").await;
    }
    let fetched = stage.issuer.endpoint.hits() - hits;
    assert!(fetched <= 4, "{fetched} fetches in four seconds");
    assert!(refreshes(&stage.proxy, "suppressed").await > 10.0);
}

/// AU-24
#[tokio::test]
async fn a_proxy_without_keys_says_so_and_recovers_by_itself() {
    let pen = Pen::es256("one");
    let issuer = Issuer::saying(Reply::new(500));
    let origin = Origin::returning(200, "ok");
    let proxy = before(&origin, &issuer.toml()).await;
    proxy.wait_metrics("a failed fetch", |scrape| scrape.value(REFRESHES, &[("outcome", "error")]) > 0.0).await;
    let stage = Stage { origin, proxy, issuer };
    let answer = stage.bearing(&pen.token()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "keys-unavailable"));
    assert_eq!(answer.field("retry-after"), "1");
    assert!(challenges(&answer).is_empty());
    let ready = stage.proxy.admin("GET", "/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reasons"], serde_json::json!(["auth_keys"]));
    assert_eq!(stage.proxy.get("/").await.status, 401, "that needs no keys");
    stage.issuer.publish(&[&pen]);
    let back = Instant::now();
    while stage.bearing(&pen.token()).await.status != 200 {
        assert!(back.elapsed() < Duration::from_secs(7));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.proxy.admin("GET", "/readyz").await.status, 200);
}

/// AU-25 and AU-27
#[tokio::test]
async fn old_keys_serve_while_the_endpoint_says_nonsense() {
    let (stage, pen) = Stage::with("").await;
    let token = pen.token();
    let elsewhere = Origin::returning(200, "{}");
    for (reply, outcome) in [
        (Reply::new(500), "error"),
        (Reply::new(302).field("location", format!("{}/keys", elsewhere.url())), "error"),
        (Reply::ok("<html></html>"), "invalid"),
        (Reply::ok("{\"keys\":[{\"kty\":"), "invalid"),
        (Reply::ok("{\"keys\":[]}"), "invalid"),
        (Reply::ok(vec![b' '; 2 << 20]), "invalid"),
        (Reply::ok("{}").field("content-encoding", "gzip"), "invalid"),
    ] {
        let before = refreshes(&stage.proxy, outcome).await;
        stage.issuer.say(reply);
        let what = format!("a fetch that is {outcome}");
        stage.proxy.wait_metrics(&what, |scrape| scrape.value(REFRESHES, &[("outcome", outcome)]) > before).await;
        stage.accepts(&token, "a known key").await;
        stage.accepts(&pen.token(), "a known key").await;
        assert_eq!(stage.proxy.metrics().await.value(KEYS, &[]), 1.0);
        // The next round begins with keys again, so that retries stay short.
        let good = refreshes(&stage.proxy, "ok").await;
        stage.issuer.publish(&[&pen]);
        let again = |scrape: &vestibule_testkit::Scrape| scrape.value(REFRESHES, &[("outcome", "ok")]) > good;
        stage.proxy.wait_metrics("keys again", again).await;
    }
    assert_eq!(elsewhere.hits(), 0);
}

/// AU-26
#[tokio::test]
async fn nobody_with_a_known_key_waits_for_a_slow_endpoint() {
    let (stage, pen) = Stage::with("jwks_timeout = \"1s\"\n").await;
    for reply in [Reply::never(), Reply::new(200).chunks_of(1, Duration::from_secs(1), "{\"keys\":[]}")] {
        let failed = refreshes(&stage.proxy, "error").await;
        let hits = stage.issuer.endpoint.hits();
        stage.issuer.say(reply);
        stage.issuer.endpoint.wait_hits(hits + 1).await;
        let started = Instant::now();
        for _ in 0..50 {
            stage.accepts(&pen.token(), "a known key").await;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} for fifty", started.elapsed());
        stage
            .proxy
            .wait_metrics("the end of a fetch", |scrape| scrape.value(REFRESHES, &[("outcome", "error")]) > failed)
            .await;
    }
}

/// Keys of a file are read again when it changes.
#[tokio::test]
async fn a_key_set_in_a_file_is_followed() {
    let (a, b) = (Pen::es256("a"), Pen::es256("b"));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.json");
    let write = |pen: &Pen| {
        std::fs::write(&path, serde_json::json!({"keys": [pen.jwk()]}).to_string()).expect("a file");
    };
    write(&a);
    let origin = Origin::returning(200, "ok");
    let toml = format!("{}jwks_file = \"{}\"\n[server]\nwatch = true\n", issuer::table(), path.display());
    let proxy = before(&origin, &toml).await;
    let ask = |pen: &Pen| proxy.get("/").header("authorization", format!("Bearer {}", pen.token()));
    assert_eq!((ask(&a).await.status, ask(&b).await.status), (200, 401));
    write(&b);
    proxy.wait_log("a reload", |line| line["msg"] == "configuration reloaded").await;
    assert_eq!((ask(&a).await.status, ask(&b).await.status), (401, 200));
    std::fs::write(&path, "nonsense").expect("a file");
    proxy
        .wait_log("a refused reload", |line| line["msg"].as_str().is_some_and(|msg| msg.contains("reload refused")))
        .await;
    assert_eq!(ask(&b).await.status, 200, "the old keys stay");
}

/// A reload that changes nothing about the source keeps its keys, its remembered tokens and asks nobody.
#[tokio::test]
async fn a_reload_keeps_the_keys_of_the_same_source() {
    let (stage, pen) = Stage::with("jwks_max_stale = \"2h\"\n").await;
    let token = pen.token();
    stage.accepts(&token, "before").await;
    let hits = stage.issuer.endpoint.hits();
    assert_eq!(stage.proxy.reload().await.status, 200);
    stage.accepts(&token, "after").await;
    assert_eq!((stage.decided("token").await, stage.decided("token_cached").await), (1.0, 1.0));
    assert_eq!(stage.proxy.metrics().await.value("vestibule_auth_token_cache_entries", &[]), 1.0);
    assert!(stage.issuer.endpoint.hits() <= hits + 1);
}
