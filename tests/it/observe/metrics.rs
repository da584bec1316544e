//! What is counted, in both text formats, and how little of it a client can cause.

use super::proxy;
use std::collections::BTreeSet;
use std::time::Duration;
use vestibule_testkit::{Fault, Origin, Proxy, Raw, Relay, Reply, Request, Scrape};

const SERVER: &str = "http_server_request_duration_seconds_count";
const CLIENT: &str = "http_client_request_duration_seconds_count";

#[tokio::test]
async fn requests_and_attempts_are_counted_by_route_method_and_status() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/missing" => Reply::new(404),
        _ => Reply::ok("ok"),
    });
    let proxy = proxy(&origin, "[[routes]]\nname = \"orders\"\npath = \"/orders/{id}\"\n").await;
    for n in 0..3 {
        assert_eq!(proxy.get(&format!("/orders/{n}")).await.status, 200);
    }
    assert_eq!(proxy.post("/orders/1").body("x").await.status, 200);
    assert_eq!(proxy.get("/missing").await.status, 404);
    assert_eq!(proxy.request("PURGE", "/").await.status, 405);
    let scrape = proxy.wait_metrics("six requests", |scrape| scrape.value(SERVER, &[]) == 6.0).await;
    let count = |method, status, route| {
        let labels = [("http_request_method", method), ("http_response_status_code", status), ("http_route", route)];
        scrape.value(SERVER, &labels)
    };
    assert_eq!(count("GET", "200", "orders"), 3.0);
    assert_eq!(count("POST", "200", "orders"), 1.0);
    assert_eq!(count("GET", "404", "unmatched"), 1.0);
    assert_eq!(count("_OTHER", "405", "unmatched"), 1.0);
    let port = origin.address().port().to_string();
    let upstream = [("server_address", "127.0.0.1"), ("server_port", port.as_str()), ("error_type", "")];
    assert_eq!(scrape.value(CLIENT, &upstream), 5.0 - 1.0, "a 4xx is an error of the attempt");
    assert_eq!(scrape.value(CLIENT, &[("error_type", "404")]), 1.0);
    assert_eq!(scrape.value("vestibule_upstream_first_byte_seconds_count", &[]), 5.0);
    assert_eq!(scrape.value("http_server_active_requests", &[]), 0.0);
}

#[tokio::test]
async fn a_timeout_and_a_refused_connection_are_told_apart() {
    let origin = Origin::replying(|_| Reply::never());
    let relay = Relay::to(origin.address());
    let url = format!("http://{}", relay.address());
    let proxy = Proxy::before(crate::bin(), &url, "[upstream]\nread_timeout = \"100ms\"\n").await;
    let slow = proxy.get("/").await;
    assert_eq!((slow.status, slow.problem().as_str()), (504, "upstream-timeout"));
    relay.set(Fault::Refuse).await;
    let refused = proxy.get("/").await;
    assert_eq!((refused.status, refused.problem().as_str()), (502, "upstream-unreachable"));
    let scrape = proxy.wait_metrics("two requests", |scrape| scrape.value(SERVER, &[]) == 2.0).await;
    assert_eq!(scrape.value(CLIENT, &[("error_type", "read_timeout")]), 1.0);
    assert_eq!(scrape.value(CLIENT, &[("error_type", "connect_refused")]), 3.0, "two more attempts");
    let mut ends: Vec<_> = proxy.wait_access(2).await.iter().map(|line| line["end"].to_string()).collect();
    // Which of two workers writes its line first is nobody's promise.
    ends.sort();
    assert_eq!(ends, ["\"timeout\"", "\"upstream_error\""]);
}

/// Series of a scrape: names and labels, without values.
fn series(scrape: &Scrape) -> BTreeSet<String> {
    scrape.samples.iter().map(|sample| format!("{}{:?}", sample.name, sample.labels)).collect()
}

/// OBS-19: both formats spell the same series alike.
#[tokio::test]
async fn both_text_formats_have_the_same_series() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[etag]\n[rate_limit]\n").await;
    for target in ["/", "/x", "/%zz"] {
        proxy.get(target).await;
    }
    proxy.wait_metrics("three requests", |scrape| scrape.value(SERVER, &[]) == 3.0).await;
    let plain = proxy.admin("GET", "/metrics").await;
    let open = proxy.admin("GET", "/metrics").header("accept", "application/openmetrics-text;version=1.0.0").await;
    assert!(plain.field("content-type").starts_with("text/plain; version=0.0.4"), "{:?}", plain.fields);
    assert!(open.field("content-type").starts_with("application/openmetrics-text; version=1.0.0"), "{:?}", open.fields);
    assert!(open.text().ends_with("# EOF\n") && !plain.text().contains("# EOF"));
    assert_eq!(series(&Scrape::parse(&plain.text())), series(&Scrape::parse(&open.text())));
    assert!(plain.text().contains("# TYPE vestibule_threats_blocked_total counter\n"));
    assert!(open.text().contains("# TYPE vestibule_threats_blocked counter\n"));
    assert!(plain.text().contains("le=\"+Inf\"") && plain.text().contains("le=\"1.0\""));
    let preferred = "application/openmetrics-text;q=0.2, text/plain;q=0.9";
    let negotiated = proxy.admin("GET", "/metrics").header("accept", preferred).await;
    assert!(negotiated.field("content-type").starts_with("text/plain"), "{:?}", negotiated.fields);
}

/// Whoever slow is, an OpenMetrics exemplar names its trace.
#[tokio::test]
async fn a_bucket_names_the_trace_of_a_request_in_it() {
    let origin = Origin::replying(|_| Reply::ok("late").after(Duration::from_millis(60)));
    let proxy = proxy(&origin, "").await;
    let id = super::trace_id(&proxy.get("/").await);
    proxy.wait_metrics("the request", |scrape| scrape.value(SERVER, &[]) == 1.0).await;
    let open = proxy.admin("GET", "/metrics").header("accept", "application/openmetrics-text").await.text();
    let exemplar = open.lines().find(|line| line.contains("# {") && line.contains(&id));
    let exemplar = exemplar.unwrap_or_else(|| panic!("no exemplar of {id}"));
    assert!(exemplar.starts_with("http_"), "{exemplar}");
}

/// OBS-21, SEC-24: names that clients make up are no series. A million with `MADE_UP_NAMES=1000000`.
#[tokio::test]
async fn made_up_names_are_few_series() {
    const CONNECTIONS: usize = 8;
    let names = std::env::var("MADE_UP_NAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let each: usize = names / CONNECTIONS;
    let origin = Origin::replying(|request| Reply::new(200 + (request.number % 400) as u16));
    let proxy = proxy(&origin, "[rate_limit]\n[rate_limit.policies.p]\nlimit = \"1000000/s\"\n[rate_limit.tiers]\nanonymous = [\"p\"]\n[etag]\n").await;
    let address = proxy.address();
    let before = proxy.rss_bytes();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..CONNECTIONS {
        workers.spawn(async move {
            let mut raw = Raw::connect(address).await;
            for n in 0..each {
                let made_up = format!("{worker}x{n}");
                let odd = n % 25 == 0;
                let method = if odd { format!("M{made_up}") } else { "GET".to_owned() };
                let request = Request::new(address, &method, &format!("/{made_up}?{made_up}"));
                let request = request.header("host", format!("h{made_up}.test")).header("user-agent", &*made_up);
                request.on(&mut raw).await;
                if odd {
                    // A refused request ends its connection.
                    raw = Raw::connect(address).await;
                }
            }
        });
    }
    workers.join_all().await;
    let all = (CONNECTIONS * each) as f64;
    let scrape = proxy.wait_metrics("all requests", |scrape| scrape.value(SERVER, &[]) == all).await;
    assert!(scrape.samples.len() <= 2000, "{} sample lines", scrape.samples.len());
    assert!(!scrape.text.contains("0x1") && !scrape.text.contains("h7x"));
    let errors: f64 = (500..600)
        .map(|status| scrape.value(SERVER, &[("http_response_status_code", &status.to_string())]))
        .sum::<f64>()
        + scrape.value(SERVER, &[("http_response_status_code", "5xx")]);
    let sent = (1..=origin.hits()).filter(|number| number % 400 >= 300).count();
    assert_eq!(errors, sent as f64, "the error ratio stays true");
    let grown = proxy.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn metrics_that_are_off_are_not_found() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[metrics]\nenabled = false\n").await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.admin("GET", "/metrics").await.status, 404);
    assert_eq!(proxy.admin("GET", "/status").await.json()["plugins"], serde_json::json!(["trace"]));
}

/// What is switched off takes part in no exchange, and still hears that it is.
#[tokio::test]
async fn a_reload_turns_metrics_off_and_on_again() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    assert_eq!(proxy.get("/").await.status, 200);
    proxy.wait_metrics("one request", |scrape| scrape.value(SERVER, &[]) == 1.0).await;
    proxy.rewrite("[metrics]\nenabled = false\n");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.admin("GET", "/metrics").await.status, 404);
    assert_eq!(proxy.get("/").await.status, 200);
    proxy.wait_access(2).await;
    proxy.rewrite("");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.metrics().await.value(SERVER, &[]), 1.0, "nothing was counted meanwhile");
}

#[tokio::test]
async fn the_build_and_the_process_are_described() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let scrape = proxy.metrics().await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("vestibule_build_info", &version), 1.0);
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.value("process_open_fds", &[]) > 3.0);
    // A first error must be a rate and not an absence.
    for kind in ["framing", "smuggling", "slow_body", "bad_target"] {
        assert!(scrape.has("vestibule_threats_blocked_total", &[("kind", kind)]), "{kind}");
    }
    for outcome in ["ok", "failed"] {
        assert!(scrape.has("vestibule_config_reloads_total", &[("outcome", outcome)]), "{outcome}");
    }
}
