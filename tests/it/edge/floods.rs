//! SEC-06: floods of HTTP/2 frames that cost their sender nothing.

use super::proxy;
use bytes::Bytes;
use std::time::{Duration, Instant};
use vestibule_testkit::frames::{self, END_STREAM, Kind};
use vestibule_testkit::{H2Client, Origin, Proxy, Raw};

/// What a flood may cost in memory.
const ROOM: u64 = 64 << 20;
const GET: [(&str, &str); 4] = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")];

/// Sends frame after frame; how many were taken before the proxy ended the connection, or all.
async fn flood(proxy: &Proxy, frames: impl IntoIterator<Item = Bytes>) -> usize {
    let mut raw: Raw = proxy.connect().await;
    raw.write([frames::PREFACE, &frames::settings()].concat()).await;
    let mut taken = 0;
    for frame in frames {
        // A proxy that takes no more has bounded it as well.
        match tokio::time::timeout(Duration::from_secs(2), raw.try_write(frame)).await {
            Ok(Ok(())) => taken += 1,
            _ => return taken,
        }
    }
    taken
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

async fn costs_little(what: &str, frames: impl IntoIterator<Item = Bytes>) {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[log]\naccess = false\n").await;
    let other = H2Client::connect(proxy.address()).await;
    assert_eq!(other.get("/").await.status, 200);
    let before = proxy.rss_bytes();

    let taken = flood(&proxy, frames).await;
    let began = Instant::now();
    assert_eq!(other.get("/").await.status, 200, "{what}");
    assert!(began.elapsed() < Duration::from_secs(5), "{what}: another client waited for {:?}", began.elapsed());
    let grown = proxy.peak_rss_bytes().saturating_sub(before);
    assert!(grown <= ROOM, "{what}: {taken} frames cost {} MiB", grown >> 20);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_cost_little() {
    let resets = streams(5_000).map(|stream| {
        let head = frames::headers(stream, END_STREAM, &GET);
        [head, frames::rst_stream(stream, 8)].concat().into()
    });
    costs_little("rapid reset", resets).await;
}

#[tokio::test]
async fn a_head_of_continuations_costs_little() {
    let begin = frames::frame(Kind::Headers, END_STREAM, 1, &frames::field_block(&GET));
    let more = frames::frame(Kind::Continuation, 0, 1, &frames::field_block(&[("x", &"v".repeat(1_000))]));
    costs_little("CONTINUATION", std::iter::once(begin).chain(std::iter::repeat_n(more, 5_000))).await;
    let begin = frames::frame(Kind::Headers, END_STREAM, 1, &frames::field_block(&GET));
    let empty = frames::frame(Kind::Continuation, 0, 1, b"");
    costs_little("empty CONTINUATION", std::iter::once(begin).chain(std::iter::repeat_n(empty, 5_000))).await;
}

#[tokio::test]
async fn empty_data_costs_little() {
    let post = [(":method", "POST"), GET[1], GET[2], GET[3]];
    let begin = frames::headers(1, 0, &post);
    let empty = frames::frame(Kind::Data, 0, 1, b"");
    costs_little("empty DATA", std::iter::once(begin).chain(std::iter::repeat_n(empty, 5_000))).await;
}

#[tokio::test]
async fn frames_that_want_an_answer_cost_little() {
    costs_little("SETTINGS", std::iter::repeat_n(frames::settings(), 20_000)).await;
    costs_little("PING", std::iter::repeat_n(frames::frame(Kind::Ping, 0, 0, b"12345678"), 20_000)).await;
}
