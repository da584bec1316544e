//! What is done to the world while clients go on.

use super::world::{Store, World};
use fastrand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_testkit::Fault;

/// Longer than proxies remember what they wrote: one that is killed in the middle of a change takes that with it.
const SETTLED: Duration = Duration::from_secs(6);

pub struct Chaos {
    world: Arc<World>,
    rng: Rng,
}

impl Chaos {
    pub fn new(world: Arc<World>) -> Self {
        let rng = Rng::with_seed(world.seed);
        Self { world, rng }
    }

    /// One thing after the other; at the end everything works again.
    pub async fn until(mut self, until: Instant) {
        while Instant::now() < until {
            let pause = self.rng.u64(50..600);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.strike().await;
        }
        self.heal().await;
    }

    async fn strike(&mut self) {
        let which = self.rng.usize(..2);
        let a_while = Duration::from_millis(self.rng.u64(20..900));
        match self.rng.u8(..16) {
            0..=2 => self.kill_proxy(which).await,
            3 => self.terminate_proxy(which).await,
            4..=11 => self.strike_store(which, a_while).await,
            _ => {
                let fault = self.fault();
                self.world.to_origin.set(fault).await;
                tokio::time::sleep(a_while).await;
                self.world.to_origin.set(Fault::None).await;
            }
        }
    }

    /// Something happens to where proxies store, or to the way there.
    async fn strike_store(&mut self, which: usize, a_while: Duration) {
        let what = self.rng.u8(..8);
        let world = Arc::clone(&self.world);
        let store = world.store.read().await;
        match (&*store, what) {
            (_, 0) => {
                let servers = store.servers();
                let server = servers[self.rng.usize(..servers.len())];
                server.stop();
                // Too short for anybody to be deposed for it.
                tokio::time::sleep(a_while.min(Duration::from_millis(600))).await;
                server.resume();
            }
            (_, 1) => {
                for server in store.servers() {
                    server.command(&["SCRIPT", "FLUSH"]).await;
                }
            }
            (Store::One(_), 2) => {
                drop(store);
                let mut store = world.store.write().await;
                if let Store::One(redis) = &mut *store {
                    redis.kill().await;
                    tokio::time::sleep(a_while).await;
                    redis.restart().await;
                }
            }
            (Store::One(_), _) => {
                let fault = self.fault();
                world.to_redis[which].set(fault).await;
                tokio::time::sleep(a_while).await;
                world.to_redis[which].set(Fault::None).await;
            }
            (Store::Sentinels(sentinels), 2..=4) => {
                // In order, while everybody goes on; for a while nothing else happens to what has just changed.
                if sentinels.try_depose().await {
                    tokio::time::sleep(SETTLED).await;
                }
            }
            (Store::Sentinels(sentinels), 5) => {
                let sentinel = &sentinels.sentinels()[self.rng.usize(..3)];
                sentinel.stop();
                tokio::time::sleep(a_while).await;
                sentinel.resume();
            }
            (Store::Cluster(cluster), 2..=4) => {
                cluster.try_swap(self.rng.usize(..3)).await;
                tokio::time::sleep(a_while).await;
            }
            (Store::Sentinels(_) | Store::Cluster(_), _) => {
                for server in store.servers() {
                    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
                }
            }
        }
    }

    fn fault(&mut self) -> Fault {
        match self.rng.u8(..9) {
            0 => Fault::Delay(Duration::from_millis(self.rng.u64(1..400))),
            1 => Fault::Trickle(Duration::from_micros(self.rng.u64(100..2000))),
            2 => Fault::Stall,
            3 => Fault::Blackhole,
            4 => Fault::SwallowResponse,
            5 => Fault::CutRequest(self.rng.u64(1..400)),
            6 => Fault::CutResponse(self.rng.u64(1..400)),
            7 => Fault::Reset,
            _ => Fault::Refuse,
        }
    }

    /// Dead, or soon dead at a point of its own choice; then a new one.
    async fn kill_proxy(&mut self, which: usize) {
        let points = ["claimed", "sending", "replied", "stored"];
        // Not where the master changes: one that dies in the middle of that takes along what it alone knew.
        let may_die = cfg!(feature = "fail-points") && !matches!(*self.world.store.read().await, Store::Sentinels(_));
        let point =
            (self.rng.bool() && may_die).then(|| format!("{}:{}", points[self.rng.usize(..4)], self.rng.u16(1..40)));
        let mut proxy = self.world.proxies[which].write().await;
        proxy.kill().await;
        *proxy = self.world.start_proxy(which, point).await;
    }

    async fn terminate_proxy(&mut self, which: usize) {
        let mut proxy = self.world.proxies[which].write().await;
        proxy.sigterm();
        proxy.wait_exit().await;
        *proxy = self.world.start_proxy(which, None).await;
    }

    async fn heal(&mut self) {
        self.world.to_origin.set(Fault::None).await;
        for relay in &self.world.to_redis {
            relay.set(Fault::None).await;
        }
        for which in 0..2 {
            let mut proxy = self.world.proxies[which].write().await;
            proxy.kill().await;
            *proxy = self.world.start_proxy(which, None).await;
        }
    }
}
