//! Repeated writes over two proxies and one Redis, a master with sentinels or a cluster, while everything around them is killed, stalled and cut, at random
//! from a printed seed. Afterwards the history of every key is checked.

mod chaos;
mod client;
mod history;
mod world;

use std::time::Duration;
use world::{On, World};

/// A short one with every run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short() {
    let violations = World::run(On::One, seed().unwrap_or(7), Duration::from_secs(12)).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// `make torture`: as long as `TORTURE_SECONDS` says, on what `TORTURE_ON` says: `one`, `sentinels` or `cluster`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes; run by make torture"]
async fn long() {
    let seconds = number("TORTURE_SECONDS").unwrap_or(600);
    let seed = seed().unwrap_or_else(|| fastrand::u64(..1_000_000));
    let on = match std::env::var("TORTURE_ON").as_deref() {
        Ok("sentinels") => On::Sentinels,
        Ok("cluster") => On::Cluster,
        Ok(other) if other != "one" => panic!("TORTURE_ON={other}; expected one, sentinels or cluster"),
        _ => On::One,
    };
    let violations = World::run(on, seed, Duration::from_secs(seconds)).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

fn seed() -> Option<u64> {
    number("TORTURE_SEED")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
