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

/// A proxy that may have so many file descriptors.
async fn with_descriptors(origin: &Origin, descriptors: usize, toml: &str) -> (Proxy, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = dir.path().join("vestibule");
    let text = format!("#!/bin/sh\nulimit -n {descriptors}\nexec {} \"$@\"\n", crate::bin().display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("a script of our own");
    (Proxy::before(&script, &origin.url(), toml).await, dir)
}

/// Clients that only keep connections open leave descriptors for the upstream connections of others.
#[tokio::test]
async fn idle_clients_leave_descriptors_for_upstream_connections() {
    let origin = Origin::returning(200, "ok");
    let (proxy, _dir) = with_descriptors(&origin, 240, "").await;
    let warned = proxy.wait_log("a warning", |line| line["needed"].is_u64()).await;
    assert_eq!((&warned["level"], &warned["granted"]), (&"WARN".into(), &240.into()));
    assert!(warned["needed"].as_u64() > Some(20_000), "{warned}");
    let mut idle = Vec::new();
    for _ in 0..119 {
        idle.push(proxy.connect().await);
    }
    let mut served = proxy.connect().await;
    assert_eq!(proxy.get("/").on(&mut served).await.status, 200);
    for _ in 0..60 {
        assert!(proxy.connect().await.closed().await.is_empty());
    }
    for _ in 0..3 {
        assert_eq!(proxy.post("/").body("x").on(&mut served).await.status, 200);
    }
    assert_eq!((shed(&proxy, "descriptors").await, shed(&proxy, "connections").await), (60.0, 0.0));
    probes_answer(&proxy).await;
}

/// Where the bounds fit, nothing is said.
#[tokio::test]
async fn enough_descriptors_are_not_warned_of() {
    let origin = Origin::returning(200, "ok");
    let toml = "[server]\nmax_connections = 100\nmax_requests = 100\n[upstream]\nidle_connections = 100\n";
    let (proxy, _dir) = with_descriptors(&origin, 1000, toml).await;
    assert_eq!(proxy.get("/").await.status, 200);
    proxy.wait_access(1).await;
    assert!(proxy.logs().iter().all(|line| line["level"] != "WARN"), "{}", proxy.stderr());
}

/// DI-28: idle connections to the admin listener do not keep probes out, and none is refused.
#[tokio::test]
async fn idle_admin_connections_do_not_starve_probes() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut idle = Vec::new();
    for n in 0..1000 {
        let mut raw = Raw::connect(proxy.admin_address()).await;
        // Some have been served, some are within a head.
        match n % 3 {
            0 => assert_eq!(proxy.admin("GET", "/livez").on(&mut raw).await.status, 200),
            1 => raw.write("GET /livez HT").await,
            _ => {}
        }
        idle.push(raw);
    }
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        probes_answer(&proxy).await;
        quickest = quickest.min(began.elapsed());
    }
    // Three probes.
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
    // The longest idle one made room; the newest is still served.
    assert!(idle[0].closed().await.is_empty());
    assert_eq!(proxy.admin("GET", "/livez").on(idle.last_mut().expect("a connection")).await.status, 200);
    assert_eq!(shed(&proxy, "connections").await, 0.0);
}

/// DI-28: also where the client of an idle connection has been served before, and none that is being served is closed.
#[tokio::test]
async fn a_connection_in_use_is_not_the_longest_idle_one() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut busy = Raw::connect(proxy.admin_address()).await;
    busy.write("POST /reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n").await;
    // The head is taken before the next connection comes.
    proxy.admin("GET", "/livez").await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Raw::connect(proxy.admin_address()).await);
    }
    probes_answer(&proxy).await;
    busy.write("{}").await;
    assert_eq!(busy.answer().await.status, 200);
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
