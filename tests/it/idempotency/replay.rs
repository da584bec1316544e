//! The first reply, given again.

use super::stage::{On, Stage, is_replay, keyed, on_every_store, order, orders};
use vestibule_testkit::{Alpn, BodyEnd, Certs, H2Client, H2Request, Origin, Proxy, Raw, Reply};

on_every_store! {
    the_first_request_is_executed_and_ninety_nine_repetitions_are_replayed,
    status_and_fields_are_kept_and_those_of_the_moment_are_not,
    replies_without_a_body_have_none_when_repeated,
    the_marker_is_readable_across_origins,
    another_key_is_another_order,
    client_errors_are_replies,
    a_coding_the_retry_does_not_take_is_undone,
    a_reply_of_every_byte_comes_back,
}

/// ID-01, ID-02.
async fn the_first_request_is_executed_and_ninety_nine_repetitions_are_replayed(on: On) {
    let stage = Stage::new(on, orders()).await;
    let first = stage.order("k1").await;
    assert_eq!((first.status, first.text()), (201, "{\"order\":1}".to_owned()));
    assert!(!first.fields.has("idempotent-replayed"));
    assert_eq!(stage.origin.last().field("idempotency-key"), "k1", "the application sees the key");
    let mut raw = stage.proxy.connect().await;
    let mut traces = std::collections::BTreeSet::from([first.field("x-trace-id").to_owned()]);
    for _ in 0..99 {
        let again = stage.order("k1").on(&mut raw).await;
        assert!(is_replay(&again));
        assert_eq!((again.status, &again.body), (201, &first.body));
        assert_eq!(again.field("location"), "/orders/1");
        assert_eq!(again.field("content-length"), first.field("content-length"));
        assert!(again.fields.has("date"));
        traces.insert(again.field("x-trace-id").to_owned());
    }
    assert_eq!(traces.len(), 100, "each has a trace of its own");
    assert_eq!(stage.hits(), 1);
    stage.assert_counted(&[("executed", 1), ("replayed", 99)]).await;
    let line = &stage.proxy.wait_access(100).await[99];
    assert_eq!((&line["idempotency"], &line["answered_by"]), (&"replayed".into(), &"idempotency".into()));
}

/// ID-07.
async fn status_and_fields_are_kept_and_those_of_the_moment_are_not(on: On) {
    let stage = Stage::with(
        on,
        Origin::replying(|_| {
            Reply::new(201)
                .field("Location", "/orders/7")
                .field("ETag", "\"v7\"")
                .field("Content-Location", "/orders/7.json")
                .field("Link", "</a>; rel=next")
                .field("Link", "</b>; rel=prev, </c>")
                .field("X-Name", "J\u{f6}rg")
                .field("Vary", "Accept")
                .field("Set-Cookie", "sid=secret")
                .field("Retry-After", "9")
                .field("Server-Timing", "db;dur=5")
                .field("X-Request-Id", "abc")
                .field("RateLimit-Limit", "10")
                .field("X-RateLimit-Remaining", "9")
                .field("Connection", "x-private")
                .field("X-Private", "1")
                .body("made")
        }),
        "[rate_limit.policies.wide]\nlimit = \"1000/s\"\n[rate_limit.tiers]\nanonymous = [\"wide\"]\n",
    )
    .await;
    let (first, again) = (stage.order("k").await, stage.order("k").await);
    for name in ["location", "etag", "content-location", "x-name", "vary"] {
        assert_eq!(again.field(name), first.field(name), "{name}");
        assert!(again.fields.has(name), "{name}");
    }
    let links = |answer: &vestibule_testkit::Answer| {
        answer
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
            .map(|(_, v)| v.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(links(&again), ["</a>; rel=next", "</b>; rel=prev, </c>"]);
    assert_eq!(first.field("set-cookie"), "sid=secret", "the first reply has all its fields");
    assert_eq!(first.field("retry-after"), "9");
    for name in [
        "set-cookie",
        "retry-after",
        "server-timing",
        "x-request-id",
        "ratelimit-limit",
        "x-ratelimit-remaining",
        "x-private",
    ] {
        assert!(!again.fields.has(name), "{name}");
    }
    assert!(again.fields.has("ratelimit"), "the outer plugins do their part");
    assert_eq!(stage.hits(), 1);
}

/// ID-07.
async fn replies_without_a_body_have_none_when_repeated(on: On) {
    let stage = Stage::new(
        on,
        Origin::replying(|request| match request.target.as_str() {
            "/gone" => Reply::new(204).field("x-a", "1"),
            "/elsewhere" => Reply::new(303).field("location", "/orders/1").body(""),
            _ => Reply::ok(""),
        }),
    )
    .await;
    let mut raw = stage.proxy.connect().await;
    for (target, status) in [("/gone", 204), ("/elsewhere", 303), ("/", 200)] {
        for repetition in 0..3 {
            let answer = stage.post(target, &format!("k{target}")).on(&mut raw).await;
            assert_eq!((answer.status, answer.body.len()), (status, 0));
            assert_eq!(is_replay(&answer), repetition > 0);
            assert_eq!(answer.fields.has("content-length"), status != 204, "{target}");
        }
    }
    assert_eq!(stage.hits(), 3);
}

/// ID-08.
async fn the_marker_is_readable_across_origins(on: On) {
    let stage = Stage::new(
        on,
        Origin::replying(|request| {
            order(request)
                .field("access-control-allow-origin", "https://app.example.com")
                .field("access-control-expose-headers", "Location")
        }),
    )
    .await;
    let first = stage.order("k").await;
    assert_eq!(first.field("access-control-expose-headers"), "Location");
    let again = stage.order("k").await;
    let exposed: Vec<_> =
        again.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("access-control-expose-headers")).collect();
    assert!(exposed.iter().any(|(_, value)| value.contains("Idempotent-Replayed")), "{exposed:?}");
    assert!(exposed.iter().any(|(_, value)| value.contains("Location")), "{exposed:?}");
}

/// ID-16.
async fn another_key_is_another_order(on: On) {
    let stage = Stage::new(on, orders()).await;
    let (one, two) = (stage.order("k1").await, stage.order("k2").await);
    assert!(!is_replay(&one) && !is_replay(&two));
    assert_ne!(one.body, two.body);
    assert_eq!(stage.hits(), 2);
}

/// ID-18.
async fn client_errors_are_replies(on: On) {
    let stage = Stage::new(
        on,
        Origin::replying(|request| {
            Reply::new(request.target[1..].parse().expect("a status")).body(format!("{}", request.number))
        }),
    )
    .await;
    for (hits, status) in [400_u16, 404, 409, 422].into_iter().enumerate() {
        let (target, key) = (format!("/{status}"), format!("k{status}"));
        let first = stage.post(&target, &key).await;
        let again = stage.post(&target, &key).await;
        assert_eq!((first.status, again.status), (status, status));
        assert!(!is_replay(&first) && is_replay(&again));
        assert_eq!(again.body, first.body);
        assert_eq!(stage.hits(), hits + 1);
    }
}

async fn a_coding_the_retry_does_not_take_is_undone(on: On) {
    const GZIP: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xce\xcf\x2b\x49\xcd\x2b\x01\x00\xa9\x30\xc5\xfe\x07\x00\x00\x00";
    let coded = |_: &_| Reply::new(201).field("content-encoding", "gzip").field("etag", "\"a\"").body(GZIP);
    let stage = Stage::new(on, Origin::replying(coded)).await;
    let first = stage.order("k").header("accept-encoding", "gzip").await;
    assert_eq!(first.body, GZIP);
    let same = stage.order("k").header("accept-encoding", "gzip, br").await;
    assert_eq!((same.field("content-encoding"), &same.body[..], same.field("etag")), ("gzip", GZIP, "\"a\""));
    let plain = stage.order("k").header("accept-encoding", "identity").await;
    assert!(is_replay(&plain) && !plain.fields.has("content-encoding"));
    assert_eq!((plain.text(), plain.field("etag"), plain.field("content-length")), ("content".into(), "W/\"a\"", "7"));
}

async fn a_reply_of_every_byte_comes_back(on: On) {
    let body: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    let reply = Reply::new(200).chunks_of(60_000, std::time::Duration::ZERO, body.clone());
    let stage = Stage::new(on, Origin::replying(move |_| reply.clone())).await;
    for repetition in 0..3 {
        let answer = stage.order("k").await;
        assert_eq!((answer.body == body, answer.body_end), (true, BodyEnd::Complete));
        assert_eq!(is_replay(&answer), repetition > 0);
    }
    assert_eq!(stage.hits(), 1);
}

/// A key is the same over both versions of HTTP.
#[tokio::test]
async fn what_was_executed_over_http1_is_replayed_over_http2() {
    let certs = Certs::new();
    let origin = orders();
    let toml = format!("[server]\ntls = {}\n[idempotency]\nprincipal = [\"authorization\"]\n", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::Http11]).await;
    let first = keyed(proxy.post("/orders"), "k").header("host", "localhost:443").body("one").on(&mut raw).await;
    assert_eq!(first.status, 201);
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let request = || {
        H2Request::new("POST", "/orders")
            .header("authorization", "Bearer alice")
            .header("idempotency-key", "\"k\"")
            .body("one")
    };
    let again = client.send(request()).await;
    assert_eq!((again.status, &again.body, is_replay(&again)), (201, &first.body, true));
    assert_eq!(origin.hits(), 1);
}
