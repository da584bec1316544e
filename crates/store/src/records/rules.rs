//! What each operation does to a record: the rules that every store keeps, as values.

use super::{Abandoned, Begun, Claim, Completed, Forgotten, Hold, Live, NotKept, Outcome, Released, Renewed, Unknown};
use bytes::Bytes;
use std::time::Duration;
use vestibule_plugin::Monotonic;

/// What a store holds under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// Whose it is, and for which request.
    pub(super) hold: Hold,
    pub(super) state: State,
    /// From then on there is nothing.
    pub(super) expires: Monotonic,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum State {
    InFlight { lease_end: Monotonic },
    Done { reply: Bytes },
    Tombstone { status: u16, why: NotKept },
    Uncertain(Unknown),
}

/// What becomes of the record.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Change {
    None,
    Write(Record),
    Delete,
}

fn after(now: Monotonic, time: Duration) -> Monotonic {
    Monotonic(now.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

impl Record {
    fn claimed(hold: Hold, now: Monotonic, lease: Duration, ttl: Duration) -> Self {
        let lease_end = after(now, lease);
        Self { hold, state: State::InFlight { lease_end }, expires: after(lease_end, ttl) }
    }

    fn is_open_claim_of(&self, hold: &Hold) -> bool {
        self.hold.owner == hold.owner && matches!(self.state, State::InFlight { .. } | State::Uncertain(_))
    }

    /// Payload bytes.
    pub(super) fn payload(&self) -> usize {
        match &self.state {
            State::Done { reply } => reply.len(),
            _ => 0,
        }
    }
}

/// `found` has not expired, here and below.
pub(super) fn begin(found: Option<&Record>, claim: &Claim, now: Monotonic) -> (Begun, Change) {
    let claimed = || Change::Write(Record::claimed(claim.hold, now, claim.lease, claim.ttl));
    let Some(record) = found else { return (Begun::Acquired, claimed()) };
    if record.hold.fingerprint != claim.hold.fingerprint {
        return (Begun::Mismatch, Change::None);
    }
    if record.is_open_claim_of(&claim.hold) {
        return (Begun::Acquired, claimed());
    }
    let trace_id = record.hold.trace_id;
    let why = match record.state {
        State::Done { ref reply } => return (Begun::Replay { reply: reply.clone(), trace_id }, Change::None),
        State::Tombstone { status, why } => return (Begun::Gone { status, why, trace_id }, Change::None),
        State::InFlight { lease_end } if now < lease_end => return (Begun::Busy { trace_id }, Change::None),
        State::InFlight { .. } => Unknown::Lease,
        State::Uncertain(why) => why,
    };
    match (claim.abandoned, &record.state) {
        (Abandoned::TakeOver, _) => (Begun::Acquired, claimed()),
        (Abandoned::Respect, State::Uncertain(_)) => (Begun::Uncertain { why, trace_id }, Change::None),
        // It keeps its owner, who may still come back with the reply.
        (Abandoned::Respect, _) => {
            let state = State::Uncertain(why);
            let uncertain = Record { hold: record.hold, state, expires: after(now, claim.ttl) };
            (Begun::Uncertain { why, trace_id }, Change::Write(uncertain))
        }
    }
}

pub(super) fn renew(
    found: Option<&Record>,
    hold: &Hold,
    now: Monotonic,
    lease: Duration,
    ttl: Duration,
) -> (Renewed, Change) {
    match found {
        None => (Renewed::Lost, Change::None),
        Some(record) if record.is_open_claim_of(hold) => {
            (Renewed::Ok, Change::Write(Record::claimed(*hold, now, lease, ttl)))
        }
        Some(_) => (Renewed::Stale, Change::None),
    }
}

pub(super) fn complete(
    found: Option<&Record>,
    hold: &Hold,
    outcome: &Outcome,
    now: Monotonic,
    ttl: Duration,
) -> (Completed, Change) {
    match found {
        Some(record) if record.hold.owner != hold.owner => return (Completed::Stale, Change::None),
        Some(record) if !record.is_open_claim_of(hold) => return (Completed::Ok, Change::None),
        Some(_) | None => {}
    }
    let state = match outcome {
        Outcome::Done { reply, .. } => State::Done { reply: reply.clone() },
        Outcome::Tombstone { status, why } => State::Tombstone { status: *status, why: *why },
        Outcome::Uncertain(why) => State::Uncertain(*why),
    };
    (Completed::Ok, Change::Write(Record { hold: *hold, state, expires: after(now, ttl) }))
}

pub(super) fn release(found: Option<&Record>, hold: &Hold) -> (Released, Change) {
    match found {
        None => (Released::Ok, Change::None),
        Some(record) if record.is_open_claim_of(hold) => (Released::Ok, Change::Delete),
        Some(_) => (Released::Stale, Change::None),
    }
}

pub(super) fn forget(found: Option<&Record>, live: Live, now: Monotonic) -> (Forgotten, Change) {
    match found {
        None => (Forgotten::Absent, Change::None),
        Some(Record { state: State::InFlight { lease_end }, .. }) if now < *lease_end && live == Live::Spare => {
            (Forgotten::Alive, Change::None)
        }
        Some(_) => (Forgotten::Deleted, Change::Delete),
    }
}
