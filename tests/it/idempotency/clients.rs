//! Clients that leave.

use super::stage::{On, Stage, is_replay, on_every_store, order, orders};
use vestibule_testkit::{Gate, Origin};

on_every_store! {
    a_client_that_leaves_before_its_body_is_whole_has_claimed_nothing,
    a_client_that_leaves_gets_its_reply_when_it_comes_back,
    a_waiter_that_leaves_is_not_waited_for,
    a_seat_is_taken_as_long_as_it_executes,
}

/// ID-30.
async fn a_client_that_leaves_before_its_body_is_whole_has_claimed_nothing(on: On) {
    let stage = Stage::new(on, orders()).await;
    let mut raw = stage.proxy.connect().await;
    let whole = stage.order("k").encoded();
    raw.write(&whole[..whole.len() - 1]).await;
    raw.reset();
    stage.assert_counted(&[("refused", 1)]).await;
    assert_eq!(stage.hits(), 0);
    let other = stage.post("/orders", "k").body("two").await;
    assert_eq!((other.status, is_replay(&other)), (201, false));
}

/// ID-30.
async fn a_client_that_leaves_gets_its_reply_when_it_comes_back(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let stage = Stage::new(on, Origin::replying(move |request| order(request).once(&waiting))).await;
    let mut raw = stage.proxy.connect().await;
    raw.write(stage.order("k").encoded()).await;
    stage.origin.wait_hits(1).await;
    raw.reset();
    let meanwhile = stage.order("k").await;
    assert_eq!((meanwhile.status, meanwhile.problem()), (409, "idempotency-in-progress".into()));
    gate.open();
    stage.assert_counted(&[("in_progress", 1), ("executed", 1)]).await;
    let again = stage.order("k").await;
    assert_eq!((again.status, again.text(), is_replay(&again)), (201, "{\"order\":1}".into(), true));
    assert_eq!(stage.hits(), 1);
    let lines = stage.proxy.wait_access(3).await;
    let gone = lines.iter().find(|line| line["end"] == "client_gone").expect("the access line of the first");
    assert_eq!((&gone["idempotency"], &gone["attempts"]), (&"executed".into(), &1.into()));
}

async fn a_waiter_that_leaves_is_not_waited_for(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |request| order(request).once(&waiting));
    let stage = Stage::with(on, origin, "on_concurrent = \"wait\"\nwait = \"60s\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let mut raw = stage.proxy.connect().await;
    raw.write(stage.order("k").encoded()).await;
    let active = |wanted: f64| {
        move |scrape: &vestibule_testkit::Scrape| scrape.value("http_server_active_requests", &[]) == wanted
    };
    stage.proxy.wait_metrics("two under way", active(2.0)).await;
    raw.reset();
    stage.proxy.wait_metrics("one left", active(1.0)).await;
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
}

/// One more execution than fits is turned away, its key stays free, and replays still work.
async fn a_seat_is_taken_as_long_as_it_executes(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/slow" => order(request).once(&waiting),
        _ => order(request),
    });
    let stage = Stage::with(on, origin, "max_in_flight = 2\n").await;
    assert_eq!(stage.order("known").await.status, 201);
    let mut clients = Vec::new();
    for key in ["a", "b"] {
        let mut raw = stage.proxy.connect().await;
        raw.write(stage.post("/slow", key).encoded()).await;
        clients.push(raw);
    }
    stage.origin.wait_hits(3).await;
    // Clients gone or not.
    clients.into_iter().for_each(vestibule_testkit::Raw::reset);
    let refused = stage.order("c").await;
    assert_eq!((refused.status, refused.problem()), (503, "overloaded".into()));
    assert_eq!(refused.field("retry-after"), "1");
    assert!(is_replay(&stage.order("known").await));
    gate.open();
    stage.assert_counted(&[("executed", 3), ("refused", 1), ("replayed", 1)]).await;
    let answer = stage.order("c").await;
    assert_eq!((answer.status, is_replay(&answer)), (201, false));
}
