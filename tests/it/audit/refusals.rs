//! Refusals may come by the million: the first of a kind is told at once, the rest are counted, and nothing is uncounted.

use super::*;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use vestibule_testkit::{Origin, Scrape, within};

const BAD: &str = "Bearer eyJhbGciOiJub25lIn0.e30.";

/// Tables of a stage where the peer says who the client is.
fn tables(failures: &str) -> String {
    format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{}failure_limit = \"{failures}\"\n\
         [rate_limit.policies.few]\nlimit = \"1/day\"\nkey = \"address\"\n\
         [[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"off\"\n\
         [[routes]]\nname = \"limited\"\npath = \"/limited\"\nauth = \"off\"\nrate_limit = [\"few\"]\naudit = {{}}\n\
         [[routes]]\nname = \"private\"\npath = \"/private\"\nauth = {{ mode = \"required\" }}\n",
        crate::auth::issuer::table() + "public_key_file = \"KEY\"\n"
    )
}

/// A stage that verifies tokens without asking anybody for keys.
async fn stage(trail: &Trail, origin: &Origin, failures: &str, lines: &str) -> Proxy {
    let pen = crate::auth::issuer::Pen::es256("one");
    let issuer = crate::auth::issuer::Issuer::publishing(&[&pen]);
    let tables = tables(failures)
        .replace("public_key_file = \"KEY\"\n", &format!("jwks_url = \"{}/keys\"\n", issuer.endpoint.url()));
    let proxy = trail.proxy(origin, &format!("{lines}{tables}")).await;
    proxy.wait_metrics("keys", |scrape| scrape.value("vestibule_auth_jwks_keys", &[]) > 0.0).await;
    proxy
}

/// From an address of this machine, until the proxy ends the connection.
async fn attack(proxy: &Proxy, from: &str, bytes: &str) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("an address of this machine");
    let mut stream = within("a connection", socket.connect(proxy.address())).await.expect("a listener");
    stream.write_all(bytes.as_bytes()).await.expect("an open connection");
    let mut answer = Vec::new();
    within("the end of the connection", stream.read_to_end(&mut answer)).await.ok();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

/// AUD-04
#[tokio::test]
async fn a_flood_of_refusals_is_folded_and_adds_up() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = stage(&trail, &origin, "off", "").await;
    let clients = ["203.0.113.1", "203.0.113.2", "2001:db8::3"];
    for (target, status, header) in [("/private", 401, Some(BAD)), ("/limited", 429, None)] {
        let mut kept = proxy.connect().await;
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for at in 0..1003 {
            let request = proxy.post(target).header("x-forwarded-for", clients[at % 3]);
            let request = header.iter().fold(request, |request, bad| request.header("authorization", *bad));
            *statuses.entry(request.on(&mut kept).await.status).or_default() += 1;
        }
        let refused = if status == 429 { 1000 } else { 1003 };
        assert_eq!(statuses.get(&status), Some(&refused), "{statuses:?}");
    }
    for at in 0..50 {
        let from = ["127.0.0.2", "127.0.0.3", "127.0.0.4"][at % 3];
        attack(&proxy, from, "GET / HTTP/1.1\r\nhost : a\r\n\r\n").await;
    }
    // The last one is counted when its answer has left.
    let all = |scrape: &Scrape| scrape.value("vestibule_threats_blocked_total", &[]) >= 50.0;
    let blocked = proxy.wait_metrics("50 attacks", all).await.value("vestibule_threats_blocked_total", &[]);
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    let folded = log.kinds().iter().filter(|kind| kind.starts_with("security.")).count();
    // Three kinds from three clients each: a record at once, and one when the process stops.
    assert!(folded <= 30, "{folded} records");
    assert_eq!(log.counted("security.auth_denied", "reason", "algorithm"), 1003);
    assert_eq!(log.counted("security.rate_limited", "policy", "few"), 1000);
    assert_eq!((log.counted("security.threat_blocked", "kind", "framing"), blocked), (50, 50.0));
    for (wanted, route, prefixes) in [
        ("security.auth_denied", "private", ["203.0.113.0/24", "2001:db8::/48"]),
        ("security.rate_limited", "limited", ["203.0.113.0/24", "2001:db8::/48"]),
        ("security.threat_blocked", "unmatched", ["127.0.0.0/24", "127.0.0.0/24"]),
    ] {
        for event in log.of(wanted) {
            let data = &event["data"];
            assert_eq!((&data["route"], &data["resource"]), (&json!(route), &json!(format!("route:{route}"))));
            assert_eq!((&data["outcome"], &data["actor"]["type"]), (&json!("denied"), &json!("anonymous")));
            assert!(prefixes.contains(&data["client"]["prefix"].as_str().expect("a network")), "{data}");
            assert!(told(event, "first_seen").as_str() <= told(event, "last_seen").as_str());
        }
        let hashes: std::collections::HashSet<_> =
            log.of(wanted).iter().map(|event| event["data"]["client"]["hash"].clone()).collect();
        assert_eq!(hashes.len(), 3, "{wanted}");
    }
    // What was let through on the audited route is told, what a limit refused is not.
    assert_eq!((log.count("request.started"), log.count("request.finished")), (3, 3));
}

/// Reasons are told apart, and a refused address is refused by a policy of its own.
#[tokio::test]
async fn reasons_and_the_limit_of_failures_are_told_apart() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = stage(&trail, &origin, "3/h", "").await;
    assert_eq!(proxy.get("/private").await.status, 401);
    let statuses: Vec<u16> = {
        let mut all = Vec::new();
        for _ in 0..6 {
            all.push(proxy.get("/private").header("authorization", BAD).await.status);
        }
        all
    };
    let denied = statuses.iter().filter(|status| **status == 401).count() as u64;
    let limited = statuses.iter().filter(|status| **status == 429).count() as u64;
    assert!(denied >= 3 && limited >= 1 && denied + limited == 6, "{statuses:?}");
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    assert_eq!(log.counted("security.auth_denied", "reason", "missing"), 1, "{:#?}", log.of("security.auth_denied"));
    let bad: u64 = log
        .of("security.auth_denied")
        .iter()
        .filter(|event| told(event, "reason") != "missing")
        .map(|event| told(event, "count").as_u64().expect("a count"))
        .sum();
    assert_eq!(bad, denied);
    assert_eq!(log.counted("security.rate_limited", "policy", "auth-failures"), limited);
}

/// Inside an exchange: what was forged is counted, and the request goes on.
#[tokio::test]
async fn a_spoofed_field_is_a_threat_and_the_request_goes_on() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = stage(&trail, &origin, "off", "").await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/open").header("x_forwarded_for", "1.2.3.4").await.status, 200);
        assert_eq!(proxy.get("/%zz").await.status, 400);
    }
    let scrape = proxy.metrics().await;
    let counted = |kind: &str| scrape.value("vestibule_threats_blocked_total", &[("kind", kind)]) as u64;
    let kinds = ["spoofed_header", "bad_target"];
    let expected = kinds.map(counted);
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    assert_eq!(kinds.map(|kind| log.counted("security.threat_blocked", "kind", kind)), expected);
    assert_eq!(expected, [5, 5], "{}", scrape.text);
    let routes: Vec<&Value> =
        log.of("security.threat_blocked").iter().map(|event| &event["data"]["resource"]).collect();
    assert!(routes.contains(&&json!("route:open")) && routes.contains(&&json!("route:unmatched")), "{routes:?}");
}
