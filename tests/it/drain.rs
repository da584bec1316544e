//! SIGTERM: what is under way ends well, nothing new begins, and it never takes longer than said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule_testkit::frames::{Kind, PREFACE, settings};
use vestibule_testkit::{Alpn, Certs, Gate, H2Client, H2Request, Origin, Proxy, Raw, Received, Reply, within};

const LANES: [&str; 2] = ["", "[etag]\n"];

async fn draining(proxy: &Proxy) {
    proxy.wait_log("the drain", |line| line["msg"] == "draining").await;
}

async fn ends_well(mut proxy: Proxy) {
    let status = proxy.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{}", proxy.stderr());
}

#[tokio::test]
async fn requests_under_way_are_answered_in_both_lanes_and_versions() {
    let certs = Certs::new();
    for lane in LANES {
        let gate = Gate::closed();
        let held = gate.clone();
        let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
        let toml = format!("[server]\ntls = {}\n{lane}", certs.tls_toml());
        let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
        let mut raw = Raw::connect_tls(proxy.address(), &certs, &[]).await;
        raw.write(proxy.get("/").encoded()).await;
        let client = H2Client::connect_tls(proxy.address(), &certs).await;
        let stream = client.open(H2Request::new("GET", "/")).await.expect("a stream");
        origin.wait_hits(2).await;

        proxy.sigterm();
        draining(&proxy).await;
        gate.open();
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "late".to_owned()), "{lane:?}");
        assert_eq!(answer.field("connection"), "close", "{lane:?}: the client is told");
        assert_eq!(stream.answer().await.expect("a response").text(), "late", "{lane:?}");
        ends_well(proxy).await;
    }
}

#[tokio::test]
async fn a_download_under_way_ends_whole() {
    for lane in LANES {
        let body = vec![b'.'; 4 << 20];
        let origin = Origin::replying(move |_| Reply::ok(body.clone()));
        let proxy = Proxy::before(crate::bin(), &origin.url(), lane).await;
        let mut raw = proxy.connect().await;
        raw.write(proxy.get("/").encoded()).await;
        let head = raw.head_of_answer().await;
        let length: usize = head.field("content-length").parse().expect("a length");
        proxy.sigterm();
        draining(&proxy).await;
        let mut read = 0;
        while read < length {
            let piece = raw.some().await;
            assert!(!piece.is_empty(), "{lane:?}: cut after {read} of {length} bytes");
            read += piece.len();
        }
        ends_well(proxy).await;
    }
}

#[tokio::test]
async fn an_upload_under_way_ends_whole() {
    let origin = Origin::replying(|request: &Received| Reply::ok(request.body.len().to_string()));
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    origin.wait_hits(1).await;
    proxy.sigterm();
    draining(&proxy).await;
    raw.write("world").await;
    assert_eq!(raw.answer().await.text(), "10");
    ends_well(proxy).await;
}

#[tokio::test]
async fn nothing_new_begins_and_readyz_says_so() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 200);
    let mut busy = proxy.connect().await;
    busy.write(proxy.get("/").encoded()).await;
    origin.wait_hits(1).await;

    proxy.sigterm();
    draining(&proxy).await;
    let ready = proxy.admin("GET", "/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200, "it lives until it ends");
    assert_eq!(proxy.admin("GET", "/metrics").await.status, 200);
    refused(&proxy).await;
    gate.open();
    assert_eq!(busy.answer().await.text(), "late");
    ends_well(proxy).await;
}

/// Waits until connecting is refused: the listener closes on its own, a moment after the drain was announced.
async fn refused(proxy: &Proxy) {
    within("the listener to close", async {
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "hello");
    for tls in [false, true] {
        let toml = if tls { format!("[server]\ntls = {}\n", certs.tls_toml()) } else { String::new() };
        let mut proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
        let connect = async || match tls {
            true => Raw::connect_tls(proxy.address(), &certs, &[]).await,
            false => proxy.connect().await,
        };
        let (mut used, mut unused) = (connect().await, connect().await);
        assert_eq!(proxy.get("/").on(&mut used).await.status, 200);
        let began = Instant::now();
        proxy.sigterm();
        assert!(used.closed().await.is_empty(), "tls: {tls}");
        assert!(unused.closed().await.is_empty(), "tls: {tls}");
        assert_eq!(proxy.wait_exit().await.code(), Some(0));
        // Far below drain_timeout, which is 30 s here.
        assert!(began.elapsed() < Duration::from_secs(5), "tls: {tls}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go_away() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "hello");
    let toml = format!("[server]\ntls = {}\n", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::H2]).await;
    raw.write([PREFACE, &settings()].concat()).await;
    proxy.sigterm();
    let goodbye = loop {
        let frame = raw.frame().await.expect("a GOAWAY before the connection ends");
        if frame.is(Kind::GoAway) {
            break frame;
        }
    };
    // NO_ERROR (RFC 9113 section 7) is the last of its eight bytes.
    assert_eq!(goodbye.payload[4..8], [0; 4]);
    drop(raw);
    ends_well(proxy).await;
}

/// a tunnel lasts until the end of `drain_timeout`.
#[tokio::test]
async fn a_tunnel_lasts_until_drain_timeout_and_no_longer() {
    let origin = Origin::replying(|_| Reply::switching("websocket"));
    let toml = "[server]\ndrain_timeout = \"1s\"\n[[routes]]\nname = \"s\"\npath = \"/s\"\nupgrade = true\n";
    let mut proxy = Proxy::before(crate::bin(), &origin.url(), toml).await;
    let mut raw = proxy.connect().await;
    raw.write(
        "GET /s HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert_eq!(raw.head_of_answer().await.status, 101);
    let began = Instant::now();
    proxy.sigterm();
    draining(&proxy).await;
    raw.write("still here").await;
    raw.until("still here").await;
    raw.closed().await;
    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_millis(900) && lasted < Duration::from_secs(5), "{lasted:?}");
    assert_eq!(proxy.wait_exit().await.code(), Some(1), "it was cut off, so the drain was not clean");
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!((&line["end"], &line["status"]), (&"drained".into(), &101.into()));
    assert_eq!(line["request_bytes"], 10, "{line}");
}

#[tokio::test]
async fn the_drain_is_bounded_whatever_is_under_way() {
    let origin = Origin::replying(|_| Reply::never());
    for lane in LANES {
        let toml = format!("[server]\ndrain_timeout = \"500ms\"\n{lane}");
        let mut proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
        let mut raw = proxy.connect().await;
        let before = origin.hits();
        raw.write(proxy.get("/").encoded()).await;
        origin.wait_hits(before + 1).await;
        let began = Instant::now();
        proxy.sigterm();
        assert_eq!(proxy.wait_exit().await.code(), Some(1), "{lane:?}: not a clean drain");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(4), "{lane:?}: {took:?}");
        let stopped = proxy.wait_log("the last line", |line| line["msg"] == "stopped before all was done").await;
        assert_eq!(
            (&stopped["in_flight"], &stopped["level"]),
            (&1.into(), &"WARN".into()),
            "{lane:?}: what it gave up"
        );
        let line = proxy.wait_access(1).await.remove(0);
        assert_eq!((&line["end"], &line["status"]), (&"drained".into(), &serde_json::Value::Null), "{lane:?}");
    }
}

/// What tells a process to stop may do so more than once.
#[tokio::test]
async fn further_sigterms_do_not_disturb_a_drain() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    let mut raw = proxy.connect().await;
    raw.write(proxy.get("/").encoded()).await;
    origin.wait_hits(1).await;
    proxy.sigint();
    draining(&proxy).await;
    proxy.sigterm();
    proxy.sigterm();
    proxy.sighup();
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    gate.open();
    assert_eq!(raw.answer().await.text(), "late");
    ends_well(proxy).await;
}

/// A client that went to sleep with its connection open answers nothing; nobody waits for it.
#[tokio::test]
async fn an_http2_client_that_is_silent_does_not_hold_the_drain() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("[server]\ntls = {}\n", certs.tls_toml());
    let mut proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut raw = proxy.connect_tls(&certs, &[Alpn::H2]).await;
    raw.write([PREFACE, &settings()].concat()).await;
    raw.frame().await.expect("the settings of the proxy");
    let began = Instant::now();
    proxy.sigterm();
    assert_eq!(proxy.wait_exit().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "drain_timeout is 30 s");
}

/// Whoever presses Ctrl-C during a drain has waited long enough.
#[tokio::test]
async fn a_sigint_ends_a_drain_at_once() {
    let origin = Origin::replying(|_| Reply::never());
    let mut proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    let mut raw = proxy.connect().await;
    raw.write(proxy.get("/").encoded()).await;
    origin.wait_hits(1).await;
    proxy.sigterm();
    draining(&proxy).await;
    let began = Instant::now();
    proxy.sigint();
    assert_eq!(proxy.wait_exit().await.code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(10), "drain_timeout is 30 s");
    proxy.wait_log("why", |line| line["msg"] == "interrupted: waiting no longer" && line["in_flight"] == 1).await;
}

/// What steady clients with kept connections saw.
#[derive(Default)]
struct Tally {
    served: AtomicUsize,
    failed: AtomicUsize,
}

/// How one request on a kept connection went.
enum Asked {
    Served,
    ServedAndTold,
    /// Not a byte of an answer: the connection was ended between requests, which is a server's right (RFC 9112
    /// section 9.3), and the client asks again elsewhere.
    NotTaken,
    Failed,
}

async fn ask(stream: &mut TcpStream) -> Asked {
    if stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.is_err() {
        return Asked::NotTaken;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello") {
        match stream.read_buf(&mut answer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if answer.is_empty() => return Asked::NotTaken,
            Ok(0) | Err(_) => return Asked::Failed,
        }
    }
    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    match text.starts_with("http/1.1 200 ok\r\n") {
        true if text.contains("\r\nconnection: close\r\n") => Asked::ServedAndTold,
        true => Asked::Served,
        false => Asked::Failed,
    }
}

/// Asks again and again until the proxy refuses connections.
async fn keep_asking(proxy: std::net::SocketAddr, tally: Arc<Tally>) {
    while let Ok(mut stream) = TcpStream::connect(proxy).await {
        loop {
            match ask(&mut stream).await {
                Asked::Served => tally.served.fetch_add(1, Ordering::Relaxed),
                Asked::ServedAndTold => {
                    tally.served.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Asked::NotTaken => break,
                Asked::Failed => {
                    tally.failed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_under_steady_load() {
    for lane in LANES {
        let origin = Origin::returning(200, "hello");
        let mut proxy = Proxy::before(crate::bin(), &origin.url(), lane).await;
        let tally = Arc::new(Tally::default());
        let clients: Vec<_> = (0..8).map(|_| tokio::spawn(keep_asking(proxy.address(), Arc::clone(&tally)))).collect();
        origin.wait_hits(300).await;
        proxy.sigterm();
        let status = proxy.wait_exit().await;
        for client in clients {
            within("a client to be refused", client).await.expect("a client that does not panic");
        }
        assert_eq!(status.code(), Some(0), "{lane:?}");
        let served = tally.served.load(Ordering::Relaxed);
        assert_eq!(tally.failed.load(Ordering::Relaxed), 0, "{lane:?}");
        // What reached the application was answered to its client.
        assert_eq!(served, origin.hits(), "{lane:?}");
        let lines = proxy.access();
        assert!(lines.iter().all(|line| line["status"] == 200 && line["end"] == "ok"), "{lane:?}");
    }
}

/// A client that takes little at once: the kernel holds little for it. It speaks TLS where there are `certs`.
async fn slow_client(proxy: &Proxy, certs: Option<&Certs>, alpn: Alpn, request: &[u8]) -> Box<dyn Duplex> {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small window");
    let stream = socket.connect(proxy.address()).await.expect("a connection");
    let mut stream: Box<dyn Duplex> = match certs {
        Some(certs) => Box::new(vestibule_testkit::over_tls(stream, certs, &[alpn]).await.expect("a TLS handshake")),
        None => Box::new(stream),
    };
    stream.write_all(request).await.expect("a request");
    stream.flush().await.expect("a request");
    stream
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// What a file says in `[server]`.
fn tls_line(certs: Option<&Certs>) -> String {
    certs.map(|certs| format!("tls = {}\n", certs.tls_toml())).unwrap_or_default()
}

/// Reads 8 KiB at a time until `all` bytes of body have come, or the connection ends.
/// It says `between` after each piece, as far as anybody listens.
async fn read_slowly(stream: &mut dyn Duplex, all: usize, between: &[u8], body: impl Fn(&[u8]) -> usize) -> usize {
    let (mut received, mut piece) = (Vec::new(), vec![0; 8 * 1024]);
    while body(&received) < all {
        match stream.read(&mut piece).await {
            Ok(more @ 1..) => received.extend_from_slice(&piece[..more]),
            _ => break,
        }
        let _ = stream.write_all(between).await;
        let _ = stream.flush().await;
        // The pauses are what is tested: about 100 KiB a second.
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    body(&received)
}

/// Bytes of DATA among these frames; `usize::MAX` once they end the stream.
fn data_in(mut frames: &[u8]) -> usize {
    let mut data = 0;
    while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = frames {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if *kind == Kind::Data as u8 {
            data += length.min(rest.len());
            if flags & 1 == 1 && rest.len() >= length {
                return usize::MAX;
            }
        }
        frames = rest.get(length..).unwrap_or_default();
    }
    data
}

/// A reply whose exchange is over still waits for its client in the framing layer, whatever idle_timeout or a drain say.
#[tokio::test]
async fn an_http2_reply_that_is_taken_slowly_ends_whole() {
    let certs = Certs::new();
    for (tls, drains) in [(None, false), (None, true), (Some(&certs), false), (Some(&certs), true)] {
        let origin = Origin::returning(200, vec![b'x'; 350_000]);
        let toml = format!("[server]\nidle_timeout = \"1s\"\n{}", tls_line(tls));
        let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let get = [(":method", "GET"), (":path", "/"), (":scheme", scheme), (":authority", "a")];
        // Windows so large that the reply is written at once: SETTINGS_INITIAL_WINDOW_SIZE 1 MiB, and 1 MiB more.
        let request = [
            PREFACE,
            &vestibule_testkit::frames::frame(Kind::Settings, 0, 0, &[0, 4, 0, 16, 0, 0]),
            &vestibule_testkit::frames::frame(Kind::WindowUpdate, 0, 0, &[0, 16, 0, 0]),
            &vestibule_testkit::frames::headers(1, 1, &get),
        ]
        .concat();
        let mut stream = slow_client(&proxy, tls, Alpn::H2, &request).await;
        origin.wait_hits(1).await;
        if drains {
            proxy.sigterm();
            draining(&proxy).await;
        }
        // A client says that it has room, also when nobody listens any more.
        let room = vestibule_testkit::frames::frame(Kind::WindowUpdate, 0, 0, &[0, 0, 0, 1]);
        let data = read_slowly(&mut *stream, usize::MAX, &room, data_in).await;
        assert_eq!(data, usize::MAX, "TLS: {}, drains: {drains}", tls.is_some());
        drop(stream);
        if drains {
            ends_well(proxy).await;
        }
    }
}

/// Requests that the client has sent ahead are not served, and do not cost it the reply that is on its way.
#[tokio::test]
async fn a_reply_before_unread_requests_ends_whole() {
    const LENGTH: usize = 300_000;
    let certs = Certs::new();
    for tls in [None, Some(&certs)] {
        let origin = Origin::returning(200, vec![b'~'; LENGTH]);
        let proxy = Proxy::before(crate::bin(), &origin.url(), &format!("[server]\n{}", tls_line(tls))).await;
        let requests = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2_000);
        let mut stream = slow_client(&proxy, tls, Alpn::Http11, requests.as_bytes()).await;
        origin.wait_hits(1).await;
        proxy.sigterm();
        draining(&proxy).await;
        let body = |received: &[u8]| received.iter().filter(|byte| **byte == b'~').count();
        assert_eq!(read_slowly(&mut *stream, LENGTH, b"", body).await, LENGTH, "TLS: {}", tls.is_some());
        drop(stream);
        ends_well(proxy).await;
    }
}

/// A body that only the end of its connection delimits, and which the drain cuts off.
#[tokio::test]
async fn an_http10_client_can_tell_that_the_drain_cut_its_reply_off() {
    let never = Gate::closed();
    let origin = Origin::replying(move |_| Reply::events(Duration::from_millis(50), &never));
    let toml = "[server]\ndrain_timeout = \"1s\"\n";
    let mut proxy = Proxy::before(crate::bin(), &origin.url(), toml).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    stream.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await.expect("sent");
    let mut received = vec![0; 64];
    assert!(stream.read(&mut received).await.expect("a head") > 0);
    proxy.sigterm();
    let ended = within("the end", stream.read_to_end(&mut received)).await;
    assert!(ended.is_err(), "{:?}", String::from_utf8_lossy(&received));
    proxy.wait_exit().await;
}
