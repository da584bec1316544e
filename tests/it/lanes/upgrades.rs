//! WebSockets: a tunnel where the route says so, an ordinary request elsewhere (SEC-11).

use super::lane::Lane;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vestibule_testkit::origin::Then;
use vestibule_testkit::{Origin, Proxy, Raw, Received, Reply, within};

const ROUTE: &str = "[[routes]]\nname = \"socket\"\npath = \"/socket\"\nupgrade = true\n";

fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn reply(request: &Received) -> Reply {
    if request.fields.has("upgrade") { Reply::switching("websocket") } else { Reply::ok("plain") }
}

async fn proxy(lane: Lane, origin: &Origin, more: &str) -> Proxy {
    Proxy::before(crate::bin(), &origin.url(), &format!("{more}{}{ROUTE}", lane.toml())).await
}

#[tokio::test]
async fn bytes_pass_both_ways_once_a_route_lets_the_upgrade_through() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = proxy(lane, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        let answer = raw.head_of_answer().await;
        assert_eq!((answer.status, answer.field("upgrade")), (101, "websocket"), "{lane:?}");
        assert!(answer.fields.lists("connection", "upgrade"), "{lane:?}");
        for n in 0..20 {
            let text = format!("message {n};");
            raw.write(&text).await;
            raw.until(&text).await;
        }
        let large = vec![b'x'; 300_000];
        raw.write(&large).await;
        let mut back = 0;
        while back < large.len() {
            back += raw.some().await.len();
        }
        drop(raw);
        origin.wait("the end of the tunnel", |counts| counts.open == 0).await;
        let line = proxy.wait_access(1).await.remove(0);
        assert_eq!(line["status"], 101);
    }
}

/// An origin that does not read while it cannot write must not stop the other way for good.
#[tokio::test]
async fn both_ways_may_be_full_at_once() {
    const EACH_WAY: usize = 24 * 1024 * 1024;
    let origin = Origin::replying(reply);
    let proxy = proxy(Lane::Stream, &origin, "").await;
    let mut stream = tokio::net::TcpStream::connect(proxy.address()).await.expect("connect");
    stream.write_all(handshake("/socket").as_bytes()).await.expect("handshake");
    let (mut back, mut out) = stream.split();
    let sent = async {
        out.write_all(&vec![b'x'; EACH_WAY]).await.expect("the whole of it");
    };
    let received = async {
        // All of what is sent meets itself coming back; the client reads only when much of it is under way.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut total = 0;
        let mut piece = vec![0; 64 * 1024];
        while total < EACH_WAY {
            match back.read(&mut piece).await.expect("bytes") {
                0 => panic!("it ended after {total} bytes"),
                some => total += some,
            }
        }
    };
    within("both ways", async { tokio::join!(sent, received) }).await;
}

#[tokio::test]
async fn a_tunnel_ends_when_the_origin_ends_it() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| {
            Reply::raw(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nbye",
            )
            .then(Then::HangUp)
        });
        let proxy = proxy(lane, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        assert_eq!(raw.head_of_answer().await.status, 101);
        assert_eq!(raw.closed().await, "bye", "{lane:?}");
    }
}

/// A 101 that does not prove that the handshake was read opens no tunnel (RFC 6455 section 4.1).
#[tokio::test]
async fn a_101_that_does_not_accept_the_handshake_is_502() {
    for fields in [
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        "upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        let origin =
            Origin::replying(move |_| Reply::raw(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nbye")));
        let proxy = proxy(Lane::Stream, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-invalid"), "{fields:?}");
    }
}

/// the tunnel closes when neither side sends for the route's `read_timeout`.
#[tokio::test]
async fn a_silent_tunnel_ends_after_read_timeout_and_a_busy_one_does_not() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = proxy(lane, &origin, "[upstream]\nread_timeout = \"500ms\"\n").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        assert_eq!(raw.head_of_answer().await.status, 101);
        // Longer than the deadline in all; the pauses are what is tested.
        for n in 0..6 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            let text = format!("{n};");
            raw.write(&text).await;
            raw.until(&text).await;
        }
        assert_eq!(raw.closed().await, "", "{lane:?}");
    }
}

#[tokio::test]
async fn elsewhere_the_upgrade_is_dropped_and_the_request_served() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = proxy(lane, &origin, "").await;
        let incomplete = handshake("/socket").replace("sec-websocket-version: 13\r\n", "");
        let other = handshake("/socket").replace("upgrade: websocket", "upgrade: h2c");
        let unasked = handshake("/socket").replace("connection: Upgrade", "connection: keep-alive");
        let cases = [
            ("no such route", handshake("/elsewhere")),
            ("no version", incomplete),
            ("h2c", other),
            ("not asked of this connection", unasked),
        ];
        for (case, bytes) in cases {
            let mut raw = Raw::connect(proxy.address()).await;
            raw.write(bytes).await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.text()), (200, "plain".to_owned()), "{lane:?}, {case}");
            let last = origin.last();
            assert!(!last.fields.has("upgrade") && !last.fields.lists("connection", "upgrade"), "{lane:?}, {case}");
            // The connection is an ordinary one.
            assert_eq!(proxy.get("/").on(&mut raw).await.text(), "plain", "{lane:?}, {case}");
        }
    }
}

/// An application that does not want the upgrade answers like any other.
#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_reply() {
    for lane in Lane::BOTH {
        let origin = Origin::returning(403, "no");
        let proxy = proxy(lane, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text()), (403, "no".to_owned()), "{lane:?}");
    }
}

/// A client that leaves before its tunnel is there is not waited for.
#[tokio::test]
async fn a_handshake_whose_client_left_ends() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::never());
        let proxy = proxy(lane, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(handshake("/socket")).await;
        origin.wait_hits(1).await;
        raw.reset();
        let line = proxy.wait_access(1).await.remove(0);
        assert_eq!((&line["end"], &line["problem"]), (&"client_gone".into(), &serde_json::Value::Null), "{lane:?}");
    }
}

/// A handshake that gets an ordinary reply is an ordinary request, with others behind it.
#[tokio::test]
async fn a_request_behind_a_refused_upgrade_is_served() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|request| match request.target.as_str() {
            "/socket" => Reply::ok("").chunk("hello").chunk_after(Duration::from_millis(300), "again"),
            _ => Reply::ok("second"),
        });
        let proxy = proxy(lane, &origin, "").await;
        let mut raw = proxy.connect().await;
        raw.write(format!("{}GET /second HTTP/1.1\r\nhost: a\r\n\r\n", handshake("/socket"))).await;
        assert_eq!(raw.answer().await.text(), "helloagain", "{lane:?}");
        assert_eq!(raw.answer().await.text(), "second", "{lane:?}");
    }
}
