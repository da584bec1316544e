//! One request: what is known here, what the store is asked, and what comes of both.
//!
//! Units of different partitions are reserved at the same time. What was reserved goes back when one of them refuses.

use super::Fleet;
use super::flight::News;
use super::lease::{Grant, Known};
use super::returns::Charged;
use super::round::admits;
use crate::quotas::memory::in_family;
use crate::quotas::{
    Charge, Decision, Demand, Force, Left, Limit, MAX_CHARGES, OnStoreError, Outcome, Pending, Sharing, Source, Taken,
    Verdict,
};
use arrayvec::ArrayVec;
use futures::future::join_all;
use std::sync::Arc;
use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, timeout_at};
use vestibule_plugin::{ClientAddress, Soon};

/// A request that is being decided on.
struct Request<'a> {
    fleet: &'a Arc<Fleet>,
    demand: Demand<'a>,
    /// One for each charge.
    places: ArrayVec<Place, MAX_CHARGES>,
    /// What the store charged.
    charged: ArrayVec<Charged, MAX_CHARGES>,
}

struct Place {
    partition: u128,
    bucket: u128,
    state: State,
}

/// What is known of a charge.
#[derive(Clone, Copy)]
enum State {
    /// Nothing yet.
    Unknown,
    /// Units were there, or the store had some. Those that were drawn from a lease go back there until the request is
    /// admitted.
    Granted(Left, Source, Option<Grant>),
    Refused {
        remaining: u64,
        wait_ns: u64,
        source: Source,
    },
    /// The store did not say.
    Failed,
}

/// What the store says of one partition.
type Waiting = (ArrayVec<usize, MAX_CHARGES>, Option<Receiver<News>>);

/// Decides on `demand`.
pub(super) fn take<'a>(fleet: &'a Arc<Fleet>, demand: Demand<'a>) -> Soon<'a, Taken> {
    if demand.charges.iter().all(is_local) {
        return Soon::Now(fleet.memory.decide(&demand));
    }
    if let [charge] = &*demand.charges
        && let Some(verdict) = alone(fleet, charge)
    {
        return Soon::Now(Taken { verdicts: std::iter::once(verdict).collect(), pending: None });
    }
    let mut request = Request::new(fleet, demand);
    if !request.is_refused_here() && request.lacks_units() {
        return Soon::later(async move {
            request.ask().await;
            request.conclude()
        });
    }
    Soon::Now(request.conclude())
}

fn is_local(charge: &Charge<'_>) -> bool {
    charge.limit.sharing() == Sharing::Local
}

fn is_enforced(charge: &Charge<'_>) -> bool {
    charge.force == Force::Enforced
}

/// Decides on a single charge from what is borrowed or held, as most requests are.
fn alone(fleet: &Arc<Fleet>, charge: &Charge<'_>) -> Option<Verdict> {
    let partition = fleet.memory.hash(charge.key.as_bytes());
    let (now, proxies) = (fleet.clock.now().0, fleet.proxies());
    // What is not known yet is noted when the request is looked at as a whole.
    let (known, runs_low) = fleet.leases.with(in_family(partition, charge.limit), now, |lease| {
        (lease.know(charge.limit, now, charge.cost), lease.runs_low(charge.limit, now, proxies))
    });
    match known {
        Known::Used(left, _) => {
            fleet.count(|meters| meters.used.add(charge.cost));
            if runs_low {
                fleet.top_up(partition, charge.key, charge.limit);
            }
            Some(Verdict { outcome: Outcome::Charged(left), source: Source::Lease })
        }
        Known::Held { remaining, wait_ns } => {
            Some(Verdict { outcome: Outcome::Refused { remaining, wait_ns }, source: Source::Hold })
        }
        Known::Nothing => None,
    }
}

impl<'a> Request<'a> {
    fn new(fleet: &'a Arc<Fleet>, demand: Demand<'a>) -> Self {
        let places = demand.charges.iter().map(|charge| {
            let partition = fleet.memory.hash(charge.key.as_bytes());
            Place { partition, bucket: in_family(partition, charge.limit), state: State::Unknown }
        });
        Self { fleet, places: places.collect(), charged: ArrayVec::new(), demand }
    }

    /// Whether an enforced policy is known to refuse, before anything is charged or asked.
    fn is_refused_here(&mut self) -> bool {
        let now = self.fleet.clock.now().0;
        let is_single = self.places.len() == 1;
        let mut refused = false;
        for (place, charge) in self.places.iter_mut().zip(&self.demand.charges) {
            if is_local(charge) || !is_enforced(charge) {
                continue;
            }
            let held = self.fleet.leases.with(place.bucket, now, |lease| {
                // A single one was noted when it was looked at alone.
                if !is_single {
                    lease.note(now, charge.cost);
                }
                lease.held(charge.limit, now, charge.cost)
            });
            if let Some((remaining, wait_ns)) = held {
                place.state = State::Refused { remaining, wait_ns, source: Source::Hold };
                refused = true;
            }
        }
        let local = self.part(|charge| is_local(charge) && is_enforced(charge));
        if !local.charges.is_empty() {
            let verdicts = self.fleet.memory.peek(&local).verdicts;
            let indices = self.indices(|charge| is_local(charge) && is_enforced(charge));
            for (at, verdict) in indices.into_iter().zip(verdicts) {
                if let Outcome::Refused { remaining, wait_ns } = verdict.outcome {
                    self.places[at].state = State::Refused { remaining, wait_ns, source: verdict.source };
                    refused = true;
                }
            }
        }
        refused
    }

    /// Takes borrowed units, and says whether any are missing.
    fn lacks_units(&mut self) -> bool {
        let now = self.fleet.clock.now().0;
        let mut lacks = false;
        for (place, charge) in self.places.iter_mut().zip(&self.demand.charges) {
            if is_local(charge) || !is_enforced(charge) {
                continue;
            }
            match self.fleet.leases.with(place.bucket, now, |lease| lease.draw(charge.limit, now, charge.cost)) {
                Some((left, grant)) => place.state = State::Granted(left, Source::Lease, Some(grant)),
                None => lacks = true,
            }
        }
        lacks
    }

    /// Asks for what is missing, each partition for itself and all at the same time.
    async fn ask(&mut self) {
        let deadline = Instant::now() + self.fleet.timeout();
        let mut partitions = ArrayVec::<Waiting, MAX_CHARGES>::new();
        for at in 0..self.places.len() {
            let known = partitions.iter().any(|(places, _)| places.contains(&at));
            if known || !self.is_missing(at) {
                continue;
            }
            let partition = self.places[at].partition;
            let places: ArrayVec<usize, MAX_CHARGES> = (at..self.places.len())
                .filter(|other| self.places[*other].partition == partition && self.is_missing(*other))
                .collect();
            let asked =
                places.iter().map(|place| self.demand.charges[*place]).map(|c| (c.limit.clone(), c.cost)).collect();
            let told = self.fleet.wait(partition, self.demand.charges[at].key, asked);
            partitions.push((places, told));
        }
        let told = partitions.into_iter().map(|(places, told)| async move {
            let news = match told {
                Some(told) => timeout_at(deadline, told).await.ok().and_then(Result::ok),
                None => None,
            };
            (places, news)
        });
        for (places, news) in join_all(told).await {
            let Some(News { decisions, source, charged }) = news else {
                places.iter().for_each(|place| self.places[*place].state = State::Failed);
                continue;
            };
            for (place, decision) in places.iter().zip(&decisions) {
                self.places[*place].state = match *decision {
                    Decision::Refuse { remaining, wait_ns } => State::Refused { remaining, wait_ns, source },
                    // Not charged, when another policy of its partition refuses.
                    Decision::Admit { left, .. } => State::Granted(left, source, None),
                };
            }
            if admits(&decisions) {
                self.charged.push(charged);
            }
        }
    }

    fn is_missing(&self, at: usize) -> bool {
        let charge = &self.demand.charges[at];
        is_enforced(charge) && !is_local(charge) && matches!(self.places[at].state, State::Unknown)
    }

    /// Puts everything together.
    fn conclude(mut self) -> Taken {
        let failed = |at: usize, how: OnStoreError| {
            let (state, limit) = (&self.places[at].state, self.demand.charges[at].limit);
            matches!(state, State::Failed) && limit.on_store_error() == how
        };
        let closed = (0..self.places.len()).any(|at| failed(at, OnStoreError::Closed));
        if closed || self.is_refused() {
            return self.refuse();
        }
        // Those that this process decides on, alone or for the store.
        let shares: ArrayVec<Option<Limit>, MAX_CHARGES> =
            (0..self.places.len()).map(|at| failed(at, OnStoreError::LocalShare).then(|| self.share(at))).collect();
        let here = |at: usize| shares[at].is_some() || is_local(&self.demand.charges[at]);
        let at_hand: ArrayVec<usize, MAX_CHARGES> = (0..self.places.len()).filter(|at| here(*at)).collect();
        let mut verdicts = self.verdicts();
        if !at_hand.is_empty() {
            let charges = at_hand.iter().map(|at| {
                let charge = self.demand.charges[*at];
                Charge { limit: shares[*at].as_ref().unwrap_or(charge.limit), ..charge }
            });
            let demand = Demand { charges: charges.collect(), address: self.demand.address };
            let taken = self.fleet.memory.decide(&demand);
            for (at, verdict) in at_hand.iter().zip(taken.verdicts) {
                let source = if shares[*at].is_some() { Source::Fallback } else { verdict.source };
                verdicts[*at] = Verdict { source, ..verdict };
                if let (Outcome::Refused { remaining, wait_ns }, true) =
                    (verdict.outcome, is_enforced(&self.demand.charges[*at]))
                {
                    self.places[*at].state = State::Refused { remaining, wait_ns, source };
                }
            }
            if self.is_refused() {
                return self.refuse();
            }
        }
        self.charged.drain(..).for_each(Charged::keep);
        self.use_drawn();
        let pending = self.shadows(&mut verdicts);
        Taken { verdicts, pending }
    }

    fn is_refused(&self) -> bool {
        self.places.iter().any(|place| matches!(place.state, State::Refused { .. }))
    }

    /// What each charge comes to, as far as the store or a lease said so.
    fn verdicts(&self) -> ArrayVec<Verdict, MAX_CHARGES> {
        let verdict = |(place, charge): (&Place, &Charge<'_>)| match place.state {
            State::Granted(left, source, _) => Verdict { outcome: Outcome::Charged(left), source },
            State::Refused { remaining, wait_ns, source } => {
                Verdict { outcome: Outcome::Refused { remaining, wait_ns }, source }
            }
            State::Failed if charge.limit.on_store_error() == OnStoreError::Closed => {
                Verdict { outcome: Outcome::Closed, source: Source::Fallback }
            }
            State::Failed => Verdict { outcome: Outcome::Waived, source: Source::Fallback },
            State::Unknown => Verdict { outcome: Outcome::Spared, source: Source::Local },
        };
        self.places.iter().zip(&self.demand.charges).map(verdict).collect()
    }

    /// Nothing is charged: what was drawn and charged goes back with this.
    fn refuse(self) -> Taken {
        let now = self.fleet.clock.now().0;
        let mut verdicts = self.verdicts();
        for at in 0..self.places.len() {
            let (place, charge) = (&self.places[at], &self.demand.charges[at]);
            if let State::Granted(_, source, _) = place.state {
                verdicts[at] = Verdict { outcome: Outcome::Spared, source };
            }
            if matches!(place.state, State::Failed) && verdicts[at].outcome == Outcome::Waived {
                verdicts[at].outcome = Outcome::Spared;
            }
            if !is_enforced(charge) && !is_local(charge) {
                let held = self.fleet.leases.get(place.bucket, now).held(charge.limit, now, charge.cost);
                if let Some((remaining, wait_ns)) = held {
                    verdicts[at] = Verdict { outcome: Outcome::Refused { remaining, wait_ns }, source: Source::Hold };
                }
            }
        }
        let is_local_shadow = |charge: &Charge<'_>| is_local(charge) && !is_enforced(charge);
        let local = self.part(is_local_shadow);
        if !local.charges.is_empty() {
            let peeked = self.fleet.memory.peek(&local).verdicts;
            for (at, verdict) in self.indices(is_local_shadow).into_iter().zip(peeked) {
                verdicts[at] = verdict;
            }
        }
        Taken { verdicts, pending: None }
    }

    /// Borrowed units are used for good. Counts them, and sees to more.
    fn use_drawn(&mut self) {
        let (now, proxies) = (self.fleet.clock.now().0, self.fleet.proxies());
        for (place, charge) in self.places.iter_mut().zip(&self.demand.charges) {
            if let State::Granted(_, Source::Lease, drawn) = &mut place.state {
                *drawn = None;
                self.fleet.count(|meters| meters.used.add(charge.cost));
                if self.fleet.leases.get(place.bucket, now).runs_low(charge.limit, now, proxies) {
                    self.fleet.top_up(place.partition, charge.key, charge.limit);
                }
            }
        }
    }

    /// Charges shadow policies that are shared, without waiting.
    fn shadows(&self, verdicts: &mut [Verdict]) -> Option<Pending> {
        let now = self.fleet.clock.now().0;
        let mut asked = Vec::new();
        for (at, charge) in self.demand.charges.iter().enumerate() {
            if is_enforced(charge) || is_local(charge) {
                continue;
            }
            let place = &self.places[at];
            verdicts[at] = match self.fleet.leases.with(place.bucket, now, |l| l.know(charge.limit, now, charge.cost)) {
                Known::Used(left, _) => {
                    self.fleet.count(|meters| meters.used.add(charge.cost));
                    Verdict { outcome: Outcome::Charged(left), source: Source::Lease }
                }
                Known::Held { remaining, wait_ns } => {
                    Verdict { outcome: Outcome::Refused { remaining, wait_ns }, source: Source::Hold }
                }
                Known::Nothing => {
                    let part = [(charge.limit.clone(), charge.cost)].into_iter().collect();
                    let told = self.fleet.wait(place.partition, charge.key, part);
                    let shadow = Shadow {
                        at,
                        limit: charge.limit.clone(),
                        key: charge.key.to_owned(),
                        cost: charge.cost,
                        address: self.demand.address,
                    };
                    asked.push((shadow, told));
                    Verdict { outcome: Outcome::Spared, source: Source::Store }
                }
            };
        }
        if asked.is_empty() {
            return None;
        }
        let fleet = Arc::clone(self.fleet);
        let deadline = Instant::now() + fleet.timeout();
        Some(Box::pin(async move {
            let mut settled = ArrayVec::new();
            for (shadow, told) in asked {
                let news = match told {
                    Some(told) => timeout_at(deadline, told).await.ok().and_then(Result::ok),
                    None => None,
                };
                settled.push((shadow.at, shadow.settle(&fleet, news)));
            }
            settled
        }))
    }

    /// This process's share of the limit of a charge, which owes at least what the store was last known to be owed.
    fn share(&self, at: usize) -> Limit {
        share(self.fleet, self.demand.charges[at].limit, self.places[at].partition)
    }

    /// The charges that are such.
    fn part(&self, such: impl Fn(&Charge<'_>) -> bool) -> Demand<'a> {
        let charges = self.demand.charges.iter().filter(|charge| such(charge)).copied().collect();
        Demand { charges, address: self.demand.address }
    }

    /// Where those are.
    fn indices(&self, such: impl Fn(&Charge<'_>) -> bool) -> ArrayVec<usize, MAX_CHARGES> {
        (0..self.places.len()).filter(|at| such(&self.demand.charges[*at])).collect()
    }
}

impl Drop for Request<'_> {
    /// It was refused, or its client left while it waited.
    fn drop(&mut self) {
        for (place, charge) in self.places.iter().zip(&self.demand.charges) {
            if let State::Granted(_, _, Some(grant)) = place.state {
                let h = || self.fleet.name(place.partition, charge.key);
                self.fleet.give_back(place.partition, h, charge.limit, charge.cost, grant);
            }
        }
    }
}

fn share(fleet: &Fleet, limit: &Limit, partition: u128) -> Limit {
    let share = limit.share(fleet.proxies());
    let due = fleet.leases.get(in_family(partition, limit), fleet.clock.now().0).due();
    if limit.algorithm() == crate::quotas::Algorithm::Gcra && due > 0 {
        fleet.memory.owe_until(&share, partition, due);
    }
    share
}

/// A shadow charge that the store is asked about.
struct Shadow {
    at: usize,
    limit: Limit,
    key: String,
    cost: u64,
    address: ClientAddress,
}

impl Shadow {
    fn settle(&self, fleet: &Fleet, news: Option<News>) -> Verdict {
        if let Some(News { decisions, source, charged }) = news
            && let Some(decision) = decisions.first()
        {
            charged.keep();
            let outcome = match *decision {
                Decision::Admit { left, .. } => Outcome::Charged(left),
                Decision::Refuse { remaining, wait_ns } => Outcome::Refused { remaining, wait_ns },
            };
            return Verdict { outcome, source };
        }
        if self.limit.on_store_error() != OnStoreError::LocalShare {
            return Verdict { outcome: Outcome::Waived, source: Source::Fallback };
        }
        let share = share(fleet, &self.limit, fleet.memory.hash(self.key.as_bytes()));
        let charge = Charge { limit: &share, key: &self.key, cost: self.cost, force: Force::Shadow };
        let demand = Demand { charges: std::iter::once(charge).collect(), address: self.address };
        let taken = fleet.memory.decide(&demand).verdicts;
        let outcome = taken.first().map_or(Outcome::Waived, |verdict| verdict.outcome);
        Verdict { outcome, source: Source::Fallback }
    }
}
