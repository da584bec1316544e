//! Against real servers.

mod leaving;

use super::model::{Answer, Store};
use super::round::{BucketAsk, Entry, Holding, Owed, Part, Refund};
use super::*;
use crate::quotas::{Charge, Force, OnStoreError, Outcome, Source, Terms, sliding_log};
use crate::redis::RedisUrl;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::net::{IpAddr, Ipv4Addr};
use vestibule_plugin::meter::{Desc, Registry};
use vestibule_plugin::{ClientAddress, SystemClock};
use vestibule_testkit::{Fault, Redis, Relay, Resp};

/// Where time is not the point, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(5);

struct Rig {
    quotas: FleetQuotas,
    meters: Meters,
}

/// One proxy.
fn proxy(url: &str, timeout: Duration) -> Rig {
    let registry = Registry::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let url = RedisUrl::parse(url).expect("an address");
    let settings = Settings::new(url, "test", PATIENCE);
    let memory = Arc::new(MemoryQuotas::new(Arc::clone(&clock)));
    let quotas = FleetQuotas::new(&settings, Secret::new([7; 32]), memory, clock, &registry).expect("no authorities");
    let units = registry.counter(Desc { name: "units_total", help: "", labels: &["outcome"] });
    let meters = Meters {
        used: units.with(&["used"]),
        refunded: units.with(&["refunded"]),
        expired: units.with(&["expired"]),
        peers: registry.gauge(Desc { name: "peers", help: "", labels: &[] }).with(&[]),
    };
    let tuning = Tuning { keys: 1_024, lease: 2 * timeout, timeout, meters: meters.clone() };
    quotas.tune(&tuning).expect("memory");
    Rig { quotas, meters }
}

fn limit(algorithm: Algorithm, quota: u64, window_s: u64, sharing: Sharing) -> Limit {
    Limit::new(&terms(algorithm, quota, window_s, sharing)).expect("a good limit")
}

fn terms(algorithm: Algorithm, quota: u64, window_s: u64, sharing: Sharing) -> Terms<'static> {
    let window = Duration::from_secs(window_s);
    let on_store_error = OnStoreError::LocalShare;
    Terms { name: "p", key: "global", algorithm, quota, window, burst: quota, sharing, on_store_error }
}

fn hourly(quota: u64, sharing: Sharing) -> Limit {
    limit(Algorithm::Gcra, quota, 3_600, sharing)
}

fn demand<'a>(limit: &'a Limit, cost: u64) -> Demand<'a> {
    let charge = Charge { limit, key: "global", cost, force: Force::Enforced };
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Demand { charges: std::iter::once(charge).collect(), address: ClientAddress::Ip { ip, prefix: 32 } }
}

async fn take(rig: &Rig, limit: &Limit, cost: u64) -> (Outcome, Source) {
    let verdict = rig.quotas.take(demand(limit, cost)).get().await.verdicts[0];
    (verdict.outcome, verdict.source)
}

async fn left(rig: &Rig, limit: &Limit) -> u64 {
    rig.quotas.look(limit, Named::Text("global")).get().await.expect("it answers").remaining
}

async fn until_left(rig: &Rig, limit: &Limit, units: u64) {
    vestibule_testkit::within("the units to be back", async {
        while left(rig, limit).await != units {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// What is done to the store in one step of a history.
#[derive(Clone, Debug)]
enum Step {
    Take { asks: Vec<Draft>, entries: Vec<(usize, Vec<(usize, u64)>)> },
    Reset(usize),
    Empty,
}

/// What is asked of a bucket, in times before now.
#[derive(Clone, Debug)]
struct Draft {
    refunds: Vec<(u64, u64)>,
    owed: Option<(u64, u64)>,
    carry_ns: u64,
    is_asked: bool,
    most: u64,
    proxies: u64,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let refunds = proptest::collection::vec((0_u64..5, 0_u64..3_000_000), 0..3);
    let owed = proptest::option::of((0_u64..8_000_000_000, 0_u64..3_000_000));
    (refunds, owed, prop_oneof![Just(0), 0_u64..2_000_000_000], any::<bool>(), 0_u64..33, 1_u64..9).prop_map(
        |(refunds, owed, carry_ns, is_asked, most, proxies)| Draft { refunds, owed, carry_ns, is_asked, most, proxies },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let entry = (0_usize..4, proptest::collection::vec((0_usize..3, 0_u64..4), 1..3));
    let take = (proptest::collection::vec(drafts(), 3), proptest::collection::vec(entry, 0..4));
    prop_oneof![
        8 => take.prop_map(|(asks, entries)| Step::Take { asks, entries }),
        1 => (0_usize..3).prop_map(Step::Reset),
        1 => Just(Step::Empty),
    ]
}

/// Two buckets of debt and a log, small enough to run full.
fn limits() -> [Limit; 3] {
    [
        limit(Algorithm::Gcra, 5, 2, Sharing::Leased),
        limit(Algorithm::Gcra, 3, 60, Sharing::Strict),
        limit(Algorithm::SlidingLog, 4, 1, Sharing::Strict),
    ]
}

/// The script keeps the same rules as the model, by which the bounds are shown.
#[tokio::test]
async fn the_script_does_what_the_model_does() {
    let redis = Redis::start().await;
    let settings = Settings::new(RedisUrl::parse(&redis.url()).expect("an address"), "test", PATIENCE);
    let buckets = Buckets::new(&settings).expect("no authorities");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for history in 0..60 {
        let steps = proptest::collection::vec(steps(), 1..20);
        let steps = steps.new_tree(&mut runner).expect("a history").current();
        let (limits, h, mut model) = (limits(), format!("history-{history}"), Store::default());
        let mut now_us = 0;
        for step in &steps {
            match step {
                Step::Take { asks, entries } => {
                    let asks: Vec<BucketAsk> = limits.iter().zip(asks).map(|(l, draft)| draft.ask(l, now_us)).collect();
                    let entries: Vec<Entry> = entries.iter().map(|(count, parts)| entry(*count, parts)).collect();
                    let (answered_us, answers) = ask(&buckets, &h, &asks, &entries).await;
                    now_us = answered_us;
                    model.expire(now_us);
                    let names = ["a", "b", "c"];
                    let named: Vec<_> = names.into_iter().zip(asks.iter().cloned()).collect();
                    assert_eq!(model.take(now_us, &named, &entries), answers, "{step:?} of {steps:?}");
                }
                Step::Reset(at) => {
                    let is_debt = if limits[*at].algorithm() == Algorithm::Gcra { "1" } else { "0" };
                    let tolerance_ms = limits[*at].tolerance_ns().div_ceil(1_000_000).to_string();
                    let args = vec![is_debt.into(), tolerance_ms.into_bytes()];
                    put(&buckets, Question::new(Asks::Reset, vec![key(&buckets, &h, *at)], args)).await;
                    // Its time is not told, but kept where there is something to keep.
                    let value = redis.command(&[b"GET".to_vec(), key(&buckets, &h, *at)]).await;
                    let at_us = match &value {
                        Resp::Nil => now_us,
                        value => value.text().split(',').next().expect("a stamp").parse().expect("a number"),
                    };
                    model.reset(at_us, ["a", "b", "c"][*at], &limits[*at]);
                }
                Step::Empty => {
                    redis.command(&["FLUSHDB"]).await;
                    model.empty();
                }
            }
        }
    }
}

impl Draft {
    fn ask(&self, limit: &Limit, now_us: u64) -> BucketAsk {
        let ago = |us: u64| now_us.saturating_sub(us);
        let is_debt = limit.algorithm() == Algorithm::Gcra;
        BucketAsk {
            limit: limit.clone(),
            refunds: self
                .refunds
                .iter()
                .map(|(units, us)| Refund::of(limit, *units, limit.emission_ns() - 1, ago(*us)))
                .collect(),
            owed: self.owed.filter(|_| is_debt).map(|(debt_ns, us)| Owed { debt_ns, seen_us: ago(us) }),
            seen_us: now_us,
            carry_ns: if is_debt { self.carry_ns } else { 0 },
            is_asked: self.is_asked,
            most: if limit.sharing() == Sharing::Leased { self.most } else { 0 },
            proxies: self.proxies,
        }
    }
}

fn entry(count: usize, parts: &[(usize, u64)]) -> Entry {
    let mut parts: Vec<Part> = parts.iter().map(|(bucket, cost)| Part { bucket: *bucket, cost: *cost }).collect();
    // A request asks a bucket once.
    parts.dedup_by_key(|part| part.bucket);
    Entry { count, parts: parts.into_iter().collect() }
}

fn key(buckets: &Buckets, h: &str, at: usize) -> Vec<u8> {
    buckets.key(h, ["a:g", "b:g", "c:l"][at])
}

async fn put(buckets: &Buckets, question: Question) -> Vec<redis::Value> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let reached = buckets.reach(b"any", deadline).await.expect("a running server");
    buckets.ask(&reached, question, deadline, drop).await.expect("an answer")
}

async fn ask(buckets: &Buckets, h: &str, asks: &[BucketAsk], entries: &[Entry]) -> (u64, Vec<Answer>) {
    let keys = (0..3).map(|at| key(buckets, h, at)).collect();
    let values = put(buckets, Question::new(Asks::Take, keys, wire::args(asks, entries))).await;
    let answer = wire::answer(&values, asks).expect("an answer that makes sense");
    let told = answer.before.into_iter().zip(answer.after).map(|(before, after)| Answer { before, after });
    (answer.now_us, told.collect())
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_nobody_wait_longer_than_a_full_bucket() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let ten = hourly(10, Sharing::Strict);
    let h = hidden(&Secret::new([7; 32]), "global");
    // Of a day from now, and nearly exhausted: nothing has drained, and it is rewritten to now.
    let future_us = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_micros() + 86_400_000_000;
    let value = format!("{future_us},{}", 9 * 360_000_000_000_u64);
    redis.command(&["SET", &format!("test:rl:{{{h}}}:p:g"), &value]).await;
    assert!(matches!(take(&rig, &ten, 1).await, (Outcome::Charged(left), Source::Store) if left.remaining == 0));
    let (Outcome::Refused { wait_ns, .. }, _) = take(&rig, &ten, 1).await else { panic!("it is exhausted") };
    assert!(wait_ns <= 360_000_000_000, "{wait_ns}");
    let log = limit(Algorithm::SlidingLog, 2, 3_600, Sharing::Strict);
    redis.command(&["RPUSH", &format!("test:rl:{{{h}}}:p:l"), &future_us.to_string()]).await;
    assert!(matches!(take(&rig, &log, 1).await, (Outcome::Charged(_), Source::Store)));
    let (Outcome::Refused { wait_ns, .. }, _) = take(&rig, &log, 1).await else { panic!("it is full") };
    assert!(wait_ns <= 3_600_000_000_000, "{wait_ns}");
}

#[tokio::test]
async fn a_value_that_is_none_is_a_failure_and_not_a_crash() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let ten = hourly(10, Sharing::Strict);
    let h = hidden(&Secret::new([7; 32]), "global");
    for words in [&["SET", "rubbish"][..], &["RPUSH", "1"]] {
        let key = format!("test:rl:{{{h}}}:p:g");
        redis.command(&["DEL", &key]).await;
        redis.command(&[words[0], &key, words[1]]).await;
        assert!(matches!(take(&rig, &ten, 1).await, (Outcome::Charged(_), Source::Fallback)));
        assert!(rig.quotas.look(&ten, Named::Text("global")).get().await.is_err());
    }
}

#[tokio::test]
async fn borrowed_units_are_used_without_asking_and_counted() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let plenty = limit(Algorithm::Gcra, 100_000, 1, Sharing::Leased);
    let mut sources = Vec::new();
    for _ in 0..200 {
        let (outcome, source) = take(&rig, &plenty, 1).await;
        assert!(matches!(outcome, Outcome::Charged(_)));
        sources.push(source);
    }
    let borrowed = sources.iter().filter(|source| **source == Source::Lease).count() as u64;
    assert!(borrowed > 100, "{borrowed} of 200");
    assert_eq!(rig.meters.used.get(), borrowed);
}

#[tokio::test]
async fn a_hot_bucket_with_plenty_is_topped_up_before_anybody_waits() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let plenty = limit(Algorithm::Gcra, 100_000, 1, Sharing::Leased);
    let scarce =
        Limit::new(&Terms { burst: 60, name: "scarce", ..terms(Algorithm::Gcra, 100_000, 1, Sharing::Leased) });
    for (limit, topped_up) in [(plenty, true), (scarce.expect("a good limit"), false)] {
        let mut waited = 0;
        for number in 0..400 {
            let (outcome, source) = take(&rig, &limit, 1).await;
            assert!(matches!(outcome, Outcome::Charged(_)));
            // The first say how hot it is.
            waited += u32::from(number >= 100 && source == Source::Store);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(waited < 6, topped_up, "{waited} of 300 waited");
    }
}

#[tokio::test]
async fn many_at_once_go_in_one_call_and_get_what_there_is() {
    let redis = Redis::start().await;
    let rig = proxy(&redis.url(), PATIENCE / 4);
    let fifty = hourly(50, Sharing::Strict);
    let asked = (0..300).map(|_| take(&rig, &fifty, 1));
    let admitted = futures::future::join_all(asked).await;
    assert_eq!(admitted.iter().filter(|(outcome, _)| matches!(outcome, Outcome::Charged(_))).count(), 50);
    let calls = redis.command(&["INFO", "commandstats"]).await.text();
    let calls = calls.lines().find(|line| line.starts_with("cmdstat_evalsha:")).expect("scripts ran").to_owned();
    let calls: u64 = calls.split(['=', ',']).nth(1).expect("a count").parse().expect("a number");
    assert!(calls <= 4, "{calls} calls for 300 requests");
}

#[test]
fn rubbish_is_no_answer() {
    let asks = [Draft { refunds: Vec::new(), owed: None, carry_ns: 0, is_asked: true, most: 0, proxies: 1 }
        .ask(&hourly(10, Sharing::Strict), 0)];
    let bulk = |text: &str| redis::Value::BulkString(text.as_bytes().to_vec());
    let good = [bulk("1000"), bulk("5"), bulk("5")];
    assert!(wire::answer(&good, &asks).is_some_and(|answer| answer.agrees(&[Holding::Debt(5)], &asks)));
    for at in 0..3 {
        for bad in ["", "-1", "1.5", "x", "99999999999999999999", "9007199254740993"] {
            let mut values = good.clone();
            values[at] = bulk(bad);
            assert!(wire::answer(&values, &asks).is_none(), "{bad:?} at {at}");
        }
        let mut values = good.clone();
        values[at] = redis::Value::Nil;
        assert!(wire::answer(&values, &asks).is_none());
    }
    assert!(wire::answer(&good[..2], &asks).is_none());
    let log = [Draft { refunds: Vec::new(), owed: None, carry_ns: 0, is_asked: true, most: 0, proxies: 1 }
        .ask(&limits()[2], 0)];
    let too_long = "1,".repeat(sliding_log::MAX_LOG + 1);
    for bad in ["2000,", "1,,2,", "x,", too_long.as_str()] {
        assert!(wire::answer(&[bulk("1000"), bulk(bad), bulk("1")], &log).is_none(), "{bad:.20}");
    }
}
