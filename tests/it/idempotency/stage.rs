//! A proxy with keys on, its store, and an application that counts.

use vestibule_testkit::{Answer, Gate, Origin, Proxy, Received, Redis, Reply, Request, Setup};

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Memory,
    Redis,
}

/// A store, running.
pub enum Store {
    Memory,
    Redis(Redis),
}

impl On {
    pub async fn open(self) -> Store {
        match self {
            Self::Memory => Store::Memory,
            Self::Redis => Store::Redis(Redis::start().await),
        }
    }
}

impl Store {
    /// `[store]`, and `[idempotency]` with these further lines. Leases are short, so that a test can outlive one.
    pub fn toml(&self, keys: &str) -> String {
        let store = match self {
            Self::Memory => String::new(),
            Self::Redis(redis) => format!("[store]\nurl = \"{}\"\nsecret = \"test\"\n", redis.url()),
        };
        format!("{store}[idempotency]\nlease = \"2s\"\nprincipal = [\"authorization\"]\n{keys}")
    }

    pub fn redis(&self) -> &Redis {
        match self {
            Self::Redis(redis) => redis,
            Self::Memory => panic!("this store is in memory"),
        }
    }

    pub fn redis_mut(&mut self) -> &mut Redis {
        match self {
            Self::Redis(redis) => redis,
            Self::Memory => panic!("this store is in memory"),
        }
    }
}

pub struct Stage {
    pub origin: Origin,
    pub proxy: Proxy,
    pub store: Store,
}

impl Stage {
    pub async fn new(on: On, origin: Origin) -> Self {
        Self::with(on, origin, "").await
    }

    /// `keys` are further lines of `[idempotency]` and tables behind it.
    pub async fn with(on: On, origin: Origin, keys: &str) -> Self {
        let url = origin.url();
        Self::reaching(on, origin, &url, keys).await
    }

    /// The application is reached at another address than its own.
    pub async fn reaching(on: On, origin: Origin, url: &str, keys: &str) -> Self {
        let store = on.open().await;
        let proxy = Setup::new(crate::bin()).upstream(url).toml(store.toml(keys)).start().await;
        Self { origin, proxy, store }
    }

    /// One more proxy in front of the same application, on the same store.
    pub async fn another_proxy(&self, keys: &str) -> Proxy {
        Setup::new(crate::bin()).upstream(self.origin.url()).toml(self.store.toml(keys)).start().await
    }

    /// `POST /orders` from alice, with this key.
    pub fn order(&self, key: &str) -> Request {
        self.post("/orders", key).body("one")
    }

    /// Alice's POST, without a body.
    pub fn post(&self, target: &str, key: &str) -> Request {
        keyed(self.proxy.post(target), key)
    }

    pub fn hits(&self) -> usize {
        self.origin.hits()
    }

    /// Waits until every request so far is counted, and asserts what became of them.
    pub async fn assert_counted(&self, expected: &[(&str, usize)]) {
        const NAME: &str = "vestibule_idempotency_requests_total";
        let total: usize = expected.iter().map(|(_, count)| count).sum();
        let what = format!("{total} counted requests");
        let scrape = self.proxy.wait_metrics(&what, |scrape| scrape.value(NAME, &[]) as usize >= total).await;
        for (outcome, count) in expected {
            assert_eq!(scrape.value(NAME, &[("outcome", *outcome)]) as usize, *count, "{outcome}");
        }
        assert_eq!(scrape.value(NAME, &[]) as usize, total);
    }
}

/// Alice's request, with this key.
pub fn keyed(request: Request, key: &str) -> Request {
    request.header("authorization", "Bearer alice").header("idempotency-key", key)
}

/// A new order each time: its number is in the body and in Location.
pub fn orders() -> Origin {
    Origin::replying(order)
}

pub fn order(request: &Received) -> Reply {
    let number = request.number;
    Reply::new(201)
        .field("location", format!("/orders/{number}"))
        .field("content-type", "application/json")
        .body(format!("{{\"order\":{number}}}"))
}

/// A new order each time, once the gate is open.
pub fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::replying(move |request| order(request).once(&gate))
}

/// Whether this is a stored reply.
pub fn is_replay(answer: &Answer) -> bool {
    answer.field("idempotent-replayed") == "true"
}

/// Tests for each store, from cases that take one.
macro_rules! on_every_store {
    ($($case:ident,)+) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(crate::idempotency::stage::On::Memory).await;
                }
            )+
        }
        mod redis {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(crate::idempotency::stage::On::Redis).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_store;
