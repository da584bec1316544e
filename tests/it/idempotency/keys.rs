//! Which requests are protected, and how a key is written.

use super::stage::{On, Stage, is_replay, keyed, on_every_store, orders};
use vestibule_testkit::{BodyEnd, Origin, Reply, Scrape};

on_every_store! {
    without_a_key_a_request_passes_or_is_refused,
    other_methods_pass_untouched,
    a_bare_key_and_a_quoted_one_are_the_same,
    what_is_no_key_is_refused_before_the_body,
    a_request_that_is_too_large_leaves_no_record,
    an_expectation_is_met_after_the_key_was_read,
    grpc_is_never_protected,
    a_mode_belongs_to_its_route,
}

/// ID-03.
async fn without_a_key_a_request_passes_or_is_refused(on: On) {
    let optional = Stage::new(on, orders()).await;
    for _ in 0..2 {
        let answer = optional.proxy.post("/orders").header("authorization", "Bearer alice").body("one").await;
        assert_eq!(answer.status, 201);
    }
    assert_eq!(optional.hits(), 2);
    optional.assert_counted(&[]).await;
    let required = Stage::with(on, orders(), "mode = \"required\"\n").await;
    for _ in 0..2 {
        let answer = required.proxy.post("/orders").header("authorization", "Bearer alice").body("one").await;
        assert_eq!((answer.status, answer.problem()), (400, "idempotency-key-missing".into()));
    }
    assert_eq!(required.hits(), 0);
    required.assert_counted(&[("missing_key", 2)]).await;
}

/// ID-04.
async fn other_methods_pass_untouched(on: On) {
    let stage = Stage::new(on, Origin::returning(200, "ok")).await;
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        for _ in 0..2 {
            let answer = keyed(stage.proxy.request(method, "/orders"), "k").await;
            assert_eq!((answer.status, is_replay(&answer)), (200, false), "{method}");
            assert_eq!(stage.origin.last().field("idempotency-key"), "k");
        }
    }
    assert_eq!(stage.hits(), 10);
    stage.assert_counted(&[]).await;
}

/// ID-05.
async fn a_bare_key_and_a_quoted_one_are_the_same(on: On) {
    let lenient = Stage::new(on, orders()).await;
    assert!(!is_replay(&lenient.order("\"k1\"").await));
    for key in ["k1", "\"k1\"", "\"k1\";a=1"] {
        assert!(is_replay(&lenient.order(key).await), "{key}");
    }
    assert_eq!(lenient.hits(), 1);
    let strict = Stage::with(on, orders(), "syntax = \"strict\"\n").await;
    let answer = strict.order("k1").await;
    assert_eq!((answer.status, answer.problem()), (400, "idempotency-key-invalid".into()));
    assert_eq!(strict.hits(), 0);
    assert_eq!(strict.order("\"k1\"").await.status, 201);
}

/// ID-06.
async fn what_is_no_key_is_refused_before_the_body(on: On) {
    let stage = Stage::new(on, orders()).await;
    let long = "x".repeat(256);
    let bad = ["\"\"", &long, &format!("\"{long}\""), "\"a\", \"b\"", "\"unterminated", "?1", "(\"a\")", "\u{e4}"];
    for key in bad {
        let answer = stage.order(key).await;
        assert_eq!((answer.status, answer.problem()), (400, "idempotency-key-invalid".into()), "{key}");
    }
    let two = stage.order("k").header("idempotency-key", "k").await;
    assert_eq!(two.problem(), "idempotency-key-invalid");
    // The body is not awaited.
    let mut raw = stage.proxy.connect().await;
    raw.write(
        "POST /orders HTTP/1.1\r\nhost: h\r\nauthorization: a\r\nidempotency-key: ?1\r\ncontent-length: 9\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.problem(), "idempotency-key-invalid");
    assert_eq!(stage.hits(), 0);
    stage.assert_counted(&[("invalid_key", bad.len() + 2)]).await;
    let nominated = stage.order("k").header("connection", "idempotency-key").await;
    assert_eq!((nominated.status, nominated.problem()), (400, "connection-nomination".into()));
    assert_eq!(stage.hits(), 0);
}

/// ID-39.
async fn a_request_that_is_too_large_leaves_no_record(on: On) {
    const MIB: usize = 1 << 20;
    let stage = Stage::new(on, orders()).await;
    let declared = stage.post("/orders", "k").body(vec![b'x'; MIB + 1]).await;
    assert_eq!((declared.status, declared.problem()), (413, "content-too-large".into()));
    let chunked = stage.post("/orders", "k").chunked(vec![vec![b'x'; MIB], vec![b'x'; 1]]).await;
    assert_eq!((chunked.status, chunked.problem()), (413, "content-too-large".into()));
    assert_eq!(stage.hits(), 0);
    let other = stage.post("/orders", "k").body(vec![b'x'; MIB]).await;
    assert_eq!((other.status, is_replay(&other)), (201, false), "the key is free");
    assert_eq!(stage.origin.last().body.len(), MIB);
    stage.assert_counted(&[("refused", 2), ("executed", 1)]).await;
}

/// ID-39.
async fn an_expectation_is_met_after_the_key_was_read(on: On) {
    let stage = Stage::new(on, orders()).await;
    let head = |key: &str| {
        format!(
            "POST /orders HTTP/1.1\r\nhost: h\r\nauthorization: a\r\nidempotency-key: {key}\r\nexpect: 100-continue\r\n\
             content-length: 3\r\n\r\n"
        )
    };
    let mut raw = stage.proxy.connect().await;
    raw.write(head("k")).await;
    let interim = raw.until("\r\n\r\n").await;
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{interim:?}");
    raw.write("one").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.body_end), (201, BodyEnd::Complete));
    let mut raw = stage.proxy.connect().await;
    raw.write(head("?1")).await;
    let refused = raw.answer().await;
    assert_eq!((refused.status, refused.interim.len()), (400, 0));
}

async fn grpc_is_never_protected(on: On) {
    let optional = Stage::new(on, Origin::replying(|_| Reply::ok("x").field("content-type", "application/grpc"))).await;
    for _ in 0..2 {
        let call = keyed(optional.proxy.post("/s/m"), "k").header("content-type", "application/grpc+proto");
        assert!(!is_replay(&call.body("x").await));
    }
    assert_eq!(optional.hits(), 2);
    let required = Stage::with(on, orders(), "mode = \"required\"\n").await;
    let call = keyed(required.proxy.post("/s/m"), "k").header("content-type", "application/grpc");
    let answer = call.body("x").await;
    assert_eq!((answer.status, answer.field("grpc-status")), (200, "3"), "{answer:?}");
    assert_eq!(required.hits(), 0);
    required.assert_counted(&[("refused", 1)]).await;
}

async fn a_mode_belongs_to_its_route(on: On) {
    let routes = "[[routes]]\nname = \"pay\"\npath = \"/pay\"\nidempotency = \"required\"\n\
                  [[routes]]\nname = \"up\"\npath = \"/up\"\nidempotency = \"off\"\n\
                  [[routes]]\nname = \"put\"\npath = \"/put\"\nidempotency = { methods = [\"PUT\"], header = \"x-key\" }\n";
    let stage = Stage::with(on, orders(), routes).await;
    assert_eq!(stage.proxy.post("/pay").await.status, 400);
    for _ in 0..2 {
        assert!(!is_replay(&stage.post("/up", "k").await));
    }
    let put = || stage.proxy.request("PUT", "/put").header("authorization", "a").header("x-key", "k");
    assert!(!is_replay(&put().await));
    assert!(is_replay(&put().await));
    assert_eq!(stage.hits(), 3);
    let total = |scrape: &Scrape| scrape.value("vestibule_idempotency_requests_total", &[]);
    let scrape = stage.proxy.wait_metrics("three counted requests", |scrape| total(scrape) >= 3.0).await;
    let counted = |route, outcome| {
        let labels = [("http_route", route), ("outcome", outcome)];
        scrape.value("vestibule_idempotency_requests_total", &labels)
    };
    assert_eq!(
        (counted("pay", "missing_key"), counted("put", "replayed"), counted("put", "executed")),
        (1.0, 1.0, 1.0)
    );
}
