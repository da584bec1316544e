//! Callers with one key at the same time.

use super::stage::{On, Stage, is_replay, on_every_store, order, orders, slow};
use std::time::Duration;
use vestibule_testkit::{Answer, Gate, Origin, Reply};

on_every_store! {
    of_two_hundred_at_once_one_is_executed,
    two_hundred_that_wait_get_one_reply,
    a_waiter_gives_up_when_its_time_is_over,
    when_a_claim_is_released_one_waiter_takes_it,
    another_request_does_not_wait,
    what_is_known_at_the_first_byte_is_known_to_all,
    waiters_learn_of_every_outcome,
}

async fn all(stage: &Stage, key: &str, count: usize) -> Vec<Answer> {
    futures::future::join_all((0..count).map(|_| stage.order(key).send())).await
}

/// ID-09.
async fn of_two_hundred_at_once_one_is_executed(on: On) {
    let origin = Origin::replying(|request| order(request).after(Duration::from_millis(300)));
    let stage = Stage::new(on, origin).await;
    let answers = all(&stage, "k", 200).await;
    let first: Vec<_> = answers.iter().filter(|answer| answer.status == 201 && !is_replay(answer)).collect();
    assert_eq!(first.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((answer.status, answer.problem()), (409, "idempotency-in-progress".into()));
        assert_eq!(answer.field("retry-after"), "1");
    }
    assert!(answers.iter().filter(|answer| is_replay(answer)).all(|answer| answer.body == first[0].body));
    assert_eq!(stage.hits(), 1);
}

/// ID-10.
async fn two_hundred_that_wait_get_one_reply(on: On) {
    let origin = Origin::replying(|request| order(request).after(Duration::from_millis(300)));
    let stage = Stage::with(on, origin, "on_concurrent = \"wait\"\n").await;
    let answers = all(&stage, "k", 200).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    assert_eq!(answers.iter().filter(|answer| is_replay(answer)).count(), 199);
    assert_eq!(stage.hits(), 1);
}

async fn a_waiter_gives_up_when_its_time_is_over(on: On) {
    let gate = Gate::closed();
    let stage = Stage::with(on, slow(&gate), "on_concurrent = \"wait\"\nwait = \"300ms\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let waiter = stage.order("k").await;
    assert_eq!((waiter.status, waiter.problem()), (409, "idempotency-in-progress".into()));
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
    assert!(is_replay(&stage.order("k").await));
}

async fn when_a_claim_is_released_one_waiter_takes_it(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |request| match request.number {
        1 => Reply::new(503).body("not now").once(&waiting),
        _ => order(request),
    });
    let stage = Stage::with(on, origin, "on_concurrent = \"wait\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let waiters: Vec<_> = (0..20).map(|_| tokio::spawn(stage.order("k").send())).collect();
    stage.proxy.wait_metrics("21 requests", |scrape| scrape.value("http_server_active_requests", &[]) >= 21.0).await;
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 503);
    let mut executed = 0;
    for waiter in waiters {
        let answer = waiter.await.expect("no panic");
        assert_eq!(answer.text(), "{\"order\":2}");
        executed += usize::from(!is_replay(&answer));
    }
    assert_eq!((executed, stage.hits()), (1, 2));
}

/// ID-11, while the first is in flight.
async fn another_request_does_not_wait(on: On) {
    for keys in ["", "on_concurrent = \"wait\"\n"] {
        let gate = Gate::closed();
        let stage = Stage::with(on, slow(&gate), keys).await;
        let first = tokio::spawn(stage.order("k").send());
        stage.origin.wait_hits(1).await;
        let other = stage.post("/orders", "k").body("two").await;
        assert_eq!((other.status, other.problem()), (422, "idempotency-key-reused".into()));
        gate.open();
        assert_eq!(first.await.expect("no panic").status, 201);
    }
}

/// From the moment a client sees the first byte of a reply, a repetition gets the replay.
async fn what_is_known_at_the_first_byte_is_known_to_all(on: On) {
    let stage = Stage::new(on, orders()).await;
    let (mut one, mut other) = (stage.proxy.connect().await, stage.proxy.connect().await);
    for round in 0..200 {
        let key = format!("k{round}");
        one.write(stage.order(&key).encoded()).await;
        let mut seen = one.some().await.to_vec();
        let again = stage.order(&key).on(&mut other).await;
        assert!(is_replay(&again), "{round}");
        while !seen.ends_with(b"}") {
            seen.extend_from_slice(&one.some().await);
        }
    }
    assert_eq!(stage.hits(), 200);
}

async fn waiters_learn_of_every_outcome(on: On) {
    for (reply, status, problem) in [
        (Reply::dying(), 409, "idempotency-outcome-unknown"),
        (Reply::ok(vec![b'x'; 2 << 20]), 409, "idempotency-response-not-stored"),
        (Reply::new(500).body("x"), 500, ""),
    ] {
        let gate = Gate::closed();
        let reply = reply.once(&gate);
        let stage = Stage::with(on, Origin::replying(move |_| reply.clone()), "on_concurrent = \"wait\"\n").await;
        let first = tokio::spawn(stage.order("k").send());
        stage.origin.wait_hits(1).await;
        let waiter = tokio::spawn(stage.order("k").send());
        stage.proxy.wait_metrics("2 requests", |scrape| scrape.value("http_server_active_requests", &[]) >= 2.0).await;
        gate.open();
        first.await.expect("no panic");
        let waiter = waiter.await.expect("no panic");
        assert_eq!((waiter.status, waiter.problem().as_str()), (status, problem));
        assert_eq!(stage.hits(), 1);
    }
}
