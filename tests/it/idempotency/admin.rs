//! Forgetting a record by hand.

use super::stage::{On, Stage, is_replay, on_every_store, order};
use vestibule_testkit::{Gate, Origin, Reply};

on_every_store! {
    an_unknown_outcome_can_be_forgotten,
    a_live_claim_is_forgotten_by_force_alone,
    principals_are_named_as_they_are_known,
}

/// ID-42.
async fn an_unknown_outcome_can_be_forgotten(on: On) {
    let origin = Origin::replying(|request| if request.number == 1 { Reply::dying() } else { order(request) });
    let stage = Stage::new(on, origin).await;
    assert_eq!(stage.order("k 1/\u{25}").await.status, 400);
    assert_eq!(stage.order("\"k 1/%\"").await.status, 502);
    let line = stage
        .proxy
        .wait_log("an unknown outcome", |line| line["msg"] == "nobody knows whether a request was executed")
        .await;
    let id = line["principal_id"].as_str().expect("an id").to_owned();
    let delete = |target: String| stage.proxy.admin("DELETE", &target);
    assert_eq!(delete(format!("/idempotency/id:{id}/other")).await.status, 404);
    let path = format!("/idempotency/id:{id}/k%201%2F%25");
    assert_eq!(delete(path.clone()).await.status, 204);
    assert_eq!(delete(path).await.status, 404);
    assert_eq!(stage.order("\"k 1/%\"").await.status, 201);
    assert_eq!(stage.hits(), 2);
}

/// ID-42.
async fn a_live_claim_is_forgotten_by_force_alone(on: On) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |request| order(request).once(&waiting));
    let stage = Stage::with(on, origin, "anonymous = \"share\"\n").await;
    let send = || stage.proxy.post("/orders").header("idempotency-key", "k").send();
    let first = tokio::spawn(send());
    stage.origin.wait_hits(1).await;
    let refused = stage.proxy.admin("DELETE", "/idempotency/anonymous/k").await;
    assert_eq!((refused.status, refused.problem()), (409, "conflict".into()));
    let forced = stage.proxy.admin("DELETE", "/idempotency/anonymous/k?force=true").await;
    assert_eq!(forced.status, 204);
    let second = tokio::spawn(send());
    stage.origin.wait_hits(2).await;
    gate.open();
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    assert_eq!((first.status, second.status), (201, 201));
    let again = send().await;
    assert!(is_replay(&again));
    assert_eq!(again.body, second.body, "the claim of the second was the one that counted");
}

async fn principals_are_named_as_they_are_known(on: On) {
    let routes = "[[routes]]\nname = \"a\"\npath = \"/a\"\nidempotency = { principal = [\"address\"] }\n\
                  [[routes]]\nname = \"n\"\npath = \"/n\"\nidempotency = { principal = [\"none\"] }\n";
    let stage = Stage::with(on, Origin::replying(order), routes).await;
    for (target, principal) in [("/a", "address:127.0.0.1"), ("/n", "none")] {
        assert!(!is_replay(&stage.post(target, "k").await));
        let path = format!("/idempotency/{principal}/k");
        assert_eq!(stage.proxy.admin("DELETE", &path).await.status, 204, "{principal}");
        assert!(!is_replay(&stage.post(target, "k").await));
    }
    for (target, status) in [
        ("/idempotency/somebody/k", 400),
        ("/idempotency/id:xyz/k", 400),
        ("/idempotency/address:nowhere/k", 400),
        ("/idempotency/none/", 400),
        ("/idempotency/none/k?force=yes", 400),
        ("/idempotency/none", 404),
        ("/idempotency/subject:https:%2F%2Fid.example%7Calice/k", 404),
        ("/idempotency/api_key:a/k", 404),
    ] {
        assert_eq!(stage.proxy.admin("DELETE", target).await.status, status, "{target}");
    }
    let wrong = stage.proxy.admin("GET", "/idempotency/none/k").await;
    assert_eq!((wrong.status, wrong.field("allow")), (405, "DELETE"));
}
