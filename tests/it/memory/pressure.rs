//! Many at once, under `ulimit -v`: memory stays within the budget and others are served.

use super::{KEYED, MIB, STEP, from, limited, setup, upload_head, zeros_in_zstd};
use futures::future::join_all;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vestibule_testkit::frames::{self, END_STREAM, Kind, PREFACE};
use vestibule_testkit::{Alpn, Certs, Gate, Origin, Proxy, Raw, Reply, Scrape};

/// What all else may take beside the budget.
const REST: u64 = 64 << 20;
/// Address space of the process.
const LIMIT_KIB: usize = 1_500_000;

/// `name` from the environment for the full size; a smaller one for every day.
fn size(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn assert_within(proxy: &Proxy, before: u64, budget: usize) {
    let (now, peak) = (proxy.rss_bytes(), proxy.peak_rss_bytes());
    println!("RSS {} MiB before, {} MiB now, {} MiB at most", before >> 20, now >> 20, peak >> 20);
    assert!(now <= before + budget as u64 + REST, "{} MiB over", (now - before - budget as u64) >> 20);
}

fn held(scrape: &Scrape) -> usize {
    scrape.value("vestibule_held_bytes", &[]) as usize
}

/// A key that no other request of this run has.
fn new_key() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("new-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn assert_others_are_served(proxy: &Proxy) {
    let began = Instant::now();
    let keyed = from(proxy.post("/orders"), "198.51.100.7").header("idempotency-key", new_key()).body("one").await;
    assert_eq!(keyed.status, 201, "{}", keyed.text());
    assert_eq!(from(proxy.get("/"), "198.51.100.7").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// 5,000 with `MEMORY_UPLOADS=5000`.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_uploads_of_one_client_leave_room_for_others() {
    let uploads = size("MEMORY_UPLOADS", 400);
    let budget = if uploads >= 5000 { 256 } else { 64 };
    let origin = Origin::replying(|request| match request.method.as_str() {
        "POST" => Reply::new(201),
        _ => Reply::ok("here"),
    });
    let (_dir, bin) = limited(LIMIT_KIB);
    let server = format!("max_held = \"{budget}MiB\"\n");
    let proxy = setup(bin, &origin, &server, KEYED).start().await;
    let before = proxy.rss_bytes();

    let mut stalled: Vec<Raw> = Vec::new();
    for batch in (0..uploads).collect::<Vec<_>>().chunks(100) {
        stalled.extend(join_all(batch.iter().map(|number| upload(&proxy, *number))).await);
        assert_within(&proxy, before, budget * MIB);
    }
    let scrape = proxy.metrics().await;
    assert!(held(&scrape) <= budget * MIB * 17 / 32, "{}", held(&scrape));
    let turned_away = |scrape: &Scrape| scrape.value("vestibule_server_shed_total", &[("reason", "memory")]) > 0.0;
    proxy.wait_metrics("those to be told that found no room", turned_away).await;
    assert_others_are_served(&proxy).await;
    assert_within(&proxy, before, budget * MIB);
    drop(stalled);
    proxy.wait_metrics("all to be let go", |scrape| held(scrape) == 0).await;
}

/// All but the last byte; one that is refused on the way takes no more.
async fn upload(proxy: &Proxy, number: usize) -> Raw {
    let mut raw = proxy.connect().await;
    raw.write(upload_head("203.0.113.1", &format!("k{number}"), MIB)).await;
    for piece in [&[b'x'; STEP][..]; 15].into_iter().chain([&[b'x'; STEP - 1][..]]) {
        if raw.try_write(piece).await.is_err() {
            break;
        }
    }
    raw
}

/// 100 with `MEMORY_H2=100`: each asks for a hundred replies and takes a byte of each.
#[tokio::test(flavor = "multi_thread")]
async fn http2_connections_that_read_nothing_pin_little() {
    const STREAMS: u32 = 100;
    let connections = size("MEMORY_H2", 4);
    let budget = if connections >= 100 { 256 } else { 64 };
    let certs = Certs::new();
    let body = vec![b'b'; MIB];
    let origin = Origin::replying(move |request| match request.method.as_str() {
        "POST" => Reply::new(201),
        _ => Reply::ok(body.clone()),
    });
    let (_dir, bin) = limited(LIMIT_KIB * 2);
    let server = format!("max_held = \"{budget}MiB\"\ntls = {}\n", certs.tls_toml());
    let proxy = setup(bin, &origin, &server, &format!("{KEYED}[etag]\n")).start().await;
    let before = proxy.rss_bytes();

    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut raw = proxy.connect_tls(&certs, &[Alpn::H2]).await;
        raw.write(PREFACE).await;
        // SETTINGS_INITIAL_WINDOW_SIZE 1.
        raw.write(frames::frame(Kind::Settings, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
        for stream in 0..STREAMS {
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "h"),
                (":path", "/big"),
                ("x-forwarded-for", "203.0.113.1"),
            ];
            raw.write(frames::headers(2 * stream + 1, END_STREAM, &fields)).await;
        }
        clients.push(raw);
    }
    let all = connections * STREAMS as usize;
    proxy.wait_metrics("all requests to be there", |_| origin.hits() == all).await;
    // What is there by now has no reason to grow; a second shows it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let scrape = proxy.metrics().await;
    println!("held: {} MiB", held(&scrape) >> 20);
    assert!(held(&scrape) <= (connections * 4 * MIB).min(budget * MIB * 17 / 32));
    assert_within(&proxy, before, budget * MIB);

    let other = vestibule_testkit::H2Client::connect_tls(proxy.address(), &certs).await;
    let get = vestibule_testkit::H2Request::new("GET", "/big").header("x-forwarded-for", "198.51.100.7");
    let answer = other.send(get).await;
    assert_eq!((answer.status, answer.body.len()), (200, MIB));
    let post = vestibule_testkit::H2Request::new("POST", "/orders").header("x-forwarded-for", "198.51.100.7");
    let keyed = post.header("authorization", "Bearer b").header("idempotency-key", "k").body("one");
    assert_eq!(other.send(keyed).await.status, 201);
    drop(clients);
    proxy.wait_metrics("all to be let go", |scrape| held(scrape) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_waiters_keep_one_body() {
    const WAITERS: usize = 300;
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::replying(move |request| match request.method.as_str() {
        "POST" => Reply::new(201).body("made").once(&opened),
        _ => Reply::ok("here"),
    });
    let (_dir, bin) = limited(LIMIT_KIB);
    let keys = "on_concurrent = \"wait\"\nwait = \"60s\"\n";
    let proxy = setup(bin, &origin, "", &format!("{KEYED}{keys}")).start().await;
    let before = proxy.rss_bytes();

    let mut waiters = Vec::new();
    while waiters.len() < WAITERS {
        let batch = (0..10).map(|_| wait_for_reply(&proxy));
        waiters.extend(join_all(batch).await);
        // One body for all of them, and a step for the reply of each.
        let expected = MIB + waiters.len() * STEP;
        proxy.wait_metrics("the bodies to be let go", |scrape| held(scrape) == expected).await;
    }
    assert_within(&proxy, before, MIB + WAITERS * STEP);
    gate.open();
    for raw in &mut waiters {
        assert_eq!(raw.answer().await.status, 201);
    }
    assert_eq!(origin.hits(), 1);
}

async fn wait_for_reply(proxy: &Proxy) -> Raw {
    let mut raw = proxy.connect().await;
    raw.write(upload_head("203.0.113.1", "same", MIB)).await;
    raw.write(vec![b'x'; MIB]).await;
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_decoded_replays_stay_within_the_budget_and_hold_up_nobody() {
    const REPLAYS: usize = 60;
    let coded = zeros_in_zstd(8);
    let origin = Origin::replying(move |request| match request.method.as_str() {
        "POST" => Reply::new(201).field("content-encoding", "zstd").body(coded.clone()),
        _ => Reply::ok("here"),
    });
    let (_dir, bin) = limited(LIMIT_KIB);
    let keys = "max_response_body = \"8MiB\"\n";
    let proxy = setup(bin, &origin, "max_held = \"64MiB\"\n", &format!("{KEYED}{keys}")).start().await;
    let mut first = ask_for_replay(&proxy, "zstd").await;
    assert_eq!(first.answer().await.status, 201);
    let before = proxy.rss_bytes();

    let mut unread = Vec::new();
    for _ in 0..REPLAYS {
        unread.push(ask_for_replay(&proxy, "identity").await);
    }
    for _ in 0..5 {
        assert_others_are_served(&proxy).await;
    }
    // Those that found no room were told.
    proxy
        .wait_metrics("all to be decided", |scrape| {
            let shed = scrape.value("vestibule_server_shed_total", &[("reason", "memory")]) as usize;
            shed > 0 && held(scrape) <= 64 * MIB * 5 / 8
        })
        .await;
    assert_within(&proxy, before, 64 * MIB);
    drop(unread);
    proxy.wait_metrics("all to be let go", |scrape| held(scrape) == 0).await;
}

async fn ask_for_replay(proxy: &Proxy, coding: &str) -> Raw {
    let mut raw = proxy.connect().await;
    let coding = format!("\r\naccept-encoding: {coding}\r\n");
    raw.write(upload_head("203.0.113.1", "k", 0).replacen("\r\n", &coding, 1)).await;
    raw
}
