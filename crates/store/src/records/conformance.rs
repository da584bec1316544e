//! What every store must do, as tests that any of them can run.

use super::*;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store under test, and how its time passes.
pub(crate) struct Rig<'a> {
    pub(crate) records: &'a dyn Records,
    pub(crate) pass: &'a (dyn Fn(Duration) -> BoxFuture<'a, ()> + Sync),
}

/// Far apart from each other, and longer than a slow machine takes for a few operations.
const LEASE: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(2);

fn hold(request: u8) -> Hold {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let mut name = [0; 16];
    name[..8].copy_from_slice(&NAMES.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    name[8..].copy_from_slice(&rand::random::<[u8; 8]>());
    Hold {
        name: Name(name),
        fingerprint: Fingerprint([request; 32]),
        owner: Owner::draw(),
        trace_id: rand::random(),
        payer: Payer::default(),
    }
}

fn other_owner(of: Hold) -> Hold {
    Hold { owner: Owner::draw(), trace_id: rand::random(), ..of }
}

fn other_request(of: Hold) -> Hold {
    Hold { fingerprint: Fingerprint([0xee; 32]), ..other_owner(of) }
}

fn done(reply: &[u8]) -> Outcome {
    Outcome::Done { status: 201, reply: Bytes::copy_from_slice(reply) }
}

impl Rig<'_> {
    async fn begin(&self, hold: Hold) -> Begun {
        self.claim(hold, Abandoned::Respect).await
    }

    async fn claim(&self, hold: Hold, abandoned: Abandoned) -> Begun {
        self.records.begin(Claim { hold, lease: LEASE, ttl: TTL, abandoned, replicas: 0 }).get().await.expect("begin")
    }

    async fn renew(&self, hold: Hold) -> Renewed {
        self.records.renew(hold, LEASE, TTL).get().await.expect("renew")
    }

    async fn complete(&self, hold: Hold, outcome: Outcome) -> Completed {
        self.records.complete(hold, outcome, Keeping { ttl: TTL, replicas: 0 }).get().await.expect("complete")
    }

    async fn release(&self, hold: Hold) -> Released {
        self.records.release(hold).get().await.expect("release")
    }

    async fn forget(&self, hold: Hold, live: Live) -> Forgotten {
        self.records.forget(hold.name, live).get().await.expect("forget")
    }

    /// Until the lease of a claim made now has run out, but not its record.
    async fn lease_runs_out(&self) {
        (self.pass)(LEASE + LEASE / 4).await;
    }

    /// A claim that was made and is no longer alive.
    async fn abandoned(&self) -> Hold {
        let dead = hold(1);
        assert_eq!(self.begin(dead).await, Begun::Acquired);
        self.lease_runs_out().await;
        dead
    }
}

/// The whole suite, a test a case.
macro_rules! conformance {
    ($rig:ident) => {
        $crate::records::conformance::conformance! { $rig:
            a_claim_is_granted_once_and_busy_for_others,
            a_begin_can_be_repeated_by_its_owner,
            another_request_under_the_name_is_a_mismatch_in_every_state,
            a_reply_is_given_back_byte_for_byte,
            a_tombstone_says_why_and_of_which_status,
            an_abandoned_claim_turns_uncertain_and_stays_its_owners,
            an_abandoned_claim_can_be_taken_over,
            what_is_uncertain_can_be_taken_over,
            a_renewed_claim_lives_on,
            a_renewal_writes_nothing_where_nothing_is,
            a_lost_claim_is_made_good_by_its_completion,
            a_completion_of_another_owner_writes_nothing,
            a_completion_can_be_repeated,
            a_released_name_is_free,
            what_is_final_is_not_released,
            a_record_expires,
            an_uncertain_record_lives_its_ttl_from_its_writing,
            a_record_is_forgotten_but_not_under_a_live_claim,
            of_many_claims_at_once_one_is_granted,
        }
    };
    ($rig:ident: $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $rig!($crate::records::conformance::$case);
            }
        )*
    };
}
pub(crate) use conformance;

pub(crate) async fn a_claim_is_granted_once_and_busy_for_others(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.begin(other_owner(first)).await, Begun::Busy { trace_id: first.trace_id });
    assert_eq!(rig.claim(other_owner(first), Abandoned::TakeOver).await, Begun::Busy { trace_id: first.trace_id });
    assert_eq!(rig.begin(hold(1)).await, Begun::Acquired, "another name");
}

pub(crate) async fn a_begin_can_be_repeated_by_its_owner(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    (rig.pass)(LEASE * 3 / 4).await;
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    (rig.pass)(LEASE * 3 / 4).await;
    assert_eq!(rig.begin(other_owner(first)).await, Begun::Busy { trace_id: first.trace_id }, "its lease is new");
    let dead = rig.abandoned().await;
    assert!(matches!(rig.begin(other_owner(dead)).await, Begun::Uncertain { .. }));
    assert_eq!(rig.begin(dead).await, Begun::Acquired, "also when it was given up");
}

pub(crate) async fn another_request_under_the_name_is_a_mismatch_in_every_state(rig: &Rig<'_>) {
    let finals = [
        None,
        Some(done(b"reply")),
        Some(Outcome::Tombstone { status: 200, why: NotKept::Stream }),
        Some(Outcome::Uncertain(Unknown::Upstream)),
    ];
    for outcome in finals {
        let first = hold(1);
        assert_eq!(rig.begin(first).await, Begun::Acquired);
        if let Some(outcome) = outcome {
            assert_eq!(rig.complete(first, outcome).await, Completed::Ok);
        }
        assert_eq!(rig.begin(other_request(first)).await, Begun::Mismatch);
        assert_eq!(rig.claim(other_request(first), Abandoned::TakeOver).await, Begun::Mismatch);
    }
    let dead = rig.abandoned().await;
    assert_eq!(rig.begin(other_request(dead)).await, Begun::Mismatch);
}

pub(crate) async fn a_reply_is_given_back_byte_for_byte(rig: &Rig<'_>) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for reply in [&b""[..], b"\0", b"\r\n$5\r\n", &every_byte] {
        let first = hold(1);
        assert_eq!(rig.begin(first).await, Begun::Acquired);
        assert_eq!(rig.complete(first, done(reply)).await, Completed::Ok);
        for _ in 0..2 {
            let again = rig.begin(other_owner(first)).await;
            assert_eq!(again, Begun::Replay { reply: Bytes::copy_from_slice(reply), trace_id: first.trace_id });
        }
        assert!(matches!(rig.begin(first).await, Begun::Replay { .. }), "to its owner, too");
    }
}

pub(crate) async fn a_tombstone_says_why_and_of_which_status(rig: &Rig<'_>) {
    for (status, why) in [
        (200, NotKept::TooLarge),
        (207, NotKept::Stream),
        (599, NotKept::Truncated),
        (999, NotKept::StoreFull),
        (201, NotKept::Memory),
    ] {
        let first = hold(1);
        assert_eq!(rig.begin(first).await, Begun::Acquired);
        assert_eq!(rig.complete(first, Outcome::Tombstone { status, why }).await, Completed::Ok);
        let gone = Begun::Gone { status, why, trace_id: first.trace_id };
        assert_eq!(rig.begin(other_owner(first)).await, gone);
        assert_eq!(rig.claim(other_owner(first), Abandoned::TakeOver).await, gone);
    }
}

pub(crate) async fn an_abandoned_claim_turns_uncertain_and_stays_its_owners(rig: &Rig<'_>) {
    let dead = rig.abandoned().await;
    let uncertain = Begun::Uncertain { why: Unknown::Lease, trace_id: dead.trace_id };
    assert_eq!(rig.begin(other_owner(dead)).await, uncertain);
    assert_eq!(rig.begin(other_owner(dead)).await, uncertain);
    assert_eq!(rig.renew(dead).await, Renewed::Ok, "it came back");
    assert_eq!(rig.begin(other_owner(dead)).await, Begun::Busy { trace_id: dead.trace_id });
    assert_eq!(rig.complete(dead, done(b"late")).await, Completed::Ok);
    assert!(matches!(rig.begin(other_owner(dead)).await, Begun::Replay { .. }));
    for why in [Unknown::Lease, Unknown::Upstream, Unknown::Shutdown] {
        let first = hold(1);
        assert_eq!(rig.begin(first).await, Begun::Acquired);
        assert_eq!(rig.complete(first, Outcome::Uncertain(why)).await, Completed::Ok);
        assert_eq!(rig.begin(other_owner(first)).await, Begun::Uncertain { why, trace_id: first.trace_id });
    }
}

pub(crate) async fn an_abandoned_claim_can_be_taken_over(rig: &Rig<'_>) {
    let dead = rig.abandoned().await;
    let heir = other_owner(dead);
    assert_eq!(rig.claim(heir, Abandoned::TakeOver).await, Begun::Acquired);
    assert_eq!(rig.begin(dead).await, Begun::Busy { trace_id: heir.trace_id });
    assert_eq!(rig.renew(dead).await, Renewed::Stale);
    assert_eq!(rig.complete(dead, done(b"late")).await, Completed::Stale);
    assert_eq!(rig.release(dead).await, Released::Stale);
    assert_eq!(rig.complete(heir, done(b"in time")).await, Completed::Ok);
    let replay = Begun::Replay { reply: Bytes::from_static(b"in time"), trace_id: heir.trace_id };
    assert_eq!(rig.begin(dead).await, replay);
}

pub(crate) async fn what_is_uncertain_can_be_taken_over(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.complete(first, Outcome::Uncertain(Unknown::Upstream)).await, Completed::Ok);
    assert_eq!(rig.claim(other_owner(first), Abandoned::TakeOver).await, Begun::Acquired);
    assert_eq!(rig.complete(first, done(b"late")).await, Completed::Stale);
}

pub(crate) async fn a_renewed_claim_lives_on(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    for _ in 0..3 {
        (rig.pass)(LEASE / 2).await;
        assert_eq!(rig.renew(first).await, Renewed::Ok);
    }
    assert_eq!(rig.begin(other_owner(first)).await, Begun::Busy { trace_id: first.trace_id });
    assert_eq!(rig.renew(other_owner(first)).await, Renewed::Stale);
    assert_eq!(rig.complete(first, done(b"")).await, Completed::Ok);
    assert_eq!(rig.renew(first).await, Renewed::Stale, "it is over");
}

pub(crate) async fn a_renewal_writes_nothing_where_nothing_is(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.renew(first).await, Renewed::Lost);
    assert_eq!(rig.begin(other_request(first)).await, Begun::Acquired);
}

pub(crate) async fn a_lost_claim_is_made_good_by_its_completion(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.complete(first, done(b"reply")).await, Completed::Ok);
    assert!(matches!(rig.begin(other_owner(first)).await, Begun::Replay { .. }));
    assert_eq!(rig.begin(other_request(first)).await, Begun::Mismatch, "of its request");
}

pub(crate) async fn a_completion_of_another_owner_writes_nothing(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.complete(other_owner(first), done(b"theirs")).await, Completed::Stale);
    assert_eq!(rig.begin(other_owner(first)).await, Begun::Busy { trace_id: first.trace_id });
    assert_eq!(rig.complete(first, done(b"ours")).await, Completed::Ok);
    assert_eq!(rig.complete(other_owner(first), done(b"theirs")).await, Completed::Stale);
    let replay = Begun::Replay { reply: Bytes::from_static(b"ours"), trace_id: first.trace_id };
    assert_eq!(rig.begin(other_owner(first)).await, replay);
}

pub(crate) async fn a_completion_can_be_repeated(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.complete(first, done(b"reply")).await, Completed::Ok);
    assert_eq!(rig.complete(first, done(b"something else")).await, Completed::Ok);
    let replay = Begun::Replay { reply: Bytes::from_static(b"reply"), trace_id: first.trace_id };
    assert_eq!(rig.begin(other_owner(first)).await, replay);
}

pub(crate) async fn a_released_name_is_free(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.release(first).await, Released::Ok, "there is nothing");
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.release(other_owner(first)).await, Released::Stale);
    assert_eq!(rig.release(first).await, Released::Ok);
    assert_eq!(rig.begin(other_request(first)).await, Begun::Acquired);
}

pub(crate) async fn what_is_final_is_not_released(rig: &Rig<'_>) {
    for outcome in [done(b""), Outcome::Tombstone { status: 200, why: NotKept::TooLarge }] {
        let first = hold(1);
        assert_eq!(rig.begin(first).await, Begun::Acquired);
        assert_eq!(rig.complete(first, outcome).await, Completed::Ok);
        assert_eq!(rig.release(first).await, Released::Stale);
        assert!(!matches!(rig.begin(first).await, Begun::Acquired));
    }
    let unsure = hold(1);
    assert_eq!(rig.begin(unsure).await, Begun::Acquired);
    assert_eq!(rig.complete(unsure, Outcome::Uncertain(Unknown::Upstream)).await, Completed::Ok);
    assert_eq!(rig.release(unsure).await, Released::Ok, "what is uncertain is not final");
}

pub(crate) async fn a_record_expires(rig: &Rig<'_>) {
    let (finished, claimed) = (hold(1), hold(1));
    assert_eq!(rig.begin(finished).await, Begun::Acquired);
    assert_eq!(rig.begin(claimed).await, Begun::Acquired);
    assert_eq!(rig.complete(finished, done(b"reply")).await, Completed::Ok);
    (rig.pass)(TTL * 3 / 4).await;
    assert!(matches!(rig.begin(other_owner(finished)).await, Begun::Replay { .. }));
    (rig.pass)(TTL / 2).await;
    assert_eq!(rig.begin(other_request(finished)).await, Begun::Acquired);
    // Lease and ttl are over for a claim only now.
    assert_eq!(rig.begin(other_request(claimed)).await, Begun::Mismatch);
    (rig.pass)(LEASE).await;
    assert_eq!(rig.begin(other_request(claimed)).await, Begun::Acquired);
}

pub(crate) async fn an_uncertain_record_lives_its_ttl_from_its_writing(rig: &Rig<'_>) {
    let dead = rig.abandoned().await;
    assert!(matches!(rig.begin(other_owner(dead)).await, Begun::Uncertain { .. }));
    (rig.pass)(TTL * 3 / 4).await;
    assert!(matches!(rig.begin(other_owner(dead)).await, Begun::Uncertain { .. }), "asking does not prolong it");
    (rig.pass)(TTL / 2).await;
    assert_eq!(rig.begin(other_owner(dead)).await, Begun::Acquired);
}

pub(crate) async fn a_record_is_forgotten_but_not_under_a_live_claim(rig: &Rig<'_>) {
    let first = hold(1);
    assert_eq!(rig.forget(first, Live::Spare).await, Forgotten::Absent);
    assert_eq!(rig.begin(first).await, Begun::Acquired);
    assert_eq!(rig.forget(first, Live::Spare).await, Forgotten::Alive);
    assert_eq!(rig.forget(first, Live::Forget).await, Forgotten::Deleted);
    assert_eq!(rig.renew(first).await, Renewed::Lost);
    let dead = rig.abandoned().await;
    assert_eq!(rig.forget(dead, Live::Spare).await, Forgotten::Deleted, "nobody executes");
    assert_eq!(rig.complete(dead, done(b"")).await, Completed::Ok);
    assert_eq!(rig.forget(dead, Live::Spare).await, Forgotten::Deleted);
    assert_eq!(rig.begin(other_owner(dead)).await, Begun::Acquired);
}

pub(crate) async fn of_many_claims_at_once_one_is_granted(rig: &Rig<'_>) {
    let first = hold(1);
    let begun = futures::future::join_all((0..200).map(|_| rig.begin(other_owner(first)))).await;
    assert_eq!(begun.iter().filter(|begun| **begun == Begun::Acquired).count(), 1);
    assert!(begun.iter().all(|begun| matches!(begun, Begun::Acquired | Begun::Busy { .. })));
}
