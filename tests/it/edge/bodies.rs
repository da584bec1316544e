//! Request bodies: too large, too slow, malformed.

use super::{blocked, blocked_since, once, proxy};
use std::time::{Duration, Instant};
use vestibule_testkit::{Origin, Raw, Reply};

/// SEC-14: a declared length over the limit is refused before anybody is bothered.
#[tokio::test]
async fn a_body_declared_too_large_never_reaches_the_upstream() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_body_bytes = \"1KiB\"\n").await;
    assert_eq!(proxy.post("/").body(vec![b'x'; 1024]).await.status, 200);
    let mut raw = proxy.connect().await;
    let refused = proxy.post("/").body(vec![b'x'; 1025]).on(&mut raw).await;
    assert_eq!((refused.status, refused.problem().as_str()), (413, "content-too-large"));
    assert!(raw.closed().await.is_empty());
    assert_eq!(origin.hits(), 1);
}

/// SEC-14: a body that turns out too large ends the upstream call; no complete request arrives.
#[tokio::test]
async fn a_chunked_body_too_large_is_cut() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_body_bytes = \"1KiB\"\n").await;
    assert_eq!(proxy.post("/").chunked([vec![b'x'; 512], vec![b'x'; 512]]).await.status, 200);
    let mut raw = proxy.connect().await;
    let refused = proxy.post("/").chunked([vec![b'x'; 512], vec![b'x'; 513]]).on(&mut raw).await;
    assert_eq!((refused.status, refused.problem().as_str()), (413, "content-too-large"));
    assert!(raw.closed().await.is_empty());
    let counts = origin.counts();
    assert!(counts.hits <= 2 && counts.complete == 1, "{counts:?}");
}

#[tokio::test]
async fn zero_is_no_limit() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_body_bytes = \"0\"\n").await;
    assert_eq!(proxy.post("/").body(vec![b'x'; 11 << 20]).await.status, 200);
    assert_eq!(origin.last().body.len(), 11 << 20);
}

/// SEC-15: a body at 100 bytes a second is cut once its five seconds of grace are over.
#[tokio::test]
async fn a_body_that_trickles_in_is_cut() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    let began = Instant::now();
    raw.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n").await;
    let answer = loop {
        raw.write([b'x'; 50]).await;
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), raw.answer()).await {
            break answer;
        }
        assert!(began.elapsed() < Duration::from_secs(9), "nobody minds");
    };
    let took = began.elapsed();
    assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"));
    assert!((Duration::from_millis(4500)..Duration::from_millis(7500)).contains(&took), "{took:?}");
    assert!(raw.closed().await.is_empty());
    assert_eq!(blocked_since(&proxy, &before).await, once("slow_body"));
    assert_eq!(origin.counts().complete, 0);
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!(
        (&line["status"], &line["end"], &line["problem"]),
        (&408.into(), &"timeout".into(), &"request-timeout".into())
    );
}

/// SEC-15: a client is not slow because the upstream is.
#[tokio::test]
async fn a_body_that_the_upstream_does_not_read_is_nobodys_fault() {
    let origin = Origin::at_head(|_| Reply::never().leaving_the_upload());
    let proxy = proxy(&origin, "[server]\nmax_body_bytes = \"64MiB\"\n").await;
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 33554432\r\n\r\n").await;
    // More than all buffers on the way hold, as fast as it is taken.
    let upload = async { while raw.try_write(vec![b'x'; 64 << 10]).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(7), upload).await.is_err(), "the connection ended");
    assert_eq!(blocked(&proxy).await["slow_body"], 0);
    assert!(proxy.access().is_empty(), "{:?}", proxy.access());
}

/// gRPC streams are slow by nature.
#[tokio::test]
async fn a_grpc_body_may_trickle_in() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\ncontent-length: 2\r\n\r\na")
        .await;
    let early = tokio::time::timeout(Duration::from_secs(6), raw.some()).await;
    assert!(early.is_err(), "{early:?}");
    raw.write("b").await;
    assert_eq!(raw.answer().await.status, 200);
}

/// What is no chunked coding is 400, and the connection to the upstream is not used again.
#[tokio::test]
async fn a_malformed_chunked_body_is_refused() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    assert_eq!(proxy.post("/").body("x").await.status, 200);
    for body in ["zz\r\n", "1\r\nxx\r\n0\r\n\r\n", "-1\r\nx\r\n0\r\n\r\n"] {
        let before = blocked(&proxy).await;
        let complete = origin.counts().complete;
        let mut raw = proxy.connect().await;
        raw.write("POST /bad HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
        raw.write(body).await;
        let refused = raw.answer().await;
        assert_eq!(refused.status, 400, "{body:?}: {}", refused.text());
        assert!(raw.closed().await.is_empty(), "{body:?}");
        assert_eq!(blocked_since(&proxy, &before).await, once("framing"), "{body:?}");
        assert_eq!(proxy.get("/").await.status, 200, "{body:?}");
        assert_eq!(origin.counts().complete, complete + 1, "{body:?}");
    }
    for bad in origin.requests().iter().filter(|request| request.target == "/bad") {
        let later = origin.requests().iter().any(|r| r.connection == bad.connection && r.number > bad.number);
        assert!(!later, "a connection was used again after a broken body");
    }
}

/// SEC-02: bodies are framed anew; extensions and trailers stay here.
#[tokio::test]
async fn a_body_is_framed_anew() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = Raw::connect(proxy.address()).await;
    raw.write(
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: Chunked\r\ntrailer: x-sum\r\n\r\n\
         2;ext=\"a\"\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 1\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.status, 200);
    let received = origin.last();
    assert_eq!((received.text().as_str(), received.trailers.is_empty()), ("abc", true));
    assert_eq!(received.fields.count("content-length") + received.fields.count("transfer-encoding"), 1);
    assert_eq!(proxy.post("/").body("four").await.status, 200);
    assert_eq!((origin.last().field("content-length"), origin.last().text().as_str()), ("4", "four"));
}
