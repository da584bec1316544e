//! SEC-13: how long a client may take. Real time is the point here.

use super::{blocked, blocked_since, once, proxy};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule_testkit::{Certs, Origin, Raw, Setup, within};

const TWO_SECONDS: &str = "[server]\nheader_timeout = \"2s\"\nidle_timeout = \"30s\"\n";

/// Whether this is two seconds, give or take one.
fn is_two_seconds(took: Duration) -> bool {
    (Duration::from_secs(1)..=Duration::from_secs(3)).contains(&took)
}

/// Sends `bytes` one a half second until an answer begins; gives its status and when it came.
async fn trickle(raw: &mut Raw, bytes: &[u8]) -> (u16, Duration) {
    let began = Instant::now();
    for byte in bytes {
        raw.write([*byte]).await;
        // Pacing, not waiting: an answer ends it.
        let pause = tokio::time::timeout(Duration::from_millis(500), raw.head_of_answer());
        if let Ok(answer) = pause.await {
            return (answer.status, began.elapsed());
        }
    }
    panic!("no answer to {} bytes in {:?}", bytes.len(), began.elapsed());
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_at_its_deadline() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TWO_SECONDS).await;
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    let (status, took) = trickle(&mut raw, b"GET / HTTP/1.1\r\n").await;
    assert_eq!(status, 408);
    assert!(is_two_seconds(took), "{took:?}");
    let problem = String::from_utf8_lossy(&raw.closed().await).into_owned();
    assert!(problem.contains(":request-timeout"), "{problem}");
    assert_eq!(blocked_since(&proxy, &before).await, once("slow_head"));
    assert_eq!(origin.hits(), 0);
}

/// Where nothing came there is nothing to answer.
#[tokio::test]
async fn a_client_that_says_nothing_is_closed_silently() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TWO_SECONDS).await;
    let before = blocked(&proxy).await;
    let began = Instant::now();
    let mut raw = proxy.connect().await;
    assert!(raw.closed().await.is_empty());
    assert!(is_two_seconds(began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(blocked_since(&proxy, &before).await, once(""));
}

#[tokio::test]
async fn half_a_tls_handshake_is_closed() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("{TWO_SECONDS}tls = {}\n", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    // The first bytes of a ClientHello that announces 512.
    stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]).await.expect("room");
    let mut rest = Vec::new();
    // A reset ends it as well as an orderly close.
    let _ = within("the end of the connection", stream.read_to_end(&mut rest)).await;
    assert!(is_two_seconds(began.elapsed()), "{:?}", began.elapsed());
    assert!(rest.is_empty(), "{rest:?}");
}

/// The handshake and the head behind it share one deadline.
#[tokio::test]
async fn a_tls_client_that_says_nothing_more_is_closed() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("{TWO_SECONDS}tls = {}\n", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let began = Instant::now();
    let mut raw = proxy.connect_tls(&certs, &[vestibule_testkit::Alpn::Http11]).await;
    assert!(raw.closed().await.is_empty());
    assert!(is_two_seconds(began.elapsed()), "{:?}", began.elapsed());
}

/// The deadline of a second head begins with its first byte: neither the first head's time nor idleness counts.
#[tokio::test]
async fn a_second_head_has_its_own_deadline() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TWO_SECONDS).await;
    let mut raw = proxy.connect().await;
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
    // Longer than header_timeout, shorter than idle_timeout.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 200, "an idle connection is no slow head");
    let before = blocked(&proxy).await;
    let (status, took) = trickle(&mut raw, b"GET / HTTP/1.1\r\n").await;
    assert_eq!(status, 408);
    assert!(is_two_seconds(took), "{took:?}");
    let problem = String::from_utf8_lossy(&raw.closed().await).into_owned();
    assert!(problem.contains(":request-timeout"), "{problem}");
    assert_eq!(blocked_since(&proxy, &before).await, once("slow_head"));
}

/// Neither deadline runs while a body comes or the upstream thinks.
#[tokio::test]
async fn an_upstream_that_thinks_is_nobodys_slow_head() {
    let origin = Origin::replying(|_| vestibule_testkit::Reply::ok("late").after(Duration::from_millis(1500)));
    let proxy = proxy(&origin, "[server]\nheader_timeout = \"500ms\"\nidle_timeout = \"500ms\"\n").await;
    assert_eq!(proxy.get("/").await.status, 200);
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\na").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    raw.write("b").await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(origin.last().text(), "ab");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nidle_timeout = \"1s\"\n").await;
    let mut raw = proxy.connect().await;
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
    let idle = Instant::now();
    assert!(raw.closed().await.is_empty());
    let took = idle.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

/// A client that takes nothing of its response is closed after idle_timeout; it holds nothing for ever.
#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let origin = Origin::returning(200, vec![b'x'; 32 << 20]);
    let proxy = proxy(&origin, "[server]\nidle_timeout = \"1s\"\n").await;
    let mut raw = proxy.connect().await;
    raw.write(proxy.get("/").encoded()).await;
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!((&line["status"], &line["end"]), (&200.into(), &"client_gone".into()));
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms < 5000.0), "{line}");
}

/// DI-19: one that takes its response slowly, but takes it, is not: whoever kept the body, and however large it is.
#[tokio::test]
async fn a_client_that_takes_its_response_slowly_gets_all_of_it() {
    const LENGTH: usize = 12 << 20;
    let origin = Origin::returning(200, vec![b'x'; LENGTH]);
    // The second takes so little that the socket here, with all it has to send already, takes nothing for a minute.
    let paces = [(128 * 1024, 64 * 1024), (8 * 1024, 1024)];
    let ways = [
        ("streamed", ""),
        ("held", "[etag]\nmax_body = \"16MiB\"\n"),
        ("replayed", "[idempotency]\nprincipal = [\"none\"]\nmax_response_body = \"16MiB\"\n"),
    ];
    for ((what, toml), (window, each)) in ways.into_iter().flat_map(|way| paces.map(|pace| (way, pace))) {
        let proxy = proxy(&origin, &format!("[server]\nidle_timeout = \"1s\"\n{toml}")).await;
        let request = || match what {
            "replayed" => proxy.post("/").header("idempotency-key", "k").body("once"),
            _ => proxy.get("/"),
        };
        let before = usize::from(what == "replayed");
        if what == "replayed" {
            assert_eq!(request().await.body.len(), LENGTH);
        }
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        socket.set_recv_buffer_size(window).expect("a small window");
        let mut stream = socket.connect(proxy.address()).await.expect("connect");
        stream.write_all(request().encoded().as_ref()).await.expect("request");
        let (mut piece, mut taken, began) = (vec![0; each], 0, Instant::now());
        let mut slowly = true;
        while let Ok(some @ 1..) = stream.read(&mut piece).await {
            taken += some;
            if slowly {
                // The pauses are what is tested: 1.3 MiB or 20 KiB a second, for three times idle_timeout.
                tokio::time::sleep(Duration::from_millis(50)).await;
                slowly = began.elapsed() < Duration::from_secs(3);
                piece.resize(if slowly { piece.len() } else { 256 * 1024 }, 0);
            }
            if taken > LENGTH {
                break;
            }
        }
        assert!(taken > LENGTH, "{what}: cut after {taken} bytes in pieces of {each} and {:?}", began.elapsed());
        drop(stream);
        let line = proxy.wait_access(before + 1).await.remove(before);
        assert_eq!((&line["end"], &line["response_bytes"]), (&"ok".into(), &LENGTH.into()), "{what}");
    }
}

/// Over TLS, too, where the farewell itself may be what the client does not take.
#[tokio::test]
async fn a_client_that_takes_nothing_over_tls_gives_its_place_back() {
    let certs = Certs::new();
    let origin = Origin::returning(200, vec![b'x'; 32 << 20]);
    let toml = format!("[server]\nidle_timeout = \"1s\"\ntls = {}\n", certs.tls_toml());
    let proxy = proxy(&origin, &toml).await;
    let before = proxy.open_files();
    let mut raw = proxy.connect_tls(&certs, &[]).await;
    raw.write(proxy.get("/").encoded()).await;
    assert_eq!(proxy.wait_access(1).await[0]["end"], "client_gone");
    let gone = async {
        while proxy.open_files() > before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the socket to be closed", gone).await;
    drop(raw);
}
