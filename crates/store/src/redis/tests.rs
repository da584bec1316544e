//! Against real servers.

mod conformance;
mod failures;
mod hostile;
mod keeping;
mod places;
mod replicas;

use super::*;
use crate::records::{Abandoned, Fingerprint, Owner, Payer};
use bytes::Bytes;
use vestibule_testkit::Redis as Server;

/// As configured by default.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Where time is not the point, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an operation may take beyond its timeout on a busy machine.
const SLACK: Duration = Duration::from_millis(250);
const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(600);
const KEEP: Keeping = Keeping { ttl: TTL, replicas: 0 };

/// The store that `url` says.
fn records(url: &str) -> RedisRecords {
    records_within(url, PATIENCE)
}

/// The same, as impatient as it is by default.
fn impatient(url: &str) -> RedisRecords {
    records_within(url, TIMEOUT)
}

fn records_within(url: &str, timeout: Duration) -> RedisRecords {
    let url = RedisUrl::parse(url).expect("an address");
    let settings = Settings::new(url, "test", timeout);
    RedisRecords::new(settings).expect("no authorities to be wrong")
}

/// A claim on a name of its own.
fn claim() -> Claim {
    let hold = Hold {
        name: Name(rand::random()),
        fingerprint: Fingerprint([7; 32]),
        owner: Owner::draw(),
        trace_id: rand::random(),
        payer: Payer::default(),
    };
    Claim { hold, lease: LEASE, ttl: TTL, abandoned: Abandoned::Respect, replicas: 0 }
}

fn key(hold: &Hold) -> String {
    format!("test:idem:1:{}", hold.name)
}

fn done(length: usize) -> Outcome {
    Outcome::Done { status: 200, reply: Bytes::from(vec![b'x'; length]) }
}

async fn begin(records: &RedisRecords, claim: Claim) -> Result<Begun, Outage> {
    let started = std::time::Instant::now();
    let begun = records.begin(claim).get().await;
    assert!(started.elapsed() < records.timeout + SLACK, "begin took {:?}", started.elapsed());
    begun
}

async fn complete(records: &RedisRecords, hold: Hold, outcome: Outcome) -> Result<Completed, Outage> {
    let started = std::time::Instant::now();
    let completed = records.complete(hold, outcome, KEEP).get().await;
    assert!(started.elapsed() < records.timeout + SLACK, "complete took {:?}", started.elapsed());
    completed
}
