//! What each kind of request gets that finds no memory.

use super::{KEYED, MIB, STEP, order, proxy, shed, stalled, upload_head, wait_held, zeros_in_zstd};
use std::time::{Duration, Instant};
use vestibule_testkit::{Answer, Gate, Origin, Reply};

/// The smallest budget: sixteen steps, of which a client may have one while more than eight are in use.
const SMALLEST: &str = "max_held = \"1MiB\"\nmin_body_rate = 0\n";
/// More than half of it.
const MOST: usize = 8 * STEP + 1;

fn assert_overloaded(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"), "{}", answer.text());
    assert_eq!(answer.field("retry-after"), "1");
}

#[tokio::test]
async fn a_keyed_request_without_room_is_refused_before_anything_is_claimed() {
    let origin = Origin::returning(201, "made");
    let proxy = proxy(&origin, SMALLEST, KEYED).await;
    let greedy = stalled(&proxy, "203.0.113.1", "k", MOST).await;
    wait_held(&proxy, 9 * STEP).await;

    // A step for its body, and none for its reply.
    assert_overloaded(&order(&proxy, "203.0.113.2", "k2").body("one").await);
    assert_eq!((origin.hits(), shed(&proxy).await), (0, 1));
    let unkeyed = proxy.post("/orders").header("x-forwarded-for", "203.0.113.2").body("one").await;
    assert_eq!(unkeyed.status, 201);

    drop(greedy);
    wait_held(&proxy, 0).await;
    let answer = order(&proxy, "203.0.113.2", "k2").body("one").await;
    assert_eq!((answer.status, answer.field("idempotent-replayed")), (201, ""));
    wait_held(&proxy, 0).await;
}

/// While more than half is in use, a client over its share is refused, and others have theirs.
#[tokio::test]
async fn a_client_over_its_share_is_refused_alone() {
    let origin = Origin::returning(201, "made");
    let proxy = proxy(&origin, SMALLEST, KEYED).await;
    let _greedy = stalled(&proxy, "203.0.113.1", "k", MOST).await;
    wait_held(&proxy, 9 * STEP).await;

    assert_overloaded(&order(&proxy, "203.0.113.1", "more").await);
    assert_eq!(order(&proxy, "203.0.113.2", "k").await.status, 201);
    assert_eq!(order(&proxy, "2001:db8::1", "k").await.status, 201);
    assert_eq!(shed(&proxy).await, 1);
}

/// Neither the body that is declared nor the one that was answered counts.
#[tokio::test]
async fn bytes_count_when_they_come() {
    let origin = Origin::returning(201, "made");
    let proxy = proxy(&origin, SMALLEST, KEYED).await;
    let mut raws = Vec::new();
    for _ in 0..20 {
        let mut raw = proxy.connect().await;
        raw.write(upload_head("203.0.113.1", "k", MIB)).await;
        raws.push(raw);
    }
    raws[0].write("x").await;
    wait_held(&proxy, STEP).await;
    raws[0].write(vec![b'x'; STEP]).await;
    wait_held(&proxy, 2 * STEP).await;
}

#[tokio::test]
async fn a_reply_held_for_a_tag_streams_untagged() {
    let body = vec![b'b'; 3 * STEP];
    let origin = Origin::replying(move |request| match request.method.as_str() {
        "GET" => Reply::ok(body.clone()),
        _ => Reply::new(201),
    });
    let proxy = proxy(&origin, SMALLEST, &format!("{KEYED}[etag]\n")).await;
    let ask = || proxy.get("/").header("x-forwarded-for", "203.0.113.2");
    assert!(ask().await.field("etag").starts_with("W/"));

    let _greedy = stalled(&proxy, "203.0.113.1", "k", MOST).await;
    wait_held(&proxy, 9 * STEP).await;
    let answer = ask().await;
    assert_eq!((answer.status, answer.field("etag"), answer.body.len()), (200, "", 3 * STEP));
    assert_eq!(shed(&proxy).await, 0, "nobody was turned away");
    wait_held(&proxy, 9 * STEP).await;
}

#[tokio::test]
async fn a_keyed_reply_without_room_is_streamed_whole_and_cannot_be_given_again() {
    let body = vec![b'b'; 700 * 1024];
    let origin = Origin::replying(move |_| Reply::new(201).body(body.clone()));
    let proxy = proxy(&origin, SMALLEST, KEYED).await;
    let first = order(&proxy, "203.0.113.1", "k").await;
    assert_eq!((first.status, first.body.len()), (201, 700 * 1024));

    let again = order(&proxy, "203.0.113.1", "k").await;
    assert_eq!((again.status, again.problem().as_str()), (409, "idempotency-response-not-stored"));
    assert_eq!(again.json()["original_status"], 201);
    assert!(again.text().contains("memory"), "{}", again.text());
    assert_eq!((origin.hits(), shed(&proxy).await), (1, 0));
    let log = proxy.wait_log("the tombstone", |line| line["msg"] == "a reply is not kept").await;
    assert_eq!(log["reason"], "memory");
    wait_held(&proxy, 0).await;
}

#[tokio::test]
async fn a_replay_without_room_is_refused_and_its_record_untouched() {
    let origin = Origin::replying(|_| Reply::new(201).body(vec![b'b'; 5 * STEP]));
    let proxy = proxy(&origin, SMALLEST, KEYED).await;
    assert_eq!(order(&proxy, "203.0.113.2", "k").await.status, 201);
    let greedy = stalled(&proxy, "203.0.113.1", "k", MOST).await;
    wait_held(&proxy, 9 * STEP).await;
    assert_overloaded(&order(&proxy, "203.0.113.2", "k").await);
    assert_eq!(shed(&proxy).await, 1);

    drop(greedy);
    wait_held(&proxy, 0).await;
    let replay = order(&proxy, "203.0.113.2", "k").await;
    assert_eq!((replay.status, replay.body.len(), replay.field("idempotent-replayed")), (201, 5 * STEP, "true"));
    assert_eq!(origin.hits(), 1);
}

/// A write that goes alone is judged by what is there; when that cannot be held, the write is not judged.
#[tokio::test]
async fn a_serialized_write_without_room_is_refused() {
    let origin = Origin::replying(|request| match request.method.as_str() {
        "GET" => Reply::ok(vec![b'b'; 12 * STEP]),
        _ => Reply::new(204),
    });
    let proxy = proxy(&origin, SMALLEST, "[etag]\nconcurrency = \"serialize\"\n").await;
    let answer = proxy.request("PUT", "/").header("if-match", "\"v1\"").body("new").await;
    assert_overloaded(&answer);
    assert!(origin.requests().iter().all(|request| request.method == "GET"));
    wait_held(&proxy, 0).await;
}

/// ID §12: it is there, and the client can take it when it says so.
#[tokio::test]
async fn a_stored_reply_too_large_without_its_coding_is_not_acceptable() {
    let coded = zeros_in_zstd(8);
    let origin = Origin::replying(move |_| Reply::new(201).field("content-encoding", "zstd").body(coded.clone()));
    let proxy = proxy(&origin, "", KEYED).await;
    let send = |coding| order(&proxy, "203.0.113.1", "k").header("accept-encoding", coding);
    assert_eq!(send("zstd").await.status, 201);

    let refused = send("identity").await;
    assert_eq!((refused.status, refused.problem().as_str()), (406, "not-acceptable"));
    assert_eq!(refused.field("idempotent-replayed"), "true");
    assert_eq!((&refused.json()["original_status"], &refused.json()["codings"][0]), (&201.into(), &"zstd".into()));
    let replay = send("gzip, zstd").await;
    assert_eq!((replay.status, replay.field("content-encoding")), (201, "zstd"));
    assert_eq!(origin.hits(), 1);
}

/// A held body takes memory while it stands still, so what it has earned by its pace does not count.
#[tokio::test]
async fn a_held_body_may_stand_still_for_ten_seconds() {
    let origin = Origin::returning(201, "made");
    let proxy = proxy(&origin, "", KEYED).await;
    let began = Instant::now();
    let mut raw = stalled(&proxy, "203.0.113.1", "k", MIB - 1).await;
    // The testkit waits ten seconds for an answer, and this one takes as long.
    assert!(tokio::time::timeout(Duration::from_secs(8), raw.some()).await.is_err());
    let answer = raw.some().await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    assert!((9..=13).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let blocked = |scrape: &vestibule_testkit::Scrape| {
        scrape.value("vestibule_threats_blocked_total", &[("kind", "slow_body")]) == 1.0
    };
    proxy.wait_metrics("a slow body", blocked).await;
    wait_held(&proxy, 0).await;
    assert_eq!(origin.hits(), 0);
}

/// A waiter that takes over a released claim sends what all of them sent, though its own body was let go.
#[tokio::test]
async fn a_waiter_that_takes_over_has_a_body_again() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::replying(move |request| {
        let status = if request.number == 1 { 503 } else { 201 };
        Reply::new(status).once(&opened)
    });
    let keys = "on_concurrent = \"wait\"\n";
    let proxy = proxy(&origin, "", &format!("{KEYED}{keys}")).await;
    let body = vec![b'w'; 3 * STEP];
    let send = || tokio::spawn(order(&proxy, "203.0.113.1", "k").body(body.clone()).into_future());
    let first = send();
    proxy.wait_metrics("the first to execute", |_| origin.hits() == 1).await;
    let waiters = [send(), send(), send()];
    // The first one's body, and for each a step for its reply.
    wait_held(&proxy, 3 * STEP + 4 * STEP).await;

    gate.open();
    assert_eq!(first.await.expect("no panic").status, 503);
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic").status, 201);
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.body[..] == body[..]));
    wait_held(&proxy, 0).await;
}
