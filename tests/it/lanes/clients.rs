//! Clients of other kinds: HTTP/1.0, and those that keep their connection.

use super::lane::Lane;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vestibule_testkit::origin::Then;
use vestibule_testkit::{Origin, Proxy, Raw, Received, Reply, within};

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

/// A client that leaves before its answer is a client that left, whoever answers.
#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_no_fault() {
    let origin = Origin::replying(|request| match request.method.as_str() {
        "POST" => Reply::new(204),
        _ => Reply::ok("here"),
    });
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[idempotency]\nprincipal = [\"none\"]\n").await;
    let keyed = "POST / HTTP/1.1\r\nhost: a\r\nidempotency-key: \"k\"\r\ncontent-length: 0\r\n\r\n";
    let refused = "HEAD / HTTP/1.1\r\nhost: a\r\nexpect: nonsense\r\n\r\n";
    let mut raw = proxy.connect().await;
    raw.write(keyed).await;
    assert_eq!(raw.answer().await.status, 204);
    for _ in 0..10 {
        for request in [keyed, refused] {
            let mut raw = proxy.connect().await;
            raw.write(request).await;
            raw.reset();
        }
    }
    let lines = proxy.wait_access(21).await;
    assert!(lines.iter().all(|line| line["status"] != 500 && line["problem"] != "internal"), "{lines:#?}");
}

/// A body that only the end of its connection delimits does not end in order when it broke off.
#[tokio::test]
async fn an_http10_client_can_tell_a_reply_that_broke_off() {
    let broken = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (what, more, then) in [
        ("ends", "", Then::HangUp),
        ("is reset", "", Then::Reset),
        ("goes on with what is no chunk", "zz\r\n", Then::KeepAlive),
    ] {
        let reply = format!("{broken}{more}");
        let origin = Origin::replying(move |_| Reply::raw(reply.clone()).then(then));
        let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
        for keep_alive in ["", "connection: keep-alive\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(proxy.address()).await.expect("a connection");
            stream.write_all(format!("GET / HTTP/1.0\r\nhost: a\r\n{keep_alive}\r\n").as_bytes()).await.expect("sent");
            let mut received = Vec::new();
            let ended = within("the end", stream.read_to_end(&mut received)).await;
            assert!(ended.is_err(), "it {what}: {:?}", String::from_utf8_lossy(&received));
        }
    }
}

/// The time of a request counts from its first byte, also where that byte could begin another protocol.
#[tokio::test]
async fn a_request_lasts_from_its_first_byte() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    for (first, rest) in [("G", "ET / HTTP/1.1\r\n"), ("P", "OST / HTTP/1.1\r\ncontent-length: 0\r\n")] {
        let mut raw = proxy.connect().await;
        raw.write(first).await;
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        raw.write(format!("{rest}host: a\r\n\r\n")).await;
        let id = raw.answer().await.field("x-trace-id").to_owned();
        let line = crate::observe::line_of(&proxy, &id).await;
        assert!(line["duration_ms"].as_f64().expect("a number") >= 500.0, "{line}");
    }
}
