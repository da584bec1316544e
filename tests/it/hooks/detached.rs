//! A call that outlives its client.

use super::journal::Call;
use super::rig::{HOLDER, Rig, STREAM, assert_invariant};
use super::script::{SURVIVES, Script};
use vestibule_plugin::Detach;
use vestibule_testkit::{Gate, Origin, Raw, Reply};

fn held_until(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::replying(move |_| Reply::new(201).body("made").once(&gate))
}

async fn leave_after_the_origin_has_it(rig: &Rig, origin: &Origin) {
    let mut raw = Raw::connect(rig.address()).await;
    raw.write(rig.request("POST", "/orders").body("one").encoded()).await;
    origin.wait("the whole request", |counts| counts.complete == 1).await;
    raw.finish_writing().await;
    raw.closed().await;
}

#[tokio::test]
async fn a_detached_call_finishes_at_the_origin_and_in_the_hooks_after_the_client_left() {
    let gate = Gate::closed();
    let origin = held_until(&gate);
    let script = Script::holding(Some(1000), SURVIVES);
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, script)]).await;
    leave_after_the_origin_has_it(&rig, &origin).await;
    assert_eq!(rig.journal.who(Call::End), Vec::<&str>::new(), "it is not over: the call goes on");
    gate.open();
    rig.journal.wait(HOLDER, Call::Held).await;
    let journal = rig.finish().await;
    assert_eq!(journal.note(HOLDER, Call::Held), "4", "the hook saw the whole reply");
    assert_eq!(journal.note(HOLDER, Call::End), "client_gone edge -");
    assert_invariant("detached", &journal, None);
    let counts = origin.counts();
    assert_eq!((counts.hits, counts.aborted), (1, 0));
}

#[tokio::test]
async fn a_call_that_belongs_to_its_client_ends_with_it() {
    let origin = held_until(&Gate::closed());
    let script = Script::holding(Some(1000), Detach::WithClient);
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, script)]).await;
    leave_after_the_origin_has_it(&rig, &origin).await;
    origin.wait("the end of the call", |counts| counts.aborted == 1).await;
    let journal = rig.finish().await;
    assert_eq!(journal.who(Call::Held), Vec::<&str>::new());
    assert_eq!(journal.note(HOLDER, Call::End), "client_gone edge -");
    assert_invariant("with its client", &journal, None);
}

/// A hook that takes its time over a reply nobody waits for is given it.
#[tokio::test]
async fn a_hook_of_a_detached_call_may_wait_after_the_client_left() {
    let (gate, word) = (Gate::closed(), Gate::closed());
    let origin = held_until(&gate);
    let script = Script::holding(Some(1000), SURVIVES).waiting(Call::Held, &word);
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, script)]).await;
    gate.open();
    leave_after_the_origin_has_it(&rig, &origin).await;
    rig.journal.wait(HOLDER, Call::Held).await;
    word.open();
    assert_invariant("a late word", &rig.finish().await, None);
}

/// SIGTERM lets executions finish and store within `drain_timeout`, whoever still waits for them.
#[tokio::test]
async fn a_drain_waits_for_a_detached_call() {
    let gate = Gate::closed();
    let origin = held_until(&gate);
    let script = Script::holding(Some(1000), SURVIVES);
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, script)]).await;
    leave_after_the_origin_has_it(&rig, &origin).await;
    let journal = rig.journal.clone();
    let mut drain = std::pin::pin!(rig.drain());
    // The drain looks every 20 ms; it must still be waiting after several looks.
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut drain).await;
    assert!(early.is_err(), "the drain ended while a call was under way");
    gate.open();
    drain.await;
    assert_eq!(journal.note(HOLDER, Call::Held), "4");
    assert_invariant("drained", &journal, None);
}

/// The bound for a call nobody waits for is the upstream's own deadline.
#[tokio::test]
async fn a_detached_call_ends_at_its_deadline() {
    let origin = held_until(&Gate::closed());
    let script = Script::holding(Some(1000), SURVIVES);
    let toml = format!("{STREAM}[upstream]\nread_timeout = \"300ms\"\n");
    let rig = Rig::start(&origin.url(), &toml, &[(HOLDER, script)]).await;
    leave_after_the_origin_has_it(&rig, &origin).await;
    let journal = rig.finish().await;
    assert_eq!(journal.note(HOLDER, Call::End), "client_gone edge -");
    assert_invariant("deadline", &journal, None);
    origin.wait("the end of the call", |counts| counts.aborted == 1).await;
}
