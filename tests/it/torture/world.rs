//! Two proxies, what they store in, one application, and relays between them.

use super::chaos::Chaos;
use super::client;
use super::history::{Allows, Histories, Key};
use fastrand::Rng;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use vestibule_testkit::origin::Cut;
use vestibule_testkit::{Origin, Proxy, Received, Redis, RedisCluster, RedisSentinels, Relay, Reply, Setup};

/// Clients at once.
const CLIENTS: usize = 48;

const LEASE: Duration = Duration::from_secs(1);
/// Longer than any client comes back to a key.
const TTL: Duration = Duration::from_secs(20);

pub struct World {
    pub seed: u64,
    pub histories: Arc<Histories>,
    _origin: Origin,
    pub to_origin: Relay,
    pub store: RwLock<Store>,
    /// Of each proxy, where there is one Redis.
    pub to_redis: Vec<Relay>,
    pub proxies: [RwLock<Proxy>; 2],
}

/// Where proxies store.
pub enum Store {
    One(Redis),
    Sentinels(RedisSentinels),
    Cluster(RedisCluster),
}

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    One,
    Sentinels,
    Cluster,
}

impl Store {
    async fn start(on: On) -> Self {
        match on {
            On::One => Self::One(Redis::setup().appendonly(true).start().await),
            On::Sentinels => Self::Sentinels(RedisSentinels::of(2, 3, 2).await),
            On::Cluster => Self::Cluster(RedisCluster::with_replicas().await),
        }
    }

    /// Every server that may have records.
    pub fn servers(&self) -> Vec<&Redis> {
        match self {
            Self::One(redis) => vec![redis],
            Self::Sentinels(sentinels) => sentinels.servers().iter().collect(),
            Self::Cluster(cluster) => cluster.nodes().iter().collect(),
        }
    }
}

impl World {
    /// Lets clients and chaos loose for so long, and says what went wrong.
    pub async fn run(on: On, seed: u64, time: Duration) -> Vec<String> {
        println!("torture: {on:?}, seed {seed}, {} seconds", time.as_secs());
        let world = Arc::new(Self::new(on, seed).await);
        let until = Instant::now() + time;
        let chaos = tokio::spawn(Chaos::new(Arc::clone(&world)).until(until));
        let clients: Vec<_> =
            (0..CLIENTS as u64).map(|number| tokio::spawn(client::run(Arc::clone(&world), number, until))).collect();
        for client in clients {
            client.await.expect("a client does not panic");
        }
        chaos.await.expect("chaos does not panic");
        let mut violations = world.check_afterwards().await;
        let (found, summary) = world.histories.judge();
        violations.extend(found);
        println!("torture: {summary:?}");
        if summary.keys < CLIENTS || summary.replays == 0 || summary.unknown == 0 || summary.unavailable == 0 {
            violations.push(format!("too little happened: {summary:?}"));
        }
        violations
    }

    async fn new(on: On, seed: u64) -> Self {
        let histories = Arc::new(Histories::default());
        let origin = application(seed, Arc::clone(&histories));
        let to_origin = Relay::to(origin.address());
        let store = Store::start(on).await;
        let to_redis: Vec<Relay> = match &store {
            Store::One(redis) => (0..2).map(|_| Relay::to(redis.address())).collect(),
            Store::Sentinels(_) | Store::Cluster(_) => Vec::new(),
        };
        let upstream = format!("http://{}", to_origin.address());
        let first = start(&upstream, &url(&store, &to_redis, 0), None).await;
        let second = start(&upstream, &url(&store, &to_redis, 1), None).await;
        Self {
            seed,
            histories,
            _origin: origin,
            to_origin,
            store: RwLock::new(store),
            to_redis,
            proxies: [RwLock::new(first), RwLock::new(second)],
        }
    }

    /// A new process in the place of one that has ended.
    pub async fn start_proxy(&self, which: usize, fail_point: Option<String>) -> Proxy {
        let url = url(&*self.store.read().await, &self.to_redis, which);
        start(&format!("http://{}", self.to_origin.address()), &url, fail_point).await
    }

    /// Nothing is stuck: no record outlives its lease and time to live.
    async fn check_afterwards(&self) -> Vec<String> {
        tokio::time::sleep(LEASE + TTL + Duration::from_secs(2)).await;
        let mut left = 0;
        for server in self.store.read().await.servers() {
            left += server.command(&["KEYS", "*:idem:*"]).await.parts().len();
        }
        if left == 0 { Vec::new() } else { vec![format!("{left} records are left")] }
    }
}

/// What a proxy is told of its store.
fn url(store: &Store, to_redis: &[Relay], which: usize) -> String {
    match store {
        Store::One(_) => format!("redis://{}", to_redis[which].address()),
        Store::Sentinels(sentinels) => sentinels.url(),
        Store::Cluster(cluster) => cluster.url(),
    }
}

async fn start(upstream: &str, store: &str, fail_point: Option<String>) -> Proxy {
    // What is acknowledged by a replica alone would be enough where the master may be replaced.
    let replicas = u32::from(store.contains("sentinel"));
    let toml = format!(
        "[store]\nurl = \"{store}\"\nsecret = \"torture\"\ntimeout = \"300ms\"\n\
         [upstream]\nread_timeout = \"2s\"\n[server]\nworkers = 2\ndrain_timeout = \"1s\"\n\
         [idempotency]\nlease = \"{}s\"\nttl = \"{}s\"\ndeadline = \"5s\"\nprincipal = [\"authorization\"]\nmax_response_body = \"4KiB\"\nwait_replicas = {replicas}\n\
         [[routes]]\nname = \"wait\"\npath = \"/wait/{{*rest}}\"\nidempotency = {{ on_concurrent = \"wait\", wait = \"3s\" }}\n",
        LEASE.as_secs(),
        TTL.as_secs(),
    );
    let setup = Setup::new(crate::bin()).upstream(upstream).toml(toml);
    match fail_point {
        Some(point) => setup.env("VESTIBULE_FAIL_POINT", &point),
        None => setup,
    }
    .start()
    .await
}

/// Counts and remembers what it does for each key, and fails now and then, at every byte.
fn application(seed: u64, histories: Arc<Histories>) -> Origin {
    let rng = Mutex::new(Rng::with_seed(seed ^ 0x0a99));
    Origin::replying(move |request| {
        let mut rng = rng.lock();
        let key = key_of(request);
        let padding: String = (0..rng.usize(..200)).map(|_| rng.alphanumeric()).collect();
        let body = format!("{} {} {} {padding}", key.caller, key.text, request.number);
        let (status, allows) = match rng.u8(..100) {
            0..=3 => (503, Allows::Another),
            4..=5 => (429, Allows::Another),
            6..=8 => (500, Allows::Nothing),
            9..=11 => (422, Allows::Nothing),
            _ => (201, Allows::Nothing),
        };
        histories.hit(&key, body.clone(), allows);
        let reply = Reply::new(status).field("location", format!("/{}", request.number)).body(body);
        let reply = match rng.u8(..20) {
            0 => reply.after(Duration::from_millis(rng.u64(..1500))),
            1..=8 => reply.after(Duration::from_millis(rng.u64(..30))),
            _ => reply,
        };
        match rng.u8(..60) {
            0 => Reply::dying(),
            1 => reply.cut(Cut::Head(rng.usize(..60))),
            2 => reply.cut(Cut::Body(rng.usize(..30))),
            _ => reply,
        }
    })
}

fn key_of(request: &Received) -> Key {
    Key { caller: request.field("authorization").to_owned(), text: request.field("idempotency-key").to_owned() }
}
