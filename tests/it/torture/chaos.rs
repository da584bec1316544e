//! What is done to the world while clients go on.

use super::world::World;
use fastrand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_testkit::Fault;

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
            4 => {
                let redis = self.world.redis.read().await;
                redis.stop();
                tokio::time::sleep(a_while).await;
                redis.resume();
            }
            5 => {
                let mut redis = self.world.redis.write().await;
                redis.kill().await;
                tokio::time::sleep(a_while).await;
                redis.restart().await;
            }
            6 => {
                self.world.redis.read().await.command(&["SCRIPT", "FLUSH"]).await;
            }
            7..=11 => {
                let fault = self.fault();
                self.world.to_redis[which].set(fault).await;
                tokio::time::sleep(a_while).await;
                self.world.to_redis[which].set(Fault::None).await;
            }
            _ => {
                let fault = self.fault();
                self.world.to_origin.set(fault).await;
                tokio::time::sleep(a_while).await;
                self.world.to_origin.set(Fault::None).await;
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
        let point = (self.rng.bool() && cfg!(feature = "fail-points"))
            .then(|| format!("{}:{}", points[self.rng.usize(..4)], self.rng.u16(1..40)));
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
