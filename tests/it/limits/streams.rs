//! HTTP/2, gRPC, and bodies nobody reads.

use super::{HERE, TEN, gets, left, proxy};
use std::sync::Arc;
use vestibule_testkit::{Certs, H2Client, H2Request, Origin, Setup};

/// RL-23: a refused gRPC call is a trailers-only answer with the wait.
#[tokio::test]
async fn a_grpc_call_over_the_limit_is_told_in_grpc() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("[server]\ntls = {}\n{TEN}", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let call = H2Request::new("POST", "/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .body(&b"\0\0\0\0\0"[..]);
    let refused = client.send(call).await;
    assert_eq!((refused.status, refused.field("grpc-status")), (200, "8"));
    let pushback: u64 = refused.field("grpc-retry-pushback-ms").parse().expect("milliseconds");
    assert!((1..=6000).contains(&pushback), "{pushback}");
    assert!(refused.field("ratelimit").starts_with("\"p\";r=0;t="), "{:?}", refused.fields);
    assert_eq!(refused.field("content-type"), "application/grpc");
    assert!(refused.body.is_empty() && refused.trailers.is_empty(), "everything is in one header block");
    assert_eq!(origin.hits(), 10);
}

/// RL-23: a stream is one charge, however many come at once.
#[tokio::test]
async fn a_hundred_streams_at_once_are_a_hundred_charges() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let limits = TEN.replace("10/min", "100/h");
    let toml = format!("[server]\ntls = {}\n{limits}", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let client = Arc::new(H2Client::connect_tls(proxy.address(), &certs).await);
    let mut streams = tokio::task::JoinSet::new();
    for n in 0..100 {
        let client = Arc::clone(&client);
        streams.spawn(async move { client.get(&format!("/{n}")).await.status });
    }
    assert_eq!(streams.join_all().await, [200; 100]);
    let scrape = proxy.metrics().await;
    let charged = scrape.value("vestibule_rate_limit_decisions_total", &[("policy", "p"), ("outcome", "allowed")]);
    assert_eq!((charged, left(&proxy, "p", HERE).await), (100.0, 0));
    assert_eq!(client.get("/").await.status, 429);
}

/// RL-24: nobody is asked for a body that is refused already.
#[tokio::test]
async fn a_refused_upload_is_not_asked_for_its_body() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 10).await;
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1048576\r\n\r\n").await;
    let refused = raw.answer().await;
    assert_eq!((refused.status, refused.interim.len()), (429, 0));
    // The client may send the body or not; what is left of this connection must not be taken for a request.
    assert!(refused.fields.lists("connection", "close"), "{:?}", refused.fields);
    assert!(raw.closed().await.is_empty());
    assert_eq!(proxy.get("/").await.status, 429);
    assert_eq!(origin.hits(), 10);
}

#[tokio::test]
async fn a_small_refused_body_does_not_cost_the_connection() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 10).await;
    let mut raw = proxy.connect().await;
    for _ in 0..2 {
        assert_eq!(proxy.post("/").body(vec![b'x'; 10_000]).on(&mut raw).await.status, 429);
    }
    let mut raw = proxy.connect().await;
    assert_eq!(proxy.post("/").body(vec![b'x'; 1 << 20]).on(&mut raw).await.status, 429);
    assert_eq!(origin.hits(), 10);
}
