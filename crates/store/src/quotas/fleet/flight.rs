//! Calls to the store: one at a time for a partition, for all who wait for it.

use super::lease::{Aim, Lease, Told};
use super::queue::{Asked, Batch, Queue};
use super::returns::Charged;
use super::round::{BucketAsk, Decisions, Holding, admits, play};
use super::{Fleet, wire};
use crate::quotas::memory::in_family;
use crate::quotas::{Algorithm, Decision, Left, Limit, OnStoreError, Source};
use crate::redis::buckets::Reached;
use crate::redis::{Asks, Failure, Question};
use crate::timings::{Came, Operation};
use parking_lot::Mutex;
use redis::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::Instant;

/// Locks that partitions are spread over.
const SHARDS: usize = 64;

/// Those who wait, and what goes back.
pub(super) type Waiters = Queue<Sender<News>>;

/// The partitions that are being asked about.
pub(super) struct Flights {
    shards: Box<[Mutex<HashMap<u128, Flight>>]>,
}

/// Those who wait for one partition.
struct Flight {
    h: Arc<str>,
    queue: Waiters,
}

/// What one who waits is told: what each part of its request comes to, and what was charged for it.
pub(super) struct News {
    pub(super) decisions: Decisions,
    /// Who says so.
    pub(super) source: Source,
    pub(super) charged: Charged,
}

impl Default for Flights {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Flights {
    fn shard(&self, partition: u128) -> &Mutex<HashMap<u128, Flight>> {
        // The table of leases uses the other bits.
        &self.shards[partition as usize % SHARDS]
    }
}

/// Whether those who asked still wait for an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    InTime,
    /// What is known of the bucket is newer, and nobody needs what was granted.
    Late,
}

impl Fleet {
    /// Waits for the store with a request. `None`: it is not asked at present.
    pub(super) fn wait(self: &Arc<Self>, partition: u128, key: &str, asked: Asked) -> Option<Receiver<News>> {
        let (news, told) = oneshot::channel();
        self.join(partition, || self.name(partition, key), |queue| queue.join(asked, news)).then_some(told)
    }

    /// Puts something into the queue of a partition, and says whether the store will be asked.
    pub(super) fn join(
        self: &Arc<Self>,
        partition: u128,
        h: impl FnOnce() -> Arc<str>,
        put: impl FnOnce(&mut Waiters),
    ) -> bool {
        let mut flights = self.flights.shard(partition).lock();
        if let Some(flight) = flights.get_mut(&partition) {
            let open = self.is_away(&flight.h);
            if !open {
                put(&mut flight.queue);
            }
            return !open;
        }
        let h = h();
        if self.is_away(&h) {
            return false;
        }
        let mut queue = Queue::default();
        put(&mut queue);
        flights.insert(partition, Flight { h: Arc::clone(&h), queue });
        drop(flights);
        tokio::spawn(Arc::clone(self).fly(partition, h));
        true
    }

    /// Whether the server of a partition is not asked at present.
    fn is_away(&self, h: &str) -> bool {
        self.buckets.site(h.as_bytes()).pulse().is_open()
    }

    /// Fetches more units of a bucket before somebody has to wait for them, unless its partition is being asked about.
    pub(super) fn top_up(self: &Arc<Self>, partition: u128, key: &str, limit: &Limit) {
        let is_asked = || self.flights.shard(partition).lock().contains_key(&partition);
        if is_asked() {
            return;
        }
        let h = self.name(partition, key);
        if self.is_away(&h) {
            return;
        }
        match self.flights.shard(partition).lock().entry(partition) {
            Entry::Occupied(_) => return,
            Entry::Vacant(vacant) => vacant.insert(Flight { h: Arc::clone(&h), queue: Queue::default() }),
        };
        let (fleet, batch) = (Arc::clone(self), Batch::top_up(limit));
        tokio::spawn(async move {
            Box::pin(fleet.timed_call(partition, &h, Aim::TopUp, batch)).await;
            // Who came meanwhile waits.
            fleet.fly(partition, h).await;
        });
    }

    /// Asks until nobody waits and nothing goes back.
    async fn fly(self: Arc<Self>, partition: u128, h: Arc<str>) {
        loop {
            let (batch, refused, served) = {
                let mut flights = self.flights.shard(partition).lock();
                if self.is_away(&h) {
                    // Who waits learns that it failed.
                    let flight = flights.remove(&partition);
                    drop(flights);
                    return flight.into_iter().for_each(|flight| self.keep_back(partition, flight.queue.into_back()));
                }
                let Some(flight) = flights.get_mut(&partition) else { return };
                let refused = flight.queue.release(|asked| self.held(partition, asked));
                let served =
                    flight.queue.serve(|who| !who.is_closed(), |asked| self.drawn(partition, &flight.h, asked));
                let batch = flight.queue.depart(|who| !who.is_closed());
                if batch.is_none() {
                    flights.remove(&partition);
                }
                (batch, refused, served)
            };
            for (decisions, who) in refused {
                for who in who {
                    let charged = self.charged(partition, &h, Vec::new());
                    let _ = who.send(News { decisions: decisions.clone(), source: Source::Hold, charged });
                }
            }
            for (news, who) in served {
                let _ = who.send(news);
            }
            let Some(batch) = batch else { return };
            // Boxed: it is kilobytes, and a task is moved several times before it first runs.
            Box::pin(self.timed_call(partition, &h, Aim::Fill, batch)).await;
        }
    }

    async fn timed_call(self: &Arc<Self>, partition: u128, h: &Arc<str>, aim: Aim, batch: Batch<Sender<News>>) {
        let started = self.clock.now();
        let came = match self.call(partition, h, aim, batch).await {
            Ok(()) => Came::Ok,
            Err(Failure::Late) => Came::Timeout,
            Err(_) => Came::Error,
        };
        self.timings.observe(Operation::QuotaTake, came, self.clock.now() - started);
    }

    /// What a request comes to that was refused a moment ago; `None` when it was not.
    fn held(&self, partition: u128, asked: &Asked) -> Option<Decisions> {
        let now = self.clock.now().0;
        let decisions: Decisions = asked
            .iter()
            .map(|(limit, cost)| match self.leases.get(in_family(partition, limit), now).held(limit, now, *cost) {
                Some((remaining, wait_ns)) => Decision::Refuse { remaining, wait_ns },
                None => Decision::Admit { debt_ns: 0, left: Left { remaining: 0, next_ns: 0 } },
            })
            .collect();
        (!admits(&decisions)).then_some(decisions)
    }

    /// What a request comes to that there are units for by now: more were lent than waited when the call left.
    fn drawn(self: &Arc<Self>, partition: u128, h: &Arc<str>, asked: &Asked) -> Option<News> {
        let now = self.clock.now().0;
        let (mut units, mut decisions) = (Vec::new(), Decisions::new());
        for (limit, cost) in asked {
            let draw = |lease: &mut Lease| lease.draw(limit, now, *cost);
            let Some((left, grant)) = self.leases.with(in_family(partition, limit), now, draw) else {
                // They were there a moment ago. Nothing can be put into the queue from here: it is locked.
                for (limit, cost, grant) in units {
                    self.hold_back(partition, &limit, cost, grant);
                }
                return None;
            };
            units.push((limit.clone(), *cost, grant));
            decisions.push(Decision::Admit { debt_ns: 0, left });
        }
        Some(News { decisions, source: Source::Lease, charged: self.charged(partition, h, units) })
    }

    /// One call. Those whose batch is dropped with it learn that it failed.
    async fn call(
        self: &Arc<Self>,
        partition: u128,
        h: &Arc<str>,
        aim: Aim,
        mut batch: Batch<Sender<News>>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout();
        let site = self.buckets.site(h.as_bytes());
        let Some(_place) = site.pulse().enter() else {
            self.keep_back(partition, batch.take_back());
            return Err(Failure::Away("too many questions are under way".to_owned()));
        };
        let reached = match self.buckets.reach(h.as_bytes(), deadline).await {
            Ok(reached) => reached,
            Err(failure) => {
                self.failed(&site, h, &failure);
                self.keep_back(partition, batch.take_back());
                return Err(failure);
            }
        };
        if reached.site().pulse().is_new(reached.serial()) {
            self.epoch.fetch_add(1, Ordering::Relaxed);
        }
        let (sent, epoch) = (self.clock.now().0, self.epoch());
        let asks = self.asks(partition, &batch, aim, sent, epoch);
        let keys: Vec<_> = batch.limits.iter().map(|limit| self.buckets.key(h, &wire::suffix(limit))).collect();
        let args = wire::args(&asks, &batch.entries);
        let call = Arc::new(Call { partition, h: Arc::clone(h), sent, epoch, asks, batch: Mutex::new(batch) });
        let ask = |reached: Reached, keys, args| {
            let (fleet, late) = (Arc::clone(self), Arc::clone(&call));
            async move {
                let question = Question::new(Asks::Take, keys, args);
                // What it granted is of no use to those who waited, but must not be lost.
                let late = move |values: Vec<Value>| {
                    let _ = fleet.arrived(&late, &values, Arrival::Late);
                };
                let answer = self.buckets.ask(&reached, question, deadline, late).await;
                (reached, answer)
            }
        };
        let (mut reached, mut answer) = ask(reached, keys.clone(), args.clone()).await;
        if let Err(failure) = &answer
            && let Some(other) = self.buckets.follow(h.as_bytes(), &reached, failure, deadline).await
        {
            (reached, answer) = ask(other?, keys, args).await;
        }
        let arrived = answer.and_then(|values| {
            let arrived = self.arrived(&call, &values, Arrival::InTime);
            arrived.ok_or(Failure::Nonsense("what is left does not follow from what was there"))
        });
        match &arrived {
            Ok(()) => self.succeeded(&reached.site()),
            Err(failure) => {
                if failure.says_that_nothing_happened() {
                    self.untell(&call);
                }
                self.failed(&reached.site(), h, failure);
            }
        }
        arrived
    }

    /// What a call said of admissions was not taken in.
    fn untell(&self, call: &Call) {
        for ask in call.asks.iter().filter(|ask| ask.carry_ns > 0) {
            self.memory.untell(&ask.limit.share(ask.proxies), call.partition, ask.carry_ns * ask.proxies);
        }
    }

    /// What is said and asked of each bucket.
    fn asks(&self, partition: u128, batch: &Batch<Sender<News>>, aim: Aim, now: u64, epoch: u16) -> Vec<BucketAsk> {
        let (proxies, lease_ns) = (self.proxies(), self.lease_ns());
        let ask = |(at, limit): (usize, &Limit)| {
            let bucket = in_family(partition, limit);
            let aim = if batch.asks(at) { aim } else { Aim::Return };
            let (mut ask, unused) =
                self.leases.with(bucket, now, |lease| lease.ask(aim, limit, now, epoch, lease_ns, proxies));
            self.count(|meters| {
                meters.refunded.add(unused.refunded.into());
                meters.expired.add(unused.expired.into());
            });
            // Told once, also when nobody hears whether it was: a store that stood still reads all that it was told.
            if limit.algorithm() == Algorithm::Gcra && limit.on_store_error() == OnStoreError::LocalShare {
                let admitted_ns = self.memory.tell_admitted_ns(&limit.share(proxies), partition);
                ask.carry_ns = admitted_ns / proxies.max(1);
            }
            ask
        };
        let mut asks: Vec<_> = batch.limits.iter().enumerate().map(ask).collect();
        for (at, refunds) in &batch.back {
            refunds.iter().for_each(|refund| refund.join(&mut asks[*at].refunds, batch.limits[*at].algorithm()));
        }
        asks
    }

    /// Takes an answer in and tells everybody. `None` when it does not add up.
    fn arrived(self: &Arc<Self>, call: &Call, values: &[Value], arrival: Arrival) -> Option<()> {
        let answer = wire::answer(values, &call.asks)?;
        let mut batch = call.batch.lock();
        let mut holdings = answer.before.clone();
        let played = play(&call.asks, &batch.entries, &mut holdings);
        if !answer.agrees(&holdings, &call.asks) {
            return None;
        }
        let told = Told {
            sent: call.sent,
            now: self.clock.now().0,
            stamp_us: answer.now_us,
            epoch: call.epoch,
            lease_ns: self.lease_ns(),
        };
        let h = || Arc::clone(&call.h);
        for ((ask, holding), lent) in call.asks.iter().zip(&holdings).zip(&played.lent) {
            let (limit, bucket) = (&ask.limit, in_family(call.partition, &ask.limit));
            if arrival == Arrival::Late {
                self.give_back(call.partition, h, limit, *lent, told.grant(limit));
                continue;
            }
            let debt_ns = match holding {
                Holding::Debt(debt_ns) => *debt_ns,
                Holding::Log { .. } => 0,
            };
            let left = self.leases.with(bucket, told.now, |lease| lease.learn(&told, limit, debt_ns, *lent));
            if let Some((units, grant)) = left {
                self.send_back(call.partition, h, limit, units, grant);
            }
            // The store knows by now what the share had admitted when the call left.
            if ask.carry_ns > 0 {
                self.memory.forget_before(&limit.share(ask.proxies), call.partition);
            }
        }
        let who = std::mem::take(&mut batch.who);
        for ((entry, requests), who) in batch.entries.iter().zip(played.requests).zip(who) {
            for (decisions, who) in requests.into_iter().zip(who) {
                let mut units = Vec::new();
                let admitted = admits(&decisions);
                for (part, decision) in entry.parts.iter().zip(&decisions) {
                    let ask = &call.asks[part.bucket];
                    match decision {
                        Decision::Admit { .. } if admitted && part.cost > 0 => {
                            units.push((ask.limit.clone(), part.cost, told.grant(&ask.limit)));
                        }
                        Decision::Refuse { wait_ns, .. } if arrival == Arrival::InTime => {
                            let bucket = in_family(call.partition, &ask.limit);
                            self.leases
                                .with(bucket, told.now, |lease| lease.hold(&ask.limit, told.now, part.cost, *wait_ns));
                        }
                        Decision::Admit { .. } | Decision::Refuse { .. } => {}
                    }
                }
                // Who has left drops it, and what was charged goes back.
                let charged = self.charged(call.partition, &call.h, units);
                let _ = who.send(News { decisions, source: Source::Store, charged });
            }
        }
        Some(())
    }
}

/// A call that has left.
struct Call {
    partition: u128,
    h: Arc<str>,
    sent: u64,
    epoch: u16,
    asks: Vec<BucketAsk>,
    batch: Mutex<Batch<Sender<News>>>,
}
