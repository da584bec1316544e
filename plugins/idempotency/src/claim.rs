//! A claim while it is ours: kept alive, and ended exactly once, whatever happens to whoever holds it.

use crate::fate::Fate;
use crate::names::PrincipalId;
use crate::policy::Policy;
use bytes::Bytes;
use http::StatusCode;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use vestibule_plugin::{Clock, Monotonic, Soon};
use vestibule_store::Ledger;
use vestibule_store::ledger::{Lead, Seat};
use vestibule_store::records::{Begun, Completed, Hold, Keeping, NotKept, Outage, Outcome, Released, Renewed, Unknown};

/// A client waits this long for its reply to be stored, or a lease, if that is shorter; then it gets it all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// First pause between two tries; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two tries that a client waits for.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long it is tried when nobody waits any more.
const LATE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two such tries.
const LATE_PAUSE: Duration = Duration::from_secs(1);

/// How a claim ends.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// With an outcome, which is kept.
    Complete(Outcome, Keeping),
    /// Nothing counts as executed.
    Release,
}

impl Ending {
    /// The ending of a claim whose reply cannot be given again.
    pub(crate) fn tombstone(status: StatusCode, why: NotKept, keeping: Keeping) -> Self {
        Self::Complete(Outcome::Tombstone { status: status.as_u16(), why }, keeping)
    }

    /// The ending of a claim without a reply to keep.
    pub(crate) fn without_reply(fate: Fate, status: StatusCode, keeping: Keeping) -> Self {
        match fate {
            Fate::Released => Self::Release,
            Fate::Tombstone(why) => Self::tombstone(status, why, keeping),
            Fate::Uncertain(why) => Self::Complete(Outcome::Uncertain(why), keeping),
            Fate::Done => Self::Complete(Outcome::Uncertain(Unknown::Upstream), keeping),
        }
    }
}

/// Whether an ending has reached the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// It has.
    Now,
    /// It goes on being tried.
    NotYet,
}

/// A claim of this process.
pub(crate) struct Claim {
    held: Arc<Held>,
    /// Leads those who wait for it.
    lead: Option<Lead>,
    /// Taken until it is over; goes with what is still to be written.
    seat: Option<Seat>,
    renewal: Option<AbortHandle>,
    /// The reply as it is held. While what is stored of it is still to be written it takes memory too, and is not
    /// counted by itself.
    reply: Option<Bytes>,
    state: State,
}

/// What the renewing task shares.
struct Held {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    hold: Hold,
    principal: PrincipalId,
    lease: Duration,
    keeping: Keeping,
    /// When the last begin or renew that was granted was sent; nanoseconds of the clock.
    asked: AtomicU64,
}

enum State {
    /// Nothing has been sent.
    Fresh,
    /// The application may have got it.
    Sent,
    /// What it ends with is known, and not yet acknowledged.
    Ending(Ending),
    Over,
}

impl Claim {
    /// Of a claim that was asked for at `asked` and granted.
    pub(crate) fn new(
        (ledger, clock): (&Arc<Ledger>, &Arc<dyn Clock>),
        policy: &Policy,
        (hold, principal): (Hold, PrincipalId),
        asked: Monotonic,
        (seat, lead): (Seat, Option<Lead>),
    ) -> Self {
        let held = Arc::new(Held {
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            hold,
            principal,
            lease: policy.lease,
            keeping: Keeping { ttl: policy.ttl, replicas: policy.replicas },
            asked: AtomicU64::new(asked.0),
        });
        let renewal = Handle::try_current().ok().map(|runtime| runtime.spawn(renew(Arc::clone(&held))).abort_handle());
        Self { held, lead, seat: Some(seat), renewal, reply: None, state: State::Fresh }
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.held.hold
    }

    pub(crate) fn principal(&self) -> PrincipalId {
        self.held.principal
    }

    pub(crate) fn keeping(&self) -> Keeping {
        self.held.keeping
    }

    /// Whether the request may be sent by now; from then on it may have been executed. A claim of which half a lease is
    /// gone is renewed first, by this process's own clock.
    pub(crate) fn send(&mut self) -> Soon<'_, Result<(), String>> {
        let Self { held, state, .. } = self;
        let now = held.clock.now();
        if now.since(Monotonic(held.asked.load(Ordering::Relaxed))) <= held.lease / 2 {
            *state = State::Sent;
            return Soon::Now(Ok(()));
        }
        Soon::later(async move {
            match held.renew().await {
                Ok(Renewed::Ok) => {
                    *state = State::Sent;
                    Ok(())
                }
                Ok(Renewed::Lost) => Err("the claim was lost before the request was sent".to_owned()),
                Ok(Renewed::Stale) => Err("the claim was taken over before the request was sent".to_owned()),
                Err(outage) => Err(format!("the claim is old and cannot be renewed: {outage}")),
            }
        })
    }

    /// Writes how it ended. Returns once that is acknowledged, or has failed for good; then it is tried on.
    pub(crate) async fn end(&mut self, ending: Ending) -> Written {
        self.state = State::Ending(ending.clone());
        if matches!(ending, Ending::Complete(Outcome::Uncertain(_), _)) {
            // A renewal that came after it would make a live claim of it again.
            self.stop_renewing();
        }
        let patience = PATIENCE.min(self.held.lease);
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let written = loop {
            match self.held.write(&ending).get().await {
                Ok(()) => {
                    self.state = State::Over;
                    break Written::Now;
                }
                Err(_) if began.elapsed() + pause < patience => sleep(pause).await,
                Err(outage) => {
                    self.held.complain(&outage);
                    self.write_on(ending.clone());
                    break Written::NotYet;
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.stop_renewing();
        self.tell(ending);
        written
    }

    /// Keeps the memory of the reply counted until it is stored, or never will be.
    pub(crate) fn keep_counted(&mut self, reply: &Bytes) {
        self.reply = Some(reply.clone());
    }

    /// Whether it is known how it ends, and only the store has still to hear of it.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending(_))
    }

    /// The process stops: tries once to write how it ended, or else `otherwise`.
    pub(crate) async fn end_now(&mut self, otherwise: Ending) {
        let ending = match std::mem::replace(&mut self.state, State::Over) {
            State::Ending(ending) => ending,
            _ => otherwise,
        };
        self.stop_renewing();
        if let Err(outage) = self.held.write(&ending).get().await {
            self.held.complain(&outage);
        }
        self.tell(ending);
    }

    /// Those who wait here learn it without asking.
    fn tell(&mut self, ending: Ending) {
        let (Some(lead), Ending::Complete(outcome, _)) = (self.lead.take(), ending) else { return };
        let trace_id = self.held.hold.trace_id;
        lead.settle(match outcome {
            Outcome::Done { reply, .. } => Begun::Replay { reply, trace_id },
            Outcome::Tombstone { status, why } => Begun::Gone { status, why, trace_id },
            Outcome::Uncertain(why) => Begun::Uncertain { why, trace_id },
        });
    }

    /// In the background, with the seat of the execution: what is still to be written is bounded as executions are.
    fn write_on(&mut self, ending: Ending) {
        self.state = State::Over;
        if let Ok(runtime) = Handle::try_current() {
            let (late, owed) = (write_late(Arc::clone(&self.held), ending, self.seat.take()), self.held.ledger.owe());
            let reply = self.reply.take();
            runtime.spawn(async move {
                late.await;
                drop((owed, reply));
            });
        }
    }

    fn stop_renewing(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
    }
}

impl Drop for Claim {
    /// Nobody ended it: an inner plugin answered, the client left, or something panicked.
    fn drop(&mut self) {
        self.stop_renewing();
        let ending = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return,
            State::Ending(ending) => ending,
            State::Fresh => Ending::Release,
            State::Sent => Ending::Complete(Outcome::Uncertain(Unknown::Upstream), self.held.keeping),
        };
        let is_written = matches!(self.held.write(&ending), Soon::Now(Ok(())));
        if !is_written {
            self.write_on(ending.clone());
        }
        self.tell(ending);
    }
}

impl Held {
    async fn renew(&self) -> Result<Renewed, Outage> {
        let asked = self.clock.now();
        let renewed = self.ledger.records().renew(self.hold, self.lease, self.keeping.ttl).get().await?;
        if renewed == Renewed::Ok {
            self.asked.store(asked.0, Ordering::Relaxed);
        }
        Ok(renewed)
    }

    fn write(&self, ending: &Ending) -> Soon<'_, Result<(), Outage>> {
        match ending {
            Ending::Release => map(self.ledger.records().release(self.hold), |released| {
                if released == Released::Stale {
                    self.warn("a claim was somebody else's when it was released", None);
                }
            }),
            Ending::Complete(outcome, keeping) => {
                let wanted = keeping.replicas;
                map(self.ledger.records().complete(self.hold, outcome.clone(), *keeping), move |completed| {
                    match completed {
                        Completed::Ok => {}
                        Completed::Full => self.warn("no room for a reply; it cannot be given again", None),
                        Completed::Stale => self.warn("a claim was taken over; its outcome is not stored", None),
                        Completed::Lagging { replicas } => {
                            let cause = format_args!("{replicas} of {wanted} replicas have it");
                            self.warn("a failover may lose a reply", Some(&cause));
                        }
                    }
                })
            }
        }
    }

    fn warn(&self, what: &'static str, cause: Option<&dyn fmt::Display>) {
        tracing::warn!(
            target: "idempotency",
            record = %self.hold.name,
            principal_id = %self.principal,
            trace_id = format_args!("{:032x}", self.hold.trace_id),
            cause = cause.map(tracing::field::display),
            "{what}"
        );
    }

    fn complain(&self, outage: &Outage) {
        tracing::error!(
            target: "idempotency",
            record = %self.hold.name,
            principal_id = %self.principal,
            trace_id = format_args!("{:032x}", self.hold.trace_id),
            cause = %outage,
            "an outcome is not stored; until it is, who repeats the request is told that its outcome is unknown"
        );
    }
}

fn map<'a, T: 'a>(answer: Soon<'a, Result<T, Outage>>, look: impl Fn(T) + Send + 'a) -> Soon<'a, Result<(), Outage>> {
    match answer {
        Soon::Now(answer) => Soon::Now(answer.map(look)),
        Soon::Later(answer) => Soon::later(async move { answer.await.map(look) }),
    }
}

/// Renews a claim every third of its lease, until this is aborted.
async fn renew(held: Arc<Held>) {
    let mut is_well = true;
    loop {
        sleep(held.lease / 3).await;
        let renewed = held.renew().await;
        let was_well = std::mem::replace(&mut is_well, matches!(renewed, Ok(Renewed::Ok)));
        match renewed {
            Ok(Renewed::Ok) => {}
            Ok(Renewed::Stale) => return held.warn("a claim was taken over while its request executes", None),
            Ok(Renewed::Lost) if was_well => held.warn("the store lost a claim while its request executes", None),
            Err(outage) if was_well => held.warn("a claim cannot be renewed", Some(&outage)),
            Ok(Renewed::Lost) | Err(_) => {}
        }
    }
}

/// Goes on trying. Until one try lands, the record ages into one of which nobody knows the outcome.
async fn write_late(held: Arc<Held>, ending: Ending, seat: Option<Seat>) {
    let _seat = seat;
    let until = Instant::now() + LATE_PATIENCE;
    while Instant::now() < until {
        if held.write(&ending).get().await.is_ok() {
            held.warn("an outcome that was not stored is stored by now", None);
            return;
        }
        sleep(LATE_PAUSE).await;
    }
    held.warn("an outcome was never stored", None);
}
