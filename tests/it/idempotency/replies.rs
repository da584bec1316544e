//! What the application answers, and what is kept of it.

use super::stage::{On, Stage, is_replay, on_every_store, order, orders};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vestibule_testkit::{Gate, Origin, Received, Reply};

on_every_store! {
    a_failure_is_kept_or_not_as_the_profile_says,
    a_reply_that_means_try_again_is_not_kept,
    a_gateways_failure_leaves_the_outcome_open,
    the_application_has_a_word,
    a_reply_that_is_too_large_is_given_once,
    a_stream_is_given_once_and_at_once,
    a_record_ends,
    interim_replies_and_trailers_are_dropped,
    a_first_reply_carries_no_mark,
}

/// `first` once, then an order.
fn at_first(first: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Origin {
    let asked = Arc::new(AtomicUsize::new(0));
    Origin::replying(move |request| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => first(request),
        _ => order(request),
    })
}

/// ID-19.
async fn a_failure_is_kept_or_not_as_the_profile_says(on: On) {
    for status in [500, 501, 507] {
        let stage = Stage::new(on, at_first(move |_| Reply::new(status).body("broken"))).await;
        assert_eq!(stage.order("k").await.status, status);
        let again = stage.order("k").await;
        assert_eq!((again.status, again.text(), is_replay(&again)), (status, "broken".into(), true));
        assert_eq!(stage.hits(), 1);
    }
    for status in [500, 502, 503, 504] {
        let friendly = "profile = \"retry_friendly\"\n";
        let stage = Stage::with(on, at_first(move |_| Reply::new(status).body("broken")), friendly).await;
        assert_eq!(stage.order("k").await.status, status);
        assert_eq!(stage.order("k").await.status, 201, "{status}");
        assert!(is_replay(&stage.order("k").await));
        assert_eq!(stage.hits(), 2);
    }
}

/// ID-20.
async fn a_reply_that_means_try_again_is_not_kept(on: On) {
    for status in [401, 403, 407, 408, 421, 425, 429, 503] {
        let stage = Stage::new(on, at_first(move |_| Reply::new(status).body("not now"))).await;
        let first = stage.order("k").await;
        assert_eq!((first.status, first.text()), (status, "not now".into()));
        let (second, third) = (stage.order("k").await, stage.order("k").await);
        assert_eq!((second.status, is_replay(&second)), (201, false), "{status}");
        assert_eq!((&third.body, is_replay(&third)), (&second.body, true), "{status}");
        assert_eq!(stage.hits(), 2);
    }
}

/// ID-21.
async fn a_gateways_failure_leaves_the_outcome_open(on: On) {
    for status in [502, 504] {
        let stage = Stage::new(on, at_first(move |_| Reply::new(status).body("from a gateway"))).await;
        let first = stage.order("k").await;
        assert_eq!((first.status, first.text()), (status, "from a gateway".into()));
        for _ in 0..2 {
            let again = stage.order("k").await;
            assert_eq!((again.status, again.problem()), (409, "idempotency-outcome-unknown".into()));
            assert!(!again.fields.has("retry-after"));
        }
        assert_eq!(stage.hits(), 1);
        let executes = "on_uncertain = \"execute\"\n";
        let stage = Stage::with(on, at_first(move |_| Reply::new(status)), executes).await;
        assert_eq!(stage.order("k").await.status, status);
        assert_eq!(stage.order("k").await.status, 201, "the operator said so");
        assert_eq!(stage.hits(), 2);
    }
}

/// ID-22.
async fn the_application_has_a_word(on: On) {
    let says =
        |word: &'static str| Origin::replying(move |request| order(request).field("Vestibule-Idempotency", word));
    let unstored = Stage::new(on, says("no-store")).await;
    for _ in 0..2 {
        let answer = unstored.order("k").await;
        assert!(!is_replay(&answer) && !answer.fields.has("vestibule-idempotency"));
    }
    assert_eq!(unstored.hits(), 2);

    let brief = Stage::new(on, says("ttl=1")).await;
    let first = brief.order("k").await;
    assert!(!first.fields.has("vestibule-idempotency"));
    let again = brief.order("k").await;
    assert!(is_replay(&again) && !again.fields.has("vestibule-idempotency"));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!is_replay(&brief.order("k").await));
    assert_eq!(brief.hits(), 2);

    let odd = Stage::new(on, says("ttl=soon")).await;
    let answer = odd.order("k").await;
    assert!(!answer.fields.has("vestibule-idempotency"));
    assert!(is_replay(&odd.order("k").await), "what cannot be read counts as nothing");
    odd.proxy
        .wait_log("a malformed word", |line| line["msg"].as_str().is_some_and(|msg| msg.contains("malformed")))
        .await;
    // Also where nothing is protected.
    assert!(!odd.proxy.get("/").await.fields.has("vestibule-idempotency"));
    assert!(!odd.proxy.post("/").body("x").await.fields.has("vestibule-idempotency"));
}

/// ID-26.
async fn a_reply_that_is_too_large_is_given_once(on: On) {
    const LARGE: usize = 5 << 20;
    for declared in [true, false] {
        let body = vec![b'x'; LARGE];
        let reply = match declared {
            true => Reply::ok(body),
            false => Reply::new(200).chunks_of(1 << 16, Duration::ZERO, body),
        };
        let stage = Stage::new(on, Origin::replying(move |_| reply.clone())).await;
        let first = stage.order("k").await;
        assert_eq!((first.status, first.body.len()), (200, LARGE));
        let again = stage.order("k").await;
        assert_eq!((again.status, again.problem()), (409, "idempotency-response-not-stored".into()));
        assert_eq!(again.json()["original_status"], 200);
        assert_eq!(stage.hits(), 1);
        stage.assert_counted(&[("not_stored", 2)]).await;
    }
}

/// ID-27.
async fn a_stream_is_given_once_and_at_once(on: On) {
    for stream in ["text/event-stream", "multipart/x-mixed-replace; boundary=x", ""] {
        let stop = Gate::closed();
        let events = stop.clone();
        let origin = Origin::replying(move |_| {
            let reply = Reply::new(200).chunk("data: 1\n\n");
            let reply = match stream {
                "" => reply.field("x-accel-buffering", "no"),
                stream => reply.field("content-type", stream),
            };
            reply.chunk_after(Duration::from_secs(20), "never")
        });
        drop(events);
        let stage = Stage::new(on, origin).await;
        let mut raw = stage.proxy.connect().await;
        let began = Instant::now();
        raw.write(stage.order("k").encoded()).await;
        raw.until("data: 1").await;
        // The bound of the promise is 200 ms; a machine that compiles beside this is slower.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let again = stage.order("k").await;
        assert_eq!((again.status, again.problem()), (409, "idempotency-response-not-stored".into()), "{stream}");
        drop(raw);
        stage.origin.wait("the end of a stream that nobody reads", |counts| counts.aborted == 1).await;
        assert_eq!(stage.hits(), 1);
    }
}

/// ID-38.
async fn a_record_ends(on: On) {
    let stage = Stage::with(on, orders(), "ttl = \"1s\"\n").await;
    assert!(!is_replay(&stage.order("k").await));
    assert!(is_replay(&stage.order("k").await));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 2);
}

async fn interim_replies_and_trailers_are_dropped(on: On) {
    let origin =
        Origin::replying(|_| Reply::new(200).interim(103, &[("link", "</a>")]).chunk("body").trailer("x-sum", "1"));
    let stage = Stage::new(on, origin).await;
    for _ in 0..2 {
        let answer = stage.order("k").await;
        assert_eq!((answer.status, answer.text()), (200, "body".into()));
        assert_eq!((answer.interim.len(), answer.trailers.has("x-sum")), (0, false));
    }
}

/// Whatever the application says of itself, or another proxy in front of it.
async fn a_first_reply_carries_no_mark(on: On) {
    let marked =
        |_: &Received| Reply::new(201).field("idempotent-replayed", "true").field("idempotency-status", "bypassed");
    let stage = Stage::new(on, Origin::replying(marked)).await;
    let first = stage.order("k").await;
    assert!(first.status == 201 && !is_replay(&first) && !first.fields.has("idempotency-status"), "{:?}", first.fields);
    let again = stage.order("k").await;
    assert_eq!((is_replay(&again), again.fields.count("idempotent-replayed")), (true, 1));
    assert!(!again.fields.has("idempotency-status"));
}
