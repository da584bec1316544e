//! What is sent again, and what never is.

use super::lane::Lane;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use vestibule_testkit::origin::{Cut, Then};
use vestibule_testkit::{Alpn, Certs, Fault, H2Origin, H2Reply, Origin, Over, Proxy, Raw, Received, Relay, Reply};

async fn ask(proxy: &Proxy, method: &str, body: bool) -> (u16, String) {
    let request = proxy.request(method, "/");
    let request = if body { request.body("once") } else { request };
    let answer = request.await;
    (answer.status, answer.problem())
}

/// A connection that dies with its second request.
fn second_dies(request: &Received) -> Reply {
    if request.nth_on_connection == 2 { Reply::dying() } else { Reply::ok("hello") }
}

/// SEC-17: a reused connection that ended before any byte of an answer.
#[tokio::test]
async fn on_a_reused_connection_that_dies_only_harmless_requests_are_sent_again() {
    for lane in Lane::BOTH {
        for (method, body, again) in [
            ("GET", false, true),
            ("HEAD", false, true),
            ("OPTIONS", false, true),
            ("POST", true, false),
            ("POST", false, false),
            ("PUT", true, false),
            ("PATCH", true, false),
            ("DELETE", false, false),
            ("GET", true, false),
        ] {
            let case = format!("{lane:?}, {method}, body: {body}");
            let origin = Origin::replying(second_dies);
            let proxy = lane.before(&origin.url(), "").await;
            let mut raw = proxy.connect().await;
            // On one connection, so that the upstream's is back in the pool before the next request looks for it.
            let request = || {
                let request = proxy.request(method, "/");
                if body { request.body("once") } else { request }
            };
            assert_eq!(request().on(&mut raw).await.status, 200, "{case}");
            let answer = request().on(&mut raw).await;
            if again {
                assert_eq!((answer.status, origin.hits(), origin.connections()), (200, 3, 2), "{case}");
            } else {
                assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-unreachable"), "{case}");
                assert_eq!(origin.hits(), 2, "{case}: it arrived once");
            }
        }
    }
}

/// SEC-17: an interim response is a byte of an answer. An HTTP/1.0 client is not told of it, which changes nothing.
#[tokio::test]
async fn nothing_is_sent_again_once_an_interim_response_came() {
    for lane in Lane::BOTH {
        for version in ["1.1", "1.0"] {
            let origin = Origin::replying(|request| {
                let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
                if request.target == "/dies" { Reply::raw(early).then(Then::HangUp) } else { Reply::ok("hello") }
            });
            let proxy = lane.before(&origin.url(), "").await;
            let mut raw = proxy.connect().await;
            for (target, status) in [("/", 200), ("/dies", 502)] {
                raw.write(format!("GET {target} HTTP/{version}\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")).await;
                assert_eq!(raw.answer().await.status, status, "{lane:?}, {version}");
            }
            assert_eq!((origin.hits(), origin.connections()), (2, 1), "{lane:?}, {version}: it arrived once");
        }
    }
}

#[tokio::test]
async fn on_a_fresh_connection_that_dies_nothing_is_sent_again() {
    for lane in Lane::BOTH {
        for method in ["GET", "POST"] {
            let origin = Origin::replying(|_| Reply::dying());
            let proxy = lane.before(&origin.url(), "").await;
            assert_eq!(
                ask(&proxy, method, false).await,
                (502, "upstream-unreachable".to_owned()),
                "{lane:?}, {method}"
            );
            assert_eq!(origin.hits(), 1, "{lane:?}, {method}");
        }
    }
}

#[tokio::test]
async fn once_a_byte_of_an_answer_was_seen_nothing_is_sent_again() {
    for lane in Lane::BOTH {
        for cut in [Cut::Head(1), Cut::Head(30), Cut::Body(2)] {
            let origin = Origin::replying(move |request: &Received| match request.nth_on_connection {
                1 => Reply::ok("hello"),
                _ => Reply::ok("hello").cut(cut),
            });
            let proxy = lane.before(&origin.url(), "").await;
            let mut raw = proxy.connect().await;
            assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
            let answer = proxy.get("/").on(&mut raw).await;
            assert!(answer.status == 502 || answer.text() != "hello", "{lane:?}, {cut:?}");
            assert_eq!(origin.hits(), 2, "{lane:?}, {cut:?}");
        }
    }
}

/// A deadline is never a reason to send again, whatever the connection.
#[tokio::test]
async fn a_request_that_timed_out_on_a_reused_connection_is_not_sent_again() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|request: &Received| match request.nth_on_connection {
            1 => Reply::ok("hello"),
            _ => Reply::never(),
        });
        let proxy = lane.before(&origin.url(), "[upstream]\nread_timeout = \"300ms\"\n").await;
        let mut raw = proxy.connect().await;
        assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
        assert_eq!(proxy.get("/").on(&mut raw).await.status, 504, "{lane:?}");
        assert_eq!(origin.hits(), 2, "{lane:?}");
    }
}

/// SEC-17: where no byte of the request was written, any method gets two more attempts, and not three.
#[tokio::test]
async fn a_refused_connection_gets_two_more_attempts() {
    for lane in Lane::BOTH {
        for (method, body) in [("GET", false), ("POST", true), ("DELETE", false)] {
            let origin = Origin::returning(200, "hello");
            let relay = Relay::to(origin.address());
            relay.set(Fault::Refuse).await;
            let proxy = lane.before(&format!("http://{}", relay.address()), "").await;
            let case = format!("{lane:?}, {method}");
            assert_eq!(ask(&proxy, method, body).await, (502, "upstream-unreachable".to_owned()), "{case}");
            let count = "http_client_request_duration_seconds_count";
            let labels = [("error_type", "connect_refused")];
            let scrape = proxy.wait_metrics("the attempts", |scrape| scrape.value(count, &labels) > 0.0).await;
            assert_eq!(scrape.value(count, &labels), 3.0, "{case}");
            relay.set(Fault::None).await;
            assert_eq!(ask(&proxy, method, body).await.0, 200, "{case}");
        }
    }
}

/// "The pool drops a connection the upstream has closed before using it, so ordinary keep-alive endings are not 502s."
#[tokio::test]
async fn ordinary_endings_of_kept_connections_are_not_noticed() {
    for lane in Lane::BOTH {
        for then in [Then::Close, Then::HangUp, Then::Reset] {
            let origin = Origin::replying(move |_| Reply::ok("hello").then(then));
            let proxy = lane.before(&origin.url(), "").await;
            let mut raw = proxy.connect().await;
            for method in ["GET", "POST", "GET", "DELETE", "PUT"] {
                // A reset may overtake the body it follows; what counts here is the connection after it.
                let answer = proxy.request(method, "/").on(&mut raw).await;
                if then != Then::Reset {
                    assert_eq!(
                        (answer.status, answer.text()),
                        (200, "hello".to_owned()),
                        "{lane:?}, {then:?}, {method}"
                    );
                }
                if answer.fields.lists("connection", "close") || answer.status != 200 {
                    raw = proxy.connect().await;
                }
                origin.wait("the end of the connection", |counts| counts.open == 0).await;
            }
        }
    }
}

/// RFC 9113 section 8.7: a stream above a GOAWAY or refused was not processed; a POST is then resent without harm.
#[tokio::test]
async fn streams_that_an_http2_upstream_did_not_process() {
    for lane in Lane::BOTH {
        let origin = H2Origin::going_away(Over::Cleartext, 1, |_| H2Reply::ok("hello"));
        let proxy = lane.before(&origin.url(), "").await;
        for _ in 0..2 {
            assert_eq!(proxy.get("/").await.status, 200, "{lane:?}");
        }
    }
}

/// DI-15: what an HTTP/2 upstream says it did not process is sent again whatever its method, with its body, streamed and
/// held.
#[tokio::test]
async fn writes_that_an_http2_upstream_refused_are_not_lost() {
    let certs = Certs::new();
    for keyed in [false, true] {
        let (asked, processed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (ask, process) = (Arc::clone(&asked), Arc::clone(&processed));
        // The first connections say GOAWAY to every stream.
        let origin = H2Origin::going_away(Over::Cleartext, 2, move |request| {
            if ask.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                return H2Reply::refused();
            }
            process.fetch_add(1, Ordering::Relaxed);
            H2Reply::ok(request.body.clone())
        });
        let toml = format!("[server]\ntls = {}\n[idempotency]\nprincipal = [\"none\"]\n", certs.tls_toml());
        let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
        let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::Http11]).await;
        for n in 0..60 {
            let key = if keyed { format!("idempotency-key: \"{n}\"\r\n") } else { String::new() };
            let body = format!("write {n}");
            let framing = if n % 2 == 0 {
                format!("content-length: {}\r\n\r\n{body}", body.len())
            } else {
                format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            };
            raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{key}{framing}")).await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.text()), (200, body), "keyed: {keyed}, {n}");
        }
        assert_eq!(processed.load(Ordering::Relaxed), 60, "keyed: {keyed}");
        assert!(asked.load(Ordering::Relaxed) > 60, "some were refused");
    }
}

/// DI-15: the same while a body is on its way. It goes on with the next attempt, whichever part of it has come.
#[tokio::test]
async fn a_write_that_was_refused_before_its_body_had_come_is_not_lost() {
    for keyed in [false, true] {
        let asked = AtomicUsize::new(0);
        let refuses = move |_: &Received| asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let origin = H2Origin::picky(Over::Cleartext, refuses, |request| H2Reply::ok(request.body.clone()));
        let proxy = Proxy::before(crate::bin(), &origin.url(), "[idempotency]\nprincipal = [\"none\"]\n").await;
        let mut raw = proxy.connect().await;
        for (n, pause) in [0, 0, 0, 0, 1, 20, 100].into_iter().enumerate() {
            let key = if keyed { format!("idempotency-key: \"{n}\"\r\n") } else { String::new() };
            raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{key}content-length: 10\r\n\r\n12345")).await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            raw.write("67890").await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "1234567890"), "keyed: {keyed}, {pause} ms");
        }
        assert_eq!(origin.hits(), 14, "keyed: {keyed}, each was refused once");
        proxy
            .wait_metrics("nothing to be under way", |scrape| {
                scrape.matching("http_server_active_requests", &[]).all(|sample| sample.value == 0.0)
            })
            .await;
    }
}

/// More of a body than is kept cannot be sent again.
#[tokio::test]
async fn a_long_body_that_was_refused_half_way_is_not_sent_again() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::refused());
    let proxy = Lane::Stream.before(&origin.url(), "").await;
    let answer = proxy.post("/").body(vec![b'x'; 256 * 1024]).await;
    assert_eq!((answer.status, origin.hits()), (502, 1));
    let answer = proxy.post("/").body("short").await;
    assert_eq!((answer.status, origin.hits()), (502, 4), "and a short one not for ever");
}

/// A connection that was made for another attempt is nobody else's, and goes when its stream has failed.
#[tokio::test]
async fn streams_that_fail_leave_no_connections_behind() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::refused());
    let proxy = Lane::Stream.before(&origin.url(), "").await;
    let before = proxy.open_files();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.status, 502);
    }
    assert_eq!(origin.hits(), 60);
    // They may be idle for a second.
    vestibule_testkit::within("connections to be closed", async {
        while origin.counts().open > 1 || proxy.open_files() > before + 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
