//! Large and slow uploads.

use super::lane::Lane;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vestibule_testkit::origin::Then;
use vestibule_testkit::{
    Alpn, BodyEnd, Certs, Fault, H2Client, H2Origin, H2Reply, H2Request, Origin, Over, Proxy, Relay, Reply,
};

const MIB: usize = 1 << 20;
/// Growth of memory that is not the body's.
const SLACK: u64 = 40 << 20;
const NO_LIMIT: &str = "[server]\nmax_body_bytes = \"0\"\n";

async fn upload(proxy: &Proxy, length: usize, chunked: bool) -> u16 {
    let mut raw = proxy.connect().await;
    let framing = if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {length}") };
    raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n")).await;
    let block = Bytes::from(vec![b'.'; MIB]);
    for _ in 0..length / MIB {
        if chunked {
            raw.write(format!("{MIB:x}\r\n")).await;
        }
        raw.write(&block).await;
        if chunked {
            raw.write("\r\n").await;
        }
    }
    if chunked {
        raw.write("0\r\n\r\n").await;
    }
    raw.answer().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_50_mib_streams_in_flat_memory() {
    let origin = Origin::returning(200, "thanks");
    let proxy = Lane::Stream.before(&origin.url(), NO_LIMIT).await;
    proxy.post("/").body("warm").await;
    let before = proxy.peak_rss_bytes();
    for chunked in [false, true] {
        assert_eq!(upload(&proxy, 50 * MIB, chunked).await, 200);
        let last = origin.last();
        assert_eq!((last.body.len(), last.body_end), (50 * MIB, BodyEnd::Complete), "chunked: {chunked}");
    }
    let after = proxy.peak_rss_bytes();
    assert!(after < before + SLACK, "{before} to {after} bytes");
}

/// An upstream that does not read holds up the client, not the proxy's memory; SEC-15: and the client is not blamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_reads_slowly_holds_up_the_client_and_not_the_memory() {
    let origin = Origin::returning(200, "thanks");
    let relay = Relay::to(origin.address());
    let proxy = Lane::Stream.before(&format!("http://{}", relay.address()), NO_LIMIT).await;
    proxy.post("/").body("warm").await;
    let before = proxy.peak_rss_bytes();
    relay.set(Fault::Stall).await;
    let sending = upload(&proxy, 50 * MIB, false);
    let waiting = async {
        let (mut last, mut still) = (0, 0);
        // Every buffer on the way is full once nothing moves any more.
        while still < 5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = proxy.cpu().as_millis();
            still = if now == last { still + 1 } else { 0 };
            last = now;
        }
        let after = proxy.peak_rss_bytes();
        relay.set(Fault::None).await;
        after
    };
    let (status, after) = tokio::join!(sending, waiting);
    assert_eq!(status, 200);
    assert!(after < before + SLACK, "{before} to {after} bytes");
    assert_eq!(origin.last().body.len(), 50 * MIB);
}

/// `read_timeout` bounds the wait for an answer, which is not due while the request is still being sent.
#[tokio::test]
async fn an_upload_may_take_longer_than_read_timeout_while_bytes_flow() {
    let timeout = "[upstream]\nread_timeout = \"400ms\"\n";
    let (over_tcp, over_unix) = (Origin::returning(200, "thanks"), Origin::unix(|_| Reply::ok("thanks")));
    let over_h2 = H2Origin::replying(Over::Cleartext, |_| H2Reply::ok("thanks"));
    let certs = Certs::new();
    for url in [over_tcp.url(), over_unix.url(), over_h2.url()] {
        let proxy = Lane::Stream.before(&url, timeout).await;
        let mut raw = proxy.connect().await;
        raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n").await;
        for _ in 0..12 {
            // Real time is the point.
            tokio::time::sleep(Duration::from_millis(100)).await;
            raw.write("x").await;
        }
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "thanks".to_owned()), "http/1.1 to {url}");

        let proxy = Lane::Stream.before_tls(&url, &certs, timeout).await;
        let client = H2Client::connect_tls(proxy.address(), &certs).await;
        let mut stream = client.open_upload(H2Request::new("POST", "/")).await.expect("a stream");
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.data("x").expect("an open stream");
        }
        stream.finish().expect("an open stream");
        let answer = stream.answer().await.expect("a response");
        assert_eq!((answer.status, answer.text()), (200, "thanks".to_owned()), "http/2 to {url}");
    }
}

/// A final response that comes before the body was read is passed on, and the connection
/// closed after it.
#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_is_passed_on() {
    let origin = Origin::at_head(|_| Reply::new(413).body("too much").leaving_the_upload());
    let proxy = Lane::Stream.before(&origin.url(), NO_LIMIT).await;
    let mut raw = proxy.connect().await;
    raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 50 * MIB)).await;
    raw.write("the beginning").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "too much".to_owned()));
    raw.closed().await;
    let line = proxy.wait_access(1).await.remove(0);
    assert_eq!((&line["status"], &line["end"]), (&413.into(), &"ok".into()), "the answer was whole");
}

/// Whatever the floor for bodies is, and whatever the client goes on doing.
#[tokio::test]
async fn an_answered_client_may_not_hold_its_connection_with_the_rest_of_its_body() {
    let origin = Origin::at_head(|_| Reply::new(403).body("no").leaving_the_upload());
    let proxy = Lane::Stream.before(&origin.url(), "[server]\nmin_body_rate = 0\n").await;
    let mut raw = proxy.connect().await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nbegin").await;
    assert_eq!(raw.answer().await.status, 403);
    let answered = Instant::now();
    raw.closed().await;
    assert!(answered.elapsed() < Duration::from_secs(9), "{:?}", answered.elapsed());
    assert_eq!(proxy.wait_access(1).await[0]["end"], "ok");
}

/// An answer reaches a client that is in the middle of a large upload, over TLS, too.
#[tokio::test]
async fn a_refusal_is_not_lost_to_a_reset() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "");
    for tls in [String::new(), format!("tls = {}\n", certs.tls_toml())] {
        let toml = format!("[server]\nmax_body_bytes = \"1KiB\"\n{tls}");
        let setup = vestibule_testkit::Setup::new(crate::bin()).toml(toml).upstream(origin.url());
        let proxy = setup.start().await;
        for _ in 0..5 {
            let mut raw = match tls.is_empty() {
                true => proxy.connect().await,
                false => proxy.connect_tls(&certs, &[Alpn::Http11]).await,
            };
            raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 2 * MIB)).await;
            for _ in 0..2 {
                raw.try_write(vec![b'x'; MIB]).await.expect("it takes what is on its way");
            }
            assert_eq!(raw.answer().await.status, 413, "{tls:?}");
        }
    }
}

/// A short body of unknown length that is here already costs nobody the connection.
#[tokio::test]
async fn a_refusal_of_a_short_chunked_body_keeps_the_connection() {
    let origin = Origin::returning(200, "");
    let toml = "[rate_limit.policies.one]\nlimit = \"1/h\"\nkey = \"global\"\n\
                [rate_limit.tiers]\nanonymous = [\"one\"]\n";
    let proxy = Lane::Stream.before(&origin.url(), toml).await;
    let mut raw = proxy.connect().await;
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 200);
    for _ in 0..3 {
        let refused = proxy.post("/").chunked(["abc"]).on(&mut raw).await;
        assert_eq!(refused.status, 429);
    }
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_upload_leaves_no_whole_request_behind() {
    let origin = Origin::returning(200, "");
    for lane in Lane::BOTH {
        let proxy = lane.before(&origin.url(), "").await;
        let before = origin.counts();
        for framing in ["content-length: 10\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
            let mut raw = proxy.connect().await;
            raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}")).await;
            origin.wait("the request's head", |counts| counts.hits > before.hits).await;
            drop(raw);
            origin.wait("the end of the upstream's connection", |counts| counts.open == 0).await;
        }
        assert_eq!(origin.counts().complete, before.complete, "{lane:?}");
    }
}

/// What has come of a reply is passed on, also while the application reads nothing of the upload.
#[tokio::test]
async fn a_reply_of_known_length_is_not_held_up_by_an_upload_that_nobody_reads() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789";
    let origin = Origin::at_head(move |_| Reply::raw(begun).then(Then::KeepAlive).leaving_the_upload());
    let certs = Certs::new();
    for tls in [String::new(), format!("tls = {}\n", certs.tls_toml())] {
        let proxy = Lane::Stream.before(&origin.url(), &format!("{NO_LIMIT}{tls}")).await;
        let stream = tokio::net::TcpStream::connect(proxy.address()).await.expect("a connection");
        match tls.is_empty() {
            true => receives_what_has_come(stream).await,
            false => {
                let secured = vestibule_testkit::over_tls(stream, &certs, &[Alpn::Http11]).await;
                receives_what_has_come(secured.expect("a TLS handshake")).await;
            }
        }
    }
}

async fn receives_what_has_come(stream: impl AsyncRead + AsyncWrite + Send + 'static) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    // More than the kernel keeps for an application that does not read.
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 32 << 20);
        writes.write_all(head.as_bytes()).await?;
        writes.write_all(&vec![b'x'; 32 << 20]).await
    });
    let mut received = Vec::new();
    vestibule_testkit::within("what has come of the reply", async {
        while !received.ends_with(b"0123456789") {
            let more = reads.read_buf(&mut received).await.expect("bytes");
            assert!(more > 0, "{:?}", String::from_utf8_lossy(&received));
        }
    })
    .await;
    sending.abort();
}
