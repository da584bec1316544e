//! A proxy that is killed under load, again and again: what was acknowledged is told, and what is told holds.

use super::*;
use receiver::taken_ids;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use vestibule_testkit::Origin;

/// Clients at once.
const CLIENTS: usize = 8;
/// Of one log: each time all of it is read again.
const DEATHS: u64 = 6;
/// The longest life of a process.
const LIFE: u64 = 250;

/// AUD-13, a dozen times with every run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short() {
    for mode in ["open", "closed"] {
        World::run(mode, DEATHS, seed(mode)).await;
    }
}

/// AUD-13: `CRASHES=n cargo test --test it audit::crashes::long -- --ignored`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn long() {
    let deaths = number("CRASHES").unwrap_or(400);
    for _ in 0..deaths / (2 * DEATHS) {
        for mode in ["open", "closed"] {
            World::run(mode, DEATHS, seed(mode)).await;
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed(mode: &str) -> u64 {
    let seed = number("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("crashes: {mode}, CRASH_SEED={seed}");
    seed
}

/// What clients were told of each order.
type Acknowledged = Arc<parking_lot::Mutex<Vec<usize>>>;

struct World {
    trail: Trail,
    origin: Origin,
    receiver: Receiver,
    lines: String,
    mode: &'static str,
}

impl World {
    async fn run(mode: &'static str, deaths: u64, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let receiver = Receiver::taking();
        let lines = format!(
            "on_error = \"{mode}\"\ntimeout = \"30s\"\nrotate_bytes = \"64KiB\"\ncheckpoint = \"1s\"\n{}",
            receiver.toml()
        );
        let world = Self { trail: Trail::new(), origin: Origin::returning(200, "ok"), receiver, lines, mode };
        let next = Arc::new(AtomicUsize::new(0));
        let acknowledged = Acknowledged::default();
        for _ in 0..deaths {
            world.live_and_die(Duration::from_millis(random.u64(1..LIFE)), &next, &acknowledged).await;
            world.check_the_dead(&acknowledged.lock());
            let verified = world.trail.verify(&[]).await;
            assert_eq!(verified.code, Some(0), "{verified:?}");
        }
        let acknowledged = acknowledged.lock().clone();
        world.check_the_living(&acknowledged).await;
    }

    async fn live_and_die(&self, life: Duration, next: &Arc<AtomicUsize>, acknowledged: &Acknowledged) {
        let mut proxy = self.trail.proxy(&self.origin, &self.lines).await;
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let mut raw = proxy.connect().await;
            let (address, over) = (proxy.address(), Arc::clone(&over));
            let (next, acknowledged) = (Arc::clone(next), Arc::clone(acknowledged));
            clients.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let order = next.fetch_add(1, Ordering::Relaxed);
                    let request = Request::new(address, "POST", &format!("/orders/{order}"));
                    let answer = match raw.try_write(request.encoded()).await {
                        Ok(()) => raw.try_answer_to("POST").await,
                        Err(error) => Err(error),
                    };
                    match answer {
                        Ok(answer) if answer.status == 200 => acknowledged.lock().push(order),
                        Ok(answer) => panic!("{}", answer.status),
                        Err(_) => return,
                    }
                }
            });
        }
        // At a moment of its own; nothing is waited for.
        tokio::time::sleep(life).await;
        proxy.kill().await;
        over.store(true, Ordering::Relaxed);
        clients.join_all().await;
    }

    /// Before anybody mends it, the log holds up to its torn tail.
    fn check_the_dead(&self, acknowledged: &[usize]) {
        let log = self.trail.log();
        let phases = by_order(&log);
        for (order, phases) in &phases {
            assert!(phases.len() <= 2 && phases[0] == "started", "order {order}: {phases:?}");
        }
        if self.mode == "closed" {
            let started = log.count("request.started");
            assert!(
                self.origin.hits() <= started,
                "{} requests at the application, {started} told",
                self.origin.hits()
            );
            for order in acknowledged {
                assert!(phases.contains_key(order), "order {order} was answered and is not told");
            }
        }
    }

    async fn check_the_living(&self, acknowledged: &[usize]) {
        let mut proxy = self.trail.proxy(&self.origin, &self.lines).await;
        proxy.sigterm();
        assert!(proxy.wait_exit().await.success());
        let verified = self.trail.verify(&["--sealed"]).await;
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let log = self.trail.log();
        assert_eq!(log.torn_bytes, 0);
        let phases = by_order(&log);
        for (order, phases) in &phases {
            assert!(matches!(phases[..], ["started", "finished" | "interrupted"]), "order {order}: {phases:?}");
        }
        if self.mode == "closed" {
            assert!(acknowledged.iter().all(|order| phases.contains_key(order)));
        }
        let recovered = log.of("audit.recovered");
        assert!(!recovered.is_empty() && recovered.iter().all(|event| told(event, "unclean") == true));
        let promised: u64 = recovered.iter().map(|event| told(event, "interrupted").as_u64().expect("a number")).sum();
        assert_eq!(log.count("request.interrupted") as u64, promised);
        println!(
            "crashes: {}, {} orders told, {} answered, {} interrupted, {} records, {} segments",
            self.mode,
            phases.len(),
            acknowledged.len(),
            promised,
            log.events.len(),
            log.segments.len()
        );
        let batches =
            self.receiver.wait("everything at the sink", |batches| taken_ids(batches).len() >= log.events.len()).await;
        assert_eq!(taken_ids(&batches), log.ids(), "each arrived, first arrivals in order, and nothing else ever did");
    }
}

/// What is told of each order. Orders are known by what began: an end may be told without its name.
fn by_order(log: &Log) -> BTreeMap<usize, Vec<&str>> {
    let began = log.of("request.started").into_iter().map(|event| {
        let order = event["subject"].as_str().and_then(|subject| subject.strip_prefix("order:")?.parse().ok());
        (event["data"]["request_id"].as_str().expect("an id"), order.expect("an order"))
    });
    let began: BTreeMap<&str, usize> = began.collect();
    let phases = log.by_request();
    assert!(phases.keys().all(|id| began.contains_key(id)), "every end has a beginning");
    phases.into_iter().map(|(id, phases)| (began[id], phases)).collect()
}
