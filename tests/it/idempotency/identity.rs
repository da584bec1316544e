//! Whose key it is, and what makes two requests the same.

use super::stage::{On, Stage, is_replay, on_every_store, orders};

on_every_store! {
    two_callers_never_share_a_key,
    nobody_in_particular_is_refused_or_shares,
    a_key_stands_for_one_request,
    json_is_compared_as_configured,
    a_form_under_another_boundary_is_the_same,
    a_refused_retry_touches_nothing,
}

/// ID-14.
async fn two_callers_never_share_a_key(on: On) {
    let stage = Stage::with(on, orders(), "").await;
    let by = |who: &str| stage.proxy.post("/orders").header("authorization", who).header("idempotency-key", "k");
    let (alice, bob) = (by("Bearer alice").body("one").await, by("Bearer bob").body("one").await);
    assert!(!is_replay(&alice) && !is_replay(&bob));
    assert_ne!(alice.body, bob.body);
    assert_eq!(by("Bearer bob").body("one").await.body, bob.body);
    assert_eq!(by("Bearer alice").body("one").await.body, alice.body);
    assert_eq!(stage.hits(), 2);

    let many = "[[routes]]\nname = \"any\"\npath = \"/any\"\n\
                idempotency = { principal = [\"header:x-user\", \"cookie:sid\", \"address\"] }\n";
    let stage = Stage::with(on, orders(), many).await;
    let any = |name: &str, value: &str| stage.proxy.post("/any").header("idempotency-key", "k").header(name, value);
    for request in [any("x-user", "u"), any("x-user", "v"), any("cookie", "a=1; sid=u"), any("x-other", "u")] {
        assert!(!is_replay(&request.clone().await));
        assert!(is_replay(&request.await));
    }
    assert_eq!(stage.hits(), 4);
}

/// ID-17.
async fn nobody_in_particular_is_refused_or_shares(on: On) {
    let stage = Stage::with(on, orders(), "").await;
    let nobody = |stage: &Stage| stage.proxy.post("/orders").header("idempotency-key", "k").body("one");
    let answer = nobody(&stage).await;
    assert_eq!((answer.status, answer.problem()), (401, "idempotency-principal-missing".into()));
    assert_eq!(answer.field("www-authenticate"), "Bearer");
    assert_eq!(stage.hits(), 0);
    stage.assert_counted(&[("refused", 1)]).await;
    let stage = Stage::with(on, orders(), "anonymous = \"share\"\n").await;
    assert!(!is_replay(&nobody(&stage).await));
    assert!(is_replay(&nobody(&stage).await));
    assert!(!is_replay(&stage.order("k").await), "alice is somebody");
    assert_eq!(stage.hits(), 2);
}

/// ID-11, ID-12.
async fn a_key_stands_for_one_request(on: On) {
    let route = "[[routes]]\nname = \"b\"\npath = \"/b\"\nidempotency = { ttl = \"1h\" }\n";
    let stage = Stage::with(on, orders(), route).await;
    let patch = |target| super::stage::keyed(stage.proxy.request("PATCH", target), "k");
    assert_eq!(stage.post("/a", "k").body("one").await.status, 201);
    for other in [
        stage.post("/a", "k").body("two"),
        stage.post("/b", "k").body("one"),
        stage.post("/a?x=1", "k").body("one"),
        patch("/a").body("one"),
        stage.post("/a", "k").header("content-type", "text/plain").body("one"),
        stage.post("/a", "k").header("host", "other.test").body("one"),
    ] {
        let answer = other.await;
        assert_eq!((answer.status, answer.problem()), (422, "idempotency-key-reused".into()));
    }
    assert!(is_replay(&stage.post("/a", "k").body("one").await));
    assert!(is_replay(&stage.post("/a", "k").chunked(["o", "ne"]).await), "however it is framed");
    assert_eq!(stage.hits(), 1);
    stage.assert_counted(&[("executed", 1), ("mismatch", 6), ("replayed", 2)]).await;
}

/// ID-13.
async fn json_is_compared_as_configured(on: On) {
    let route = "[[routes]]\nname = \"j\"\npath = \"/j\"\nidempotency = { fingerprint = \"json\" }\n";
    let stage = Stage::with(on, orders(), route).await;
    let send = |target: &str, body: &'static str| {
        stage.post(target, &format!("k{target}")).header("content-type", "application/json").body(body)
    };
    for target in ["/raw", "/j"] {
        assert_eq!(send(target, "{\"a\":1,\"b\":[2]}").await.status, 201);
    }
    assert_eq!(send("/raw", "{ \"b\": [2], \"a\": 1 }").await.status, 422);
    assert!(is_replay(&send("/j", "{ \"b\": [2], \"a\": 1 }").await));
    assert_eq!(send("/j", "{ \"b\": [2], \"a\": 1.0 }").await.status, 422);
    assert_eq!(stage.hits(), 2);
}

async fn a_form_under_another_boundary_is_the_same(on: On) {
    let stage = Stage::new(on, orders()).await;
    let send = |boundary: &str, value: &str| {
        let body =
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n--{boundary}--\r\n");
        stage.post("/up", "k").header("content-type", format!("multipart/form-data; boundary={boundary}")).body(body)
    };
    assert!(!is_replay(&send("one", "x").await));
    assert!(is_replay(&send("another", "x").await));
    assert_eq!(send("one", "y").await.status, 422);
}

/// ID-40, as far as limits go.
async fn a_refused_retry_touches_nothing(on: On) {
    let limits = "[rate_limit.policies.few]\nlimit = \"2/h\"\nkey = \"header:x-counted\"\n\
                  [rate_limit.tiers]\nanonymous = [\"few\"]\n";
    let stage = Stage::with(on, orders(), limits).await;
    let send = |counted: &str| stage.order("k").header("x-counted", counted);
    assert_eq!(send("a").await.status, 201);
    assert!(is_replay(&send("a").await));
    let limited = send("a").await;
    assert_eq!((limited.status, limited.problem()), (429, "quota-exceeded".into()));
    assert!(is_replay(&send("b").await), "the record is intact");
    assert_eq!(stage.hits(), 1);
}
