//! Requests with a key, with every plugin attached: the invariant holds, and no claim is left behind.

use super::journal::{Call, Journal};
use super::rig::{HOLDER, Rig, assert_invariant};
use super::script::{Deed, Script};
use vestibule_testkit::{Gate, Origin, Raw, Reply, Request};

const KEYED: &str = "[rate_limit.policies.wide]\nlimit = \"100000/s\"\n[rate_limit.tiers]\nanonymous = [\"wide\"]\n\
                     [idempotency]\nprincipal = [\"none\"]\n[upstream]\nread_timeout = \"300ms\"\n";

fn order(rig: &Rig) -> Request {
    rig.request("POST", "/orders").header("idempotency-key", "k").body("one")
}

/// One request that ends as `script` and the origin's `reply` make it; its status, and then that of its repetition.
async fn twice(case: &str, reply: Reply, script: Script) -> (u16, u16, usize) {
    let origin = Origin::replying(move |_| reply.clone());
    let rig = Rig::start(&origin.url(), KEYED, &[(HOLDER, script)]).await;
    let first = order(&rig).await.status;
    rig.journal.wait_ends().await;
    assert_invariant(case, &rig.journal, None);
    rig.journal.clear();
    let second = order(&rig).await.status;
    let journal = rig.finish().await;
    assert_invariant(case, &journal, None);
    (first, second, origin.hits())
}

#[tokio::test]
async fn every_hook_learns_every_end_once() {
    let plain = Script::default;
    assert_eq!(twice("executed and replayed", Reply::new(201), plain()).await, (201, 201, 1));
    assert_eq!(twice("released", Reply::new(503), plain()).await, (503, 503, 2));
    assert_eq!(twice("uncertain", Reply::dying(), plain()).await, (502, 409, 1));
    assert_eq!(twice("too slow", Reply::never(), plain()).await, (504, 409, 1));
}

/// An inner plugin that answers after the claim has sent nothing: the key is free again.
#[tokio::test]
async fn an_inner_answer_releases_the_claim() {
    for call in [Call::Forward, Call::Request] {
        let refuses = Script::doing(call, Deed::Respond(412));
        assert_eq!(twice("an inner answer", Reply::new(201), refuses).await, (412, 412, 0));
    }
}

/// The client leaves while its request executes: the hooks learn it when the execution is over.
#[tokio::test]
async fn a_client_that_leaves_ends_nothing() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |_| Reply::new(201).once(&waiting));
    let rig = Rig::start(&origin.url(), &KEYED.replace("300ms", "60s"), &[(HOLDER, Script::default())]).await;
    let mut raw = Raw::connect(rig.address()).await;
    raw.write(order(&rig).encoded()).await;
    origin.wait_hits(1).await;
    raw.reset();
    gate.open();
    let journal: Journal = rig.finish().await;
    assert_invariant("left", &journal, None);
    assert_eq!(journal.who(Call::Held), ["idempotency"]);
}

/// Each attempt has its last word, and a call that came to nothing is told to those that hold before anybody else.
#[tokio::test]
async fn the_last_word_and_the_end_of_a_call_are_told_in_order() {
    let origin = Origin::replying(|_| Reply::dying());
    let rig = Rig::start(&origin.url(), KEYED, &[(HOLDER, Script::default())]).await;
    order(&rig).await;
    let journal = rig.finish().await;
    assert_eq!(journal.who(Call::Send), ["idempotency"]);
    assert_eq!(journal.who(Call::Failed), ["idempotency"]);
    let note = journal.note("idempotency", Call::Failed);
    assert_eq!(note, "Failure { sent: Something, head: None, why: Broken }");
    let at = |call| journal.entries().iter().position(|entry| entry.call == call).expect("it was made");
    assert!(at(Call::Forward) < at(Call::Send) && at(Call::Send) < at(Call::Failed));
    assert!(at(Call::Failed) < at(Call::Response));
}
