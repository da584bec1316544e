//! What the application does not answer.

use super::stage::{On, Stage, is_replay, on_every_store, order, orders};
use std::time::Duration;
use vestibule_testkit::origin::{Cut, Then};
use vestibule_testkit::{Certs, Fault, Gate, H2Origin, H2Reply, Origin, Over, Proxy, Relay, Reply};

on_every_store! {
    an_application_that_cannot_be_reached_was_not_asked,
    a_connect_that_takes_too_long_was_not_asked,
    an_application_that_dies_leaves_the_outcome_open,
    an_answer_that_comes_too_late_leaves_the_outcome_open,
    an_execution_ends_at_its_deadline,
    a_reply_that_breaks_off_is_not_stored,
    a_connection_that_the_application_closed_meanwhile_is_not_used,
    nothing_is_resent_after_a_byte_was_written,
    a_friend_of_retries_executes_after_every_failure,
    a_reply_that_breaks_off_says_what_its_status_says,
    a_reply_that_comes_before_the_request_was_read_counts,
    a_reply_that_resets_the_rest_of_the_request_counts,
}

/// ID-23.
async fn an_application_that_cannot_be_reached_was_not_asked(on: On) {
    let origin = orders();
    let relay = Relay::to(origin.address());
    relay.set(Fault::Refuse).await;
    let stage = Stage::reaching(on, origin, &format!("http://{}", relay.address()), "").await;
    let refused = stage.order("k").await;
    assert_eq!((refused.status, refused.problem()), (502, "upstream-unreachable".into()));
    relay.set(Fault::None).await;
    let again = stage.order("k").await;
    assert_eq!((again.status, is_replay(&again)), (201, false));
    assert_eq!(stage.hits(), 1);
    stage.assert_counted(&[("executed", 2)]).await;
}

/// ID-24. TLS belongs to connecting: a handshake that nobody answers is a connection that was never made.
async fn a_connect_that_takes_too_long_was_not_asked(on: On) {
    let certs = Certs::new();
    let origin = Origin::tls(&certs, order);
    let relay = Relay::to(origin.address());
    relay.set(Fault::Stall).await;
    let upstream = format!(
        "[upstream]\nconnect_timeout = \"300ms\"\nserver_name = \"localhost\"\nca_file = {:?}\n",
        certs.ca_file()
    );
    let stage = Stage::reaching(on, origin, &format!("https://{}", relay.address()), &upstream).await;
    let first = stage.order("k").await;
    assert_eq!((first.status, first.problem()), (504, "upstream-timeout".into()));
    relay.set(Fault::None).await;
    let again = stage.order("k").await;
    assert_eq!((again.status, is_replay(&again)), (201, false));
    assert_eq!(stage.hits(), 1);
}

async fn an_application_that_dies_leaves_the_outcome_open(on: On) {
    let stage = Stage::new(on, Origin::replying(|_| Reply::dying())).await;
    let first = stage.order("k").await;
    assert_eq!((first.status, first.problem()), (502, "idempotency-outcome-unknown".into()));
    assert!(!first.fields.has("retry-after"));
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem()), (409, "idempotency-outcome-unknown".into()));
    assert_eq!(stage.hits(), 1);
    stage.assert_counted(&[("uncertain", 2)]).await;
    let line = stage
        .proxy
        .wait_log("an unknown outcome", |line| line["msg"] == "nobody knows whether a request was executed")
        .await;
    assert_eq!(line["principal_id"].as_str().map(str::len), Some(32));
}

/// ID-25.
async fn an_answer_that_comes_too_late_leaves_the_outcome_open(on: On) {
    let late = Gate::closed();
    let gate = late.clone();
    let origin = Origin::replying(move |request| order(request).once(&gate));
    let stage = Stage::with(on, origin, "[upstream]\nread_timeout = \"300ms\"\n").await;
    let first = stage.order("k").await;
    assert_eq!((first.status, first.problem()), (504, "idempotency-outcome-unknown".into()));
    late.open();
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem()), (409, "idempotency-outcome-unknown".into()));
    assert_eq!(stage.hits(), 1);
}

async fn an_execution_ends_at_its_deadline(on: On) {
    // It says something now and then, so no read ever times out.
    let origin = Origin::replying(|_| {
        (0..100).fold(Reply::new(200), |reply, _| reply.chunk_after(Duration::from_millis(100), "x"))
    });
    let stage = Stage::with(on, origin, "deadline = \"1s\"\n").await;
    let first = stage.order("k").await;
    assert_eq!((first.status, first.problem()), (502, "idempotency-response-not-stored".into()));
    assert_eq!(first.json()["original_status"], 200);
    let silent = Stage::with(on, Origin::replying(|_| Reply::never()), "deadline = \"1s\"\n").await;
    let first = silent.order("k").await;
    assert_eq!((first.status, first.problem()), (504, "idempotency-outcome-unknown".into()));
}

async fn a_reply_that_breaks_off_is_not_stored(on: On) {
    let stage = Stage::new(on, Origin::replying(|request| order(request).cut(Cut::Body(3)))).await;
    let first = stage.order("k").await;
    assert_eq!((first.status, first.problem()), (502, "idempotency-response-not-stored".into()));
    assert_eq!(first.json()["original_status"], 201);
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem()), (409, "idempotency-response-not-stored".into()));
    assert_eq!(again.json()["original_status"], 201);
    assert_eq!(stage.hits(), 1);
    let stage = Stage::new(on, Origin::replying(|request| order(request).cut(Cut::Head(9)))).await;
    assert_eq!(stage.order("k").await.problem(), "idempotency-outcome-unknown", "half a head is no reply");
}

/// Ordinary keep-alive closing makes no uncertain record.
async fn a_connection_that_the_application_closed_meanwhile_is_not_used(on: On) {
    let origin = orders();
    let relay = Relay::to(origin.address());
    let stage = Stage::reaching(on, origin, &format!("http://{}", relay.address()), "").await;
    let mut raw = stage.proxy.connect().await;
    for round in 0..20 {
        assert_eq!(stage.order(&format!("k{round}")).on(&mut raw).await.status, 201);
        // Every connection ends, and is known to have ended, before the next request.
        relay.set(Fault::Reset).await;
        stage.origin.wait("no open connection", |counts| counts.open == 0).await;
        relay.set(Fault::None).await;
    }
    assert_eq!(stage.hits(), 20);
}

async fn nothing_is_resent_after_a_byte_was_written(on: On) {
    for cut in [1, 20, 150] {
        let origin = orders();
        let relay = Relay::to(origin.address());
        relay.set(Fault::CutRequest(cut)).await;
        let stage = Stage::reaching(on, origin, &format!("http://{}", relay.address()), "").await;
        let first = stage.order("k").await;
        assert_eq!((first.status, first.problem()), (502, "idempotency-outcome-unknown".into()), "{cut}");
        assert_eq!(relay.connections(), 1, "{cut}");
        relay.set(Fault::None).await;
        assert_eq!(stage.order("k").await.problem(), "idempotency-outcome-unknown");
        assert_eq!(stage.hits(), 0, "we cannot know that it never got it whole");
    }
}

async fn a_friend_of_retries_executes_after_every_failure(on: On) {
    let friendly = "profile = \"retry_friendly\"\n";
    for broken in [Reply::dying(), Reply::ok("whole").cut(Cut::Body(2))] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let origin = Origin::replying(move |request| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => broken.clone(),
            _ => order(request),
        });
        let stage = Stage::with(on, origin, friendly).await;
        assert_eq!(stage.order("k").await.status, 502);
        assert_eq!(stage.order("k").await.status, 201);
        assert_eq!(stage.hits(), 2);
    }
}

/// What an HTTP/2 application refuses to process may be sent again, twice; then it was never executed.
#[tokio::test]
async fn a_refused_stream_was_not_processed() {
    let origin = H2Origin::replying(Over::Cleartext, |request| match request.number {
        1..=3 => H2Reply::refused(),
        _ => H2Reply::new(201).chunk("made"),
    });
    let toml = On::Memory.open().await.toml("");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let order = || super::stage::keyed(proxy.post("/orders"), "k").body("one");
    let first = order().await;
    assert_eq!((first.status, first.problem()), (502, "upstream-unreachable".into()));
    assert_eq!(origin.hits(), 3);
    let again = order().await;
    assert_eq!((again.status, again.text()), (201, "made".into()));
    assert!(is_replay(&order().await));
}

/// A status that says that nothing was done says so with half a body, too.
async fn a_reply_that_breaks_off_says_what_its_status_says(on: On) {
    for status in [401, 429, 503] {
        let stage =
            Stage::new(on, Origin::replying(move |_| Reply::new(status).body("0123456789").cut(Cut::Body(4)))).await;
        assert_eq!(stage.order("k").await.status, 502, "{status}");
        stage.order("k").await;
        assert_eq!(stage.hits(), 2, "{status}: executed again");
    }
    let stage = Stage::new(on, Origin::replying(|_| Reply::new(502).body("0123456789").cut(Cut::Body(4)))).await;
    stage.order("k").await;
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem()), (409, "idempotency-outcome-unknown".into()));
}

/// An application may answer before it has read everything, and read no more.
async fn a_reply_that_comes_before_the_request_was_read_counts(on: On) {
    const LONG: usize = 1 << 20;
    let closes = Origin::at_head(|_| Reply::new(401).body("no").leaving_the_upload().then(Then::Close));
    let stage = Stage::new(on, closes).await;
    for n in 0..20 {
        let answer = stage.post("/orders", &format!("k{n}")).body("x".repeat(LONG)).await;
        assert_eq!((answer.status, answer.text()), (401, "no".to_owned()), "{n}");
    }
    let stays = Origin::at_head(|_| Reply::new(413).body("too much").leaving_the_upload());
    let lines =
        "max_request_body = \"16MiB\"\n[server]\nmax_body_bytes = \"16MiB\"\n[upstream]\nwrite_timeout = \"300ms\"\n";
    let stage = Stage::with(on, stays, lines).await;
    let order = || stage.post("/orders", "k").body("x".repeat(12 << 20));
    let first = order().await;
    assert_eq!((first.status, first.text()), (413, "too much".to_owned()));
    let again = order().await;
    assert_eq!((again.status, is_replay(&again), stage.hits()), (413, true, 1));
}

/// RFC 9113 section 8.1: a reset without an error behind a whole reply.
async fn a_reply_that_resets_the_rest_of_the_request_counts(on: On) {
    let reply = || H2Reply::new(413).chunk("too much").leaving_the_upload();
    let origin = H2Origin::at_head(Over::Cleartext, move |_| reply());
    let stage = Stage::reaching(on, orders(), &origin.url(), "").await;
    let order = || stage.post("/orders", "k").body("x".repeat(900 << 10));
    let first = order().await;
    assert_eq!(first.status, 413, "{}", first.text());
    let again = order().await;
    assert_eq!((again.status, is_replay(&again), origin.hits()), (413, true, 1));
}
