//! Large and slow replies: they flow, and nothing piles up.

use super::lane::{Client, Lane};
use bytes::Bytes;
use std::time::Duration;
use vestibule_testkit::{BodyEnd, Certs, Origin, Proxy, Received, Reply};

const MIB: usize = 1 << 20;
/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);
/// Growth of memory that is not the body's: buffers, allocator, a first request's one-time costs.
const SLACK: u64 = 32 << 20;

fn pattern(length: usize) -> Bytes {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn a_reply_around_the_bound_of_the_held_lane_is_whole() {
    let certs = Certs::new();
    let body = pattern(MIB + 1);
    let whole = body.clone();
    let origin = Origin::replying(move |request: &Received| {
        let (framing, length) = request.target.trim_start_matches('/').split_once('/').expect("framing and length");
        let body = whole.slice(..length.parse::<usize>().expect("a length"));
        match framing {
            "length" => Reply::ok(body),
            "chunked" => Reply::new(200).chunks_of(60_000, Duration::ZERO, body),
            _ => Reply::new(200).until_close(body),
        }
    });
    for lane in Lane::BOTH {
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for client in Client::BOTH {
            for framing in ["length", "chunked", "close"] {
                for length in [MIB - 1, MIB, MIB + 1] {
                    let target = format!("/{framing}/{length}");
                    let answers = client.ask(&proxy, &certs, &[("GET", &target)]).await;
                    let case = format!("{lane:?}, {client:?}, {target}");
                    assert_eq!((answers[0].status, answers[0].body_end), (200, BodyEnd::Complete), "{case}");
                    assert!(answers[0].body == body[..length], "{case}: the bytes");
                }
            }
        }
    }
}

/// Reads a body of this length piece by piece and returns the proxy's peak memory meanwhile.
async fn download(proxy: &Proxy, target: &str, length: usize) -> u64 {
    let mut raw = proxy.connect().await;
    raw.write(proxy.get(target).encoded()).await;
    assert_eq!(raw.head_of_answer().await.status, 200);
    let mut read = 0;
    while read < length {
        let piece = raw.some().await;
        assert!(!piece.is_empty(), "the connection ended after {read} bytes");
        read += piece.len();
    }
    proxy.peak_rss_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_reply_takes_no_memory() {
    let block = Bytes::from(vec![b'.'; 200 * MIB]);
    let chunked = block.slice(..64 * MIB);
    let origin = Origin::replying(move |request: &Received| match request.target.as_str() {
        "/length/stream" => Reply::ok(chunked.clone()),
        "/length" => Reply::ok(block.clone()),
        "/chunked" => Reply::new(200).chunks_of(MIB, Duration::ZERO, chunked.clone()),
        _ => Reply::ok("warm"),
    });
    for lane in Lane::BOTH {
        let proxy = lane.before(&origin.url(), "").await;
        proxy.get("/warm").await;
        let before = proxy.peak_rss_bytes();
        // The engine's own lane is trusted with less: what it keeps would show as well.
        let declared = match lane {
            Lane::Held => ("/length", 200 * MIB),
            Lane::Stream => ("/length/stream", 64 * MIB),
        };
        for (target, length) in [declared, ("/chunked", 64 * MIB)] {
            let after = download(&proxy, target, length).await;
            assert!(after < before + SLACK, "{lane:?}, {target}: {before} to {after} bytes");
        }
    }
}

#[tokio::test]
async fn the_first_event_of_a_stream_does_not_wait_for_the_second() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::events(NEVER, &vestibule_testkit::Gate::closed()));
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        raw.write(proxy.get("/").encoded()).await;
        let head = raw.head_of_answer().await;
        assert_eq!((head.field("content-type"), head.fields.has("etag")), ("text/event-stream", false), "{lane:?}");
        raw.until("data: 0\n\n").await;
        drop(raw);
        origin.wait("the end of the stream its client left", |counts| counts.aborted == 1).await;

        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        let mut raw = vestibule_testkit::Raw::connect_tls(proxy.address(), &certs, &[]).await;
        raw.write(proxy.get("/").encoded()).await;
        raw.until("data: 0\n\n").await;
    }
}

#[tokio::test]
async fn a_slow_body_of_unknown_length_flows_before_it_ends() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::new(200).chunk("first").chunk_after(NEVER, "last"));
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        raw.write(proxy.get("/").encoded()).await;
        let head = raw.head_of_answer().await;
        assert_eq!((head.field("transfer-encoding"), head.fields.has("etag")), ("chunked", false), "{lane:?}");
        raw.until("first").await;
    }
}

/// memory is at most `max_body` a held reply; a client that does not read holds up the upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_up_the_upstream_and_not_the_memory() {
    let block = Bytes::from(vec![b'.'; 64 * MIB]);
    let origin = Origin::replying(move |_| Reply::ok(block.clone()));
    for lane in Lane::BOTH {
        let proxy = lane.before(&origin.url(), "").await;
        let before = proxy.peak_rss_bytes();
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut raw = proxy.connect().await;
            raw.write(proxy.get("/").encoded()).await;
            assert_eq!(raw.head_of_answer().await.status, 200);
            clients.push(raw);
        }
        let (mut last, mut still) = (0, 0);
        // Every buffer between here and the origin is full once nothing moves any more.
        while still < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = proxy.cpu().as_millis();
            still = if now == last { still + 1 } else { 0 };
            last = now;
        }
        let after = proxy.peak_rss_bytes();
        assert!(after < before + SLACK, "{lane:?}: {before} to {after} bytes");
    }
}
