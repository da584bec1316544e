//! SEC-16: how many at once.

use super::proxy;
use std::time::{Duration, Instant};
use vestibule_testkit::{Gate, Origin, Proxy, Raw, Reply};

async fn shed(proxy: &Proxy, reason: &str) -> f64 {
    proxy.metrics().await.value("vestibule_server_shed_total", &[("reason", reason)])
}

async fn probes_answer(proxy: &Proxy) {
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(proxy.admin("GET", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn one_connection_more_than_a_client_may_have_is_closed_at_once() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_connections_per_client = 2\n").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = proxy.connect().await;
        assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
        held.push(raw);
    }
    let began = Instant::now();
    assert!(proxy.connect().await.closed().await.is_empty());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(shed(&proxy, "connections").await, 1.0);
    probes_answer(&proxy).await;
    // Those that were there are served on, and a place that was left is free again.
    assert_eq!(proxy.get("/").on(&mut held[0]).await.status, 200);
    drop(held.pop());
    until_served(&proxy).await;
}

/// Connects until it is served: that a connection was closed is known here before it is known there.
async fn until_served(proxy: &Proxy) {
    vestibule_testkit::within("a free place", async {
        while proxy.get("/").try_send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_trusted_peer_is_no_client() {
    let origin = Origin::returning(200, "ok");
    let toml = "[server]\nmax_connections_per_client = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let proxy = proxy(&origin, toml).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut raw = proxy.connect().await;
        assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
        held.push(raw);
    }
    assert_eq!(shed(&proxy, "connections").await, 0.0);
}

#[tokio::test]
async fn one_connection_more_than_there_may_be_is_closed_at_once() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_connections = 3\n").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut raw = proxy.connect().await;
        assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
        held.push(raw);
    }
    assert!(proxy.connect().await.closed().await.is_empty());
    assert_eq!(shed(&proxy, "connections").await, 1.0);
    probes_answer(&proxy).await;
    held.clear();
    until_served(&proxy).await;
}

#[tokio::test]
async fn one_request_more_than_may_be_served_is_told_quickly_to_come_back() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = proxy(&origin, "[server]\nmax_requests = 2\n").await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut raw = proxy.connect().await;
        raw.write(proxy.get("/").encoded()).await;
        slow.push(raw);
    }
    origin.wait_hits(2).await;
    let mut raw = proxy.connect().await;
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        let refused = proxy.get("/").on(&mut raw).await;
        quickest = quickest.min(began.elapsed());
        assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
        assert_eq!(refused.field("retry-after"), "1");
    }
    // The quickest of several: the tests beside this one share its processors.
    assert!(quickest <= Duration::from_millis(5), "{quickest:?}");
    assert_eq!(shed(&proxy, "requests").await, 20.0);
    probes_answer(&proxy).await;
    assert_eq!(origin.hits(), 2);
    gate.open();
    for mut raw in slow {
        assert_eq!(raw.answer().await.status, 200);
    }
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
}

#[tokio::test]
async fn a_thousand_connections_are_kept_without_an_error() {
    const CONNECTIONS: usize = 1000;
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut crowd: Vec<Raw> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        crowd.push(proxy.connect().await);
    }
    // All of them at once, twice: the second time on connections that have waited.
    for round in 1..=2 {
        let request = proxy.get("/").encoded();
        for raw in &mut crowd {
            raw.write(&request).await;
        }
        for raw in &mut crowd {
            assert_eq!(raw.answer().await.status, 200);
        }
        assert_eq!(origin.hits(), round * CONNECTIONS);
    }
    assert_eq!(shed(&proxy, "connections").await + shed(&proxy, "requests").await, 0.0);
    let lines = proxy.wait_access(2 * CONNECTIONS).await;
    assert!(lines.iter().all(|line| line["status"] == 200 && line["end"] == "ok"));
}
