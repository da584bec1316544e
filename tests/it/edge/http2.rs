//! TLS by ALPN: HTTP/1.1 and HTTP/2, and the bounds an HTTP/2 client is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use vestibule_testkit::frames::{self, Kind};
use vestibule_testkit::{Alpn, Certs, Gate, H2Client, H2Request, Origin, Proxy, Reply, Setup};

pub async fn proxy(certs: &Certs, origin: &Origin, toml: &str) -> Proxy {
    let toml = format!("[server]\ntls = {}\n{toml}", certs.tls_toml());
    Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await
}

#[tokio::test]
async fn http1_over_tls_is_served() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    for alpn in [&[Alpn::Http11][..], &[]] {
        let mut raw = proxy.connect_tls(&certs, alpn).await;
        for _ in 0..2 {
            assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
        }
    }
    let received = origin.last();
    assert_eq!((received.field("x-forwarded-proto"), received.field("via")), ("https", "1.1 vestibule"));
    assert!(proxy.wait_access(4).await.iter().all(|line| line["tls"] == true && line["protocol"] == "HTTP/1.1"));
    // A client that speaks no TLS gets nothing.
    assert!(proxy.get("/").try_send().await.is_err());
}

#[tokio::test]
async fn http2_is_chosen_by_alpn_and_said_upstream() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let answer = client.send(H2Request::new("POST", "/x?y").header("x-a", "1").body("four")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let received = origin.last();
    assert_eq!(
        (received.version.as_str(), received.target.as_str(), received.text().as_str()),
        ("HTTP/1.1", "/x?y", "four")
    );
    assert_eq!((received.field("host"), received.field("via")), ("localhost", "2.0 vestibule"));
    assert_eq!(received.field("x-forwarded-host"), "localhost");
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!((&line["protocol"], &line["tls"]), (&"HTTP/2".into(), &true.into()));
}

/// SEC-14: a head of HTTP/2 has the bounds of one of HTTP/1, and its stream alone is refused.
#[tokio::test]
async fn a_head_is_bounded_in_fields_and_bytes() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "max_header_bytes = \"8KiB\"\n").await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let fields = |count: usize, length: usize| {
        let value = "v".repeat(length);
        (0..count).fold(H2Request::new("GET", "/"), |request, n| request.header(&format!("x-{n}"), &value))
    };
    for (request, status) in
        [(fields(100, 0), 200), (fields(257, 0), 431), (fields(2, 3000), 200), (fields(3, 3000), 431)]
    {
        let before = super::blocked(&proxy).await;
        let answer = client.send(request).await;
        assert_eq!(answer.status, status);
        // Too many bytes are the protocol's own to refuse, which says no more than that.
        if status == 431 && !answer.text().is_empty() {
            assert_eq!(answer.problem(), "header-too-large");
            assert_eq!(super::blocked_since(&proxy, &before).await, super::once("header_size"));
        }
    }
    assert_eq!(origin.hits(), 2);
}

#[tokio::test]
async fn a_hundred_streams_at_once_are_served() {
    let certs = Certs::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("together").once(&held));
    let proxy = proxy(&certs, &origin, "").await;
    let client = Arc::new(H2Client::connect_tls(proxy.address(), &certs).await);
    let mut streams = JoinSet::new();
    for n in 0..100 {
        let client = Arc::clone(&client);
        streams.spawn(async move { client.get(&format!("/{n}")).await });
    }
    // All of them are there before one is answered.
    origin.wait_hits(100).await;
    gate.open();
    for answer in streams.join_all().await {
        assert_eq!((answer.status, answer.text().as_str()), (200, "together"));
    }
}

/// Section 3: what a client is told about its bounds.
#[tokio::test]
async fn the_bounds_are_announced() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "max_header_bytes = \"32KiB\"\n").await;
    let mut raw = open(&proxy, &certs).await;
    let (mut settings, mut window) = (HashMap::new(), None);
    while settings.is_empty() || window.is_none() {
        let frame = raw.frame().await.expect("a frame");
        if frame.is(Kind::Settings) && frame.flags & frames::ACK == 0 {
            for setting in frame.payload.chunks_exact(6) {
                let id = u16::from_be_bytes([setting[0], setting[1]]);
                settings.insert(id, u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]));
            }
        } else if frame.is(Kind::WindowUpdate) && frame.stream == 0 {
            window = Some(u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes")));
        }
    }
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MAX_HEADER_LIST_SIZE: u16 = 6;
    assert_eq!(settings.get(&MAX_CONCURRENT_STREAMS), Some(&100));
    assert_eq!(settings.get(&INITIAL_WINDOW_SIZE).copied().unwrap_or(65_535), 64 * 1024);
    assert_eq!(settings.get(&MAX_HEADER_LIST_SIZE), Some(&(32 * 1024)));
    // RFC 9113 section 6.9.2: a connection begins with 65,535.
    assert_eq!(window.map(|more| more + 65_535), Some(1 << 20));
}

/// A refusal ends its stream and not the connection.
#[tokio::test]
async fn a_refused_stream_leaves_the_others_alone() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "max_body_bytes = \"1KiB\"\n").await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    for (request, status, slug) in [
        (H2Request::new("PURGE", "/"), 405, "method-not-allowed"),
        (H2Request::new("GET", "/%zz"), 400, "bad-target"),
        (H2Request::new("GET", "/").header("expect", "x"), 417, "expectation-failed"),
        (H2Request::new("POST", "/").header("content-length", "1025").body(vec![0; 1025]), 413, "content-too-large"),
        (H2Request::new("POST", "/").body(vec![0; 1025]), 413, "content-too-large"),
    ] {
        let what = format!("{request:?}");
        let answer = client.send(request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, slug), "{what}");
        assert_eq!(client.get("/").await.status, 200, "{what}");
    }
}

/// Section 3: a connection without streams ends after idle_timeout, PINGs notwithstanding.
#[tokio::test]
async fn an_idle_connection_is_closed_however_it_pings() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "idle_timeout = \"1s\"\n").await;
    let mut raw = open(&proxy, &certs).await;
    let began = Instant::now();
    while raw.try_write(frames::frame(Kind::Ping, 0, 0, b"12345678")).await.is_ok() {
        match tokio::time::timeout(Duration::from_millis(200), raw.frame()).await {
            Ok(None) => break,
            Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => {}
        }
        assert!(began.elapsed() < Duration::from_secs(5), "PINGs keep it open");
    }
    assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
}

/// A TLS client that says nothing behind its handshake shares the head's deadline.
#[tokio::test]
async fn a_client_that_never_sends_its_preface_is_closed() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "header_timeout = \"1s\"\nidle_timeout = \"60s\"\n").await;
    let began = Instant::now();
    let mut raw = proxy.connect_tls(&certs, &[Alpn::H2]).await;
    while raw.frame().await.is_some() {}
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

const HEAD: [(&str, &str); 4] = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "a")];

pub async fn open(proxy: &Proxy, certs: &Certs) -> vestibule_testkit::Raw {
    let mut raw = proxy.connect_tls(certs, &[Alpn::H2]).await;
    raw.write([frames::PREFACE, &frames::settings()].concat()).await;
    raw
}

/// Section 6: the head deadline holds for HTTP/2, also while other streams of the connection are served.
#[tokio::test]
async fn a_head_that_is_never_finished_ends_the_connection() {
    let certs = Certs::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = proxy(&certs, &origin, "header_timeout = \"1s\"\n").await;
    let before = super::blocked(&proxy).await;
    let mut raw = open(&proxy, &certs).await;
    raw.write(frames::headers(1, frames::END_STREAM, &HEAD)).await;
    origin.wait_hits(1).await;
    let began = Instant::now();
    raw.write(frames::frame(Kind::Headers, frames::END_STREAM, 3, &frames::field_block(&HEAD))).await;
    while raw.frame().await.is_some() {}
    let took = began.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(super::blocked_since(&proxy, &before).await, super::once("slow_head"));
    proxy.wait_log("the refused head", |line| line["msg"] == "a request head was refused").await;
    gate.open();
}

/// SEC-15: whether it comes in drops or not at all.
#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    let before = super::blocked(&proxy).await;
    let mut raw = open(&proxy, &certs).await;
    raw.write(frames::headers(1, 0, &HEAD)).await;
    raw.write(frames::headers(3, 0, &HEAD)).await;
    let began = Instant::now();
    let mut ends = HashMap::new();
    while ends.len() < 2 {
        // Pacing: a drop each half second on the first stream, nothing on the other.
        if let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(500), raw.frame()).await {
            if frame.is(Kind::Headers) || frame.is(Kind::RstStream) {
                ends.entry(frame.stream).or_insert(frame);
            }
        } else if !ends.contains_key(&1) {
            raw.write(frames::frame(Kind::Data, 0, 1, b"drop")).await;
        }
        assert!(began.elapsed() < Duration::from_secs(12), "nobody minds: {ends:?}");
    }
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(ends[&1].is(Kind::Headers) && ends[&3].is(Kind::Headers), "{ends:?}");
    for line in proxy.wait_access(2).await {
        assert_eq!((&line["status"], &line["problem"]), (&408.into(), &"request-timeout".into()));
    }
    assert_eq!(super::blocked(&proxy).await["slow_body"] - before["slow_body"], 2);
}

/// A client that is still sending when it has its answer is not reset at once: some drop the answer then.
#[tokio::test]
async fn an_answer_to_an_upload_under_way_is_not_followed_by_a_reset() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "max_body_bytes = \"1KiB\"\n").await;
    let mut raw = open(&proxy, &certs).await;
    raw.write(frames::headers(1, 0, &HEAD)).await;
    raw.write(frames::frame(Kind::Data, 0, 1, &[b'x'; 4096])).await;
    let mut ended = false;
    while !ended {
        let frame = raw.frame().await.expect("a frame");
        assert!(!frame.is(Kind::RstStream), "{frame:?}");
        ended = frame.stream == 1 && frame.flags & frames::END_STREAM != 0;
    }
    raw.write(frames::frame(Kind::Data, frames::END_STREAM, 1, &[b'x'; 4096])).await;
    // The answer to a PING comes behind whatever the end of the stream has caused.
    raw.write(frames::frame(Kind::Ping, 0, 0, b"12345678")).await;
    loop {
        let frame = raw.frame().await.expect("a frame");
        assert!(!frame.is(Kind::RstStream), "{frame:?}");
        if frame.is(Kind::Ping) && frame.flags & frames::ACK != 0 {
            break;
        }
    }
}

/// Idle time counts from the end of the last stream, and the client is told to go.
#[tokio::test]
async fn a_connection_is_not_idle_while_a_stream_is_served() {
    let certs = Certs::new();
    let origin = Origin::replying(|_| Reply::ok("slow").after(Duration::from_millis(900)));
    let proxy = proxy(&certs, &origin, "idle_timeout = \"1s\"\n").await;
    let mut raw = open(&proxy, &certs).await;
    raw.write(frames::headers(1, frames::END_STREAM, &HEAD)).await;
    let (mut answered, mut told) = (None, false);
    while let Some(frame) = raw.frame().await {
        if frame.stream == 1 && frame.flags & frames::END_STREAM != 0 {
            answered = Some(Instant::now());
        }
        told |= frame.is(Kind::GoAway);
        if told {
            break;
        }
    }
    let idle = answered.expect("an answer").elapsed();
    assert!(told && (Duration::from_millis(700)..Duration::from_secs(4)).contains(&idle), "{idle:?}");
}

/// A request that crosses the GOAWAY of an idle connection is acknowledged by the second GOAWAY, so it is served.
#[tokio::test]
async fn a_request_that_crosses_the_goaway_is_served() {
    let certs = Certs::new();
    let origin = Origin::replying(|_| Reply::ok("slow").after(Duration::from_millis(1800)));
    let proxy = proxy(&certs, &origin, "idle_timeout = \"1s\"\n").await;
    let mut raw = open(&proxy, &certs).await;
    let (mut told, mut answered) = (false, false);
    while let Some(frame) = raw.frame().await {
        if frame.is(Kind::GoAway) && !told {
            told = true;
            raw.write(frames::headers(1, frames::END_STREAM, &HEAD)).await;
        }
        if frame.is(Kind::Ping) && frame.flags & frames::ACK == 0 {
            raw.write(frames::frame(Kind::Ping, frames::ACK, 0, &frame.payload)).await;
        }
        answered |= frame.stream == 1 && frame.flags & frames::END_STREAM != 0;
    }
    assert!(told && answered, "told: {told}, answered: {answered}");
    assert_eq!(proxy.wait_access(1).await[0]["end"], "ok");
}

/// DI-16: an HTTP/1.1 server that demands a length gets one.
#[tokio::test]
async fn a_post_without_a_body_has_a_length() {
    let certs = Certs::new();
    let demanding = |received: &vestibule_testkit::Received| {
        if received.fields.has("content-length") { Reply::ok("ok") } else { Reply::new(411) }
    };
    let origin = Origin::replying(demanding);
    let proxy = proxy(&certs, &origin, "").await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    for method in ["POST", "PUT", "PATCH"] {
        let answer = client.send(H2Request::new(method, "/")).await;
        assert_eq!((answer.status, origin.last().field("content-length")), (200, "0"), "{method}");
    }
    assert_eq!(client.get("/").await.status, 411);
}
