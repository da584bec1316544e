//! HTTP/2 on a plain listener, by prior knowledge.

use super::{blocked, blocked_since, proxy};
use std::time::{Duration, Instant};
use vestibule_testkit::frames::{self, Kind};
use vestibule_testkit::{H2Client, H2Origin, H2Reply, H2Request, Origin, Over, Raw};

const GET: [(&str, &str); 4] = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")];

/// DI-08: what HTTP/2 over TLS does, without TLS.
#[tokio::test]
async fn http2_is_served_by_prior_knowledge() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let client = H2Client::connect(proxy.address()).await;
    let answer = client.send(H2Request::new("POST", "/x?y").body("four")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));

    let received = origin.last();
    assert_eq!((received.target.as_str(), received.text().as_str()), ("/x?y", "four"));
    assert_eq!((received.field("via"), received.field("x-forwarded-proto")), ("2.0 vestibule", "http"));
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!((&line["protocol"], &line["tls"]), (&"HTTP/2".into(), &false.into()));

    // The same port serves HTTP/1.1, and does not switch from it.
    let request = proxy.get("/").header("connection", "upgrade, http2-settings").header("upgrade", "h2c");
    assert_eq!(request.header("http2-settings", "AAMAAABkAAQAAP__").await.status, 200);
    for name in ["upgrade", "http2-settings"] {
        assert!(!origin.last().fields.has(name), "{name}");
    }
}

/// DI-08: gRPC needs no TLS on either side.
#[tokio::test]
async fn a_grpc_call_in_clear_brings_its_status() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::grpc(b"pong", 5));
    let proxy = vestibule_testkit::Proxy::before(crate::bin(), &origin.url(), "").await;
    let client = H2Client::connect(proxy.address()).await;
    let call = H2Request::new("POST", "/s/m").header("content-type", "application/grpc").header("te", "trailers");
    let answer = client.send(call.body("\0\0\0\0\x04ping")).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\0\0\0\x04pong"[..]));
    assert_eq!(answer.trailers.get("grpc-status"), Some("5"));
}

/// The head of the reply to stream 1.
async fn answer(raw: &mut Raw) -> bool {
    while let Some(frame) = raw.frame().await {
        if frame.stream == 1 && frame.is(Kind::Headers) {
            // RFC 7541 appendix A: 8 is 200.
            return frame.payload[0] == 0x88;
        }
    }
    false
}

#[tokio::test]
async fn a_preface_is_recognised_wherever_it_is_cut() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let rest = [frames::settings(), frames::headers(1, frames::END_STREAM, &GET)].concat();
    for cut in 1..=frames::PREFACE.len() {
        let mut raw = proxy.connect().await;
        raw.write(&frames::PREFACE[..cut]).await;
        // Far enough apart to be two reads.
        tokio::time::sleep(Duration::from_millis(10)).await;
        raw.write([&frames::PREFACE[cut..], &rest].concat()).await;
        assert!(answer(&mut raw).await, "cut at {cut}");
    }

    let mut raw = proxy.connect().await;
    raw.write([frames::PREFACE, &rest].concat()).await;
    assert!(answer(&mut raw).await, "in one piece");
}

/// DI-08: the head deadline holds for whatever has come.
#[tokio::test]
async fn the_beginning_of_a_preface_has_the_deadline_of_a_head() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nheader_timeout = \"1s\"\nidle_timeout = \"60s\"\n").await;
    for (sent, status) in [("", None), ("PRI *", None), ("P", Some(408)), ("PRIX ", Some(408)), ("POST ", Some(408))] {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        let began = Instant::now();
        // The deadline runs from the first byte, however the others trickle.
        for byte in sent.as_bytes().chunks(1) {
            raw.write(byte).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let expected = match status {
            Some(status) => {
                assert_eq!(raw.answer().await.status, status, "{sent:?}");
                super::once("slow_head")
            }
            None => {
                assert!(raw.closed().await.is_empty(), "{sent:?}");
                Vec::new()
            }
        };
        let lasted = began.elapsed();
        assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(5), "{sent:?}: {lasted:?}");
        assert_eq!(blocked_since(&proxy, &before).await, expected, "{sent:?}");
    }
    assert_eq!(origin.hits(), 0);
}

/// A head that goes on and on is cut as over TLS.
#[tokio::test]
async fn a_head_in_clear_that_is_never_finished_ends_the_connection() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nheader_timeout = \"1s\"\n").await;
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    raw.write([frames::PREFACE, &frames::settings()].concat()).await;
    raw.write(frames::frame(Kind::Headers, frames::END_STREAM, 1, &frames::field_block(&GET))).await;
    while raw.frame().await.is_some() {}
    assert_eq!(blocked_since(&proxy, &before).await, super::once("slow_head"));
    assert_eq!(origin.hits(), 0);
}

/// Bytes that begin like a preface and go on otherwise are the HTTP/1 reader's to refuse.
#[tokio::test]
async fn what_is_almost_a_preface_is_refused_at_once() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for sent in ["PRI * HTTP/2.0\r\n\r\nSX", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "PRI / HTTP/2.0\r\n\r\n"] {
        let mut raw = proxy.connect().await;
        raw.write(sent).await;
        let answer = raw.answer().await;
        assert!(matches!(answer.status, 400 | 405), "{sent:?}: {}", answer.status);
        raw.closed().await;
    }
    assert_eq!(origin.hits(), 0);
}
