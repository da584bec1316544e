//! SEC-21: TLS to the upstream always verifies chain and name.

use vestibule_testkit::{Answer, Certs, H2Origin, H2Reply, Origin, Over, Proxy, Reply, Setup};

/// Asks through a proxy whose upstream is `url`, with `keys` in `[upstream]`.
async fn ask(url: &str, keys: &str) -> (Proxy, Answer) {
    let proxy = Setup::new(crate::bin()).toml(format!("[upstream]\n{keys}\n")).upstream(url).start().await;
    let answer = proxy.get("/").await;
    (proxy, answer)
}

#[tokio::test]
async fn a_known_authority_and_the_right_name_are_served() {
    let certs = Certs::new();
    let origin = Origin::tls(&certs, |_| Reply::ok("over TLS"));
    let keys = format!("ca_file = {:?}\nserver_name = \"localhost\"", certs.ca_file());
    let (_, answer) = ask(&origin.url(), &keys).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "over TLS"));
    assert_eq!(origin.last().version, "HTTP/1.1");
}

#[tokio::test]
async fn http2_is_spoken_to_an_upstream_that_offers_it() {
    let certs = Certs::new();
    let origin = H2Origin::replying(Over::Tls(&certs), |_| H2Reply::ok("over HTTP/2"));
    let keys = format!("ca_file = {:?}\nserver_name = \"localhost\"", certs.ca_file());
    let (_, answer) = ask(&origin.url(), &keys).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "over HTTP/2"));
    assert_eq!(origin.last().version, "HTTP/2.0");
}

async fn is_refused(url: &str, keys: &str) {
    let (proxy, answer) = ask(url, keys).await;
    assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-unreachable"), "{}", answer.text());
    let line = proxy.wait_log("why", |line| line["problem"] == "upstream-unreachable").await;
    let cause = line["cause"].as_str().unwrap_or_default();
    assert!(cause.starts_with("tls: ") && cause.contains("certificate"), "{line}");
    assert_eq!(line["upstream"], url, "which one it is");
    let failed = [("error_type", "tls")];
    proxy
        .wait_metrics("an attempt that failed by TLS", |scrape| {
            scrape.value("http_client_request_duration_seconds_count", &failed) >= 1.0
        })
        .await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let certs = Certs::naming(&["elsewhere.test"]);
    let origin = Origin::tls(&certs, |_| Reply::ok("never"));
    let keys = format!("ca_file = {:?}\nserver_name = \"localhost\"", certs.ca_file());
    is_refused(&origin.url(), &keys).await;
    assert_eq!(origin.hits(), 0);
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (certs, others) = (Certs::new(), Certs::new());
    let origin = Origin::tls(&certs, |_| Reply::ok("never"));
    is_refused(&origin.url(), &format!("ca_file = {:?}\nserver_name = \"localhost\"", others.ca_file())).await;
    // The public authorities do not know it either.
    is_refused(&origin.url(), "server_name = \"localhost\"").await;
    assert_eq!(origin.hits(), 0);
}
