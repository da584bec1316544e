//! Clients of other kinds: HTTP/1.0, and those that keep their connection.

use super::lane::Lane;
use vestibule_testkit::{Origin, Raw, Received, Reply};

fn reply(request: &Received) -> Reply {
    match request.target.as_str() {
        "/chunked" => Reply::new(200).chunk("he").chunk("llo"),
        "/large" => Reply::new(200).chunks_of(100_000, std::time::Duration::ZERO, vec![b'.'; 2 << 20]),
        "/interim" => Reply::ok("hello").interim(103, &[("link", "</a>")]),
        "/304" => Reply::new(304).field("etag", "\"v1\""),
        _ => Reply::ok("hello"),
    }
}

/// RFC 9112 sections 6.1 and 9.3: no transfer coding for HTTP/1.0, and the connection ends unless it was asked for.
#[tokio::test]
async fn an_http10_client_gets_what_it_can_read() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = lane.before(&origin.url(), "").await;
        for (target, length) in [("/length", 5), ("/chunked", 5), ("/large", 2 << 20), ("/interim", 5)] {
            for host in ["", "Host: app.test\r\n"] {
                let case = format!("{lane:?}, {target}, {host:?}");
                let mut raw = proxy.connect().await;
                raw.write(format!("GET {target} HTTP/1.0\r\n{host}\r\n")).await;
                let answer = raw.answer().await;
                assert_eq!((answer.status, answer.body.len()), (200, length), "{case}");
                assert!(!answer.fields.has("transfer-encoding"), "{case}: {:?}", answer.fields);
                // RFC 9110 section 15.2: an HTTP/1.0 client is sent no interim response.
                assert!(answer.interim.is_empty(), "{case}");
                assert!(raw.closed().await.is_empty(), "{case}: the connection ends");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_a_304_and_after_a_head() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        for (method, target, status) in
            [("GET", "/304", 304), ("HEAD", "/length", 200), ("GET", "/chunked", 200), ("HEAD", "/chunked", 200)]
        {
            assert_eq!(proxy.request(method, target).on(&mut raw).await.status, status, "{lane:?}, {method} {target}");
        }
        assert_eq!(proxy.get("/length").on(&mut raw).await.text(), "hello", "{lane:?}");
    }
}

/// a refused body is not awaited; up to 64 KiB are drained to keep the connection.
#[tokio::test]
async fn a_connection_goes_on_after_a_refused_post_with_a_small_body() {
    let limits = "[rate_limit.policies.one]\nlimit = \"1/h\"\nburst = 1\n[rate_limit.tiers]\nanonymous = [\"one\"]\n";
    for lane in Lane::BOTH {
        let origin = Origin::returning(200, "hello");
        let proxy = lane.before(&origin.url(), limits).await;
        let mut raw = proxy.connect().await;
        assert_eq!(proxy.post("/").body("first").on(&mut raw).await.status, 200);
        for _ in 0..3 {
            assert_eq!(proxy.post("/").body(vec![b'.'; 60_000]).on(&mut raw).await.status, 429, "{lane:?}");
        }
        let answer = proxy.post("/").body(vec![b'.'; 200_000]).on(&mut raw).await;
        assert_eq!((answer.status, answer.field("connection")), (429, "close"), "{lane:?}");
        raw.closed().await;
        assert_eq!(origin.hits(), 1);
    }
}

/// SEC-03: requests sent at once are answered in order.
#[tokio::test]
async fn a_client_that_does_not_wait_is_answered_in_order() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = Raw::connect(proxy.address()).await;
        let one = proxy.get("/length").encoded();
        raw.write([&one[..], &one[..]].concat()).await;
        for _ in 0..2 {
            assert_eq!(raw.answer().await.text(), "hello", "{lane:?}");
        }
        assert_eq!(origin.hits(), 2, "{lane:?}");
    }
}
