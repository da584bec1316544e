//! Limits of a fleet whose store fails.

use super::fleet::{Asked, Fleet, admitted, alone, burst, expired, ideal, most, one_policy, store};
use super::left;
use std::time::{Duration, Instant};
use vestibule_testkit::{Fault, Origin, Proxy, Redis, Relay, Setup};

/// Long enough for a store on a busy machine, and for one wait to be told from two.
const TIMEOUTS: &str = "lease = \"1s\"\nstore_timeout = \"500ms\"";
/// As it says.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// What the work itself may take on a busy machine.
const SLACK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, PartialEq)]
enum Failing {
    Killed,
    Frozen,
}

/// RL-26: under load below the limit nobody is refused or sees an error, each waits once at most, and the store is used
/// again as soon as it is back.
async fn goes_on_alone(failing: Failing) {
    let mut redis = Redis::start().await;
    let toml = store(&redis.url()) + &one_policy(TIMEOUTS, "limit = \"1000/s\"\nconsistency = \"strict\"");
    let fleet = Fleet::start(2, &toml).await;
    let load = |lasts| fleet.load(&[40.0, 40.0], lasts);
    let quiet = load(Duration::from_millis(1_500)).await;
    assert!(quiet.iter().all(Asked::is_admitted));
    assert_eq!(alone(&quiet), 0, "the store decides");
    match failing {
        Failing::Killed => redis.kill().await,
        Failing::Frozen => redis.stop(),
    }
    let asked = load(Duration::from_secs(3)).await;
    assert!(asked.iter().all(Asked::is_admitted), "nobody is refused");
    let mut took: Vec<Duration> = asked.iter().map(|asked| asked.took).collect();
    took.sort_unstable();
    assert!(took[took.len() / 2] < SLACK, "most do not wait: {took:?}");
    assert!(took[took.len() - 1] < 2 * STORE_TIMEOUT, "who waits waits once: {took:?}");
    assert_eq!(alone(&asked), asked.len(), "each is told that its proxy decided alone");
    for proxy in &fleet.proxies {
        let status = proxy.admin("GET", "/status").await.json();
        assert_eq!(
            (&status["store"]["up"], status["store"]["breaker"] == "closed"),
            (&false.into(), false),
            "{status}"
        );
        let scrape = proxy.metrics().await;
        assert!(scrape.value("vestibule_rate_limit_decisions_total", &[("policy", "p"), ("source", "fallback")]) > 0.0);
        assert_eq!(scrape.value("vestibule_store_up", &[]), 0.0);
        proxy
            .wait_log("the failure", |line| line["msg"].as_str().is_some_and(|msg| msg.contains("limits fails")))
            .await;
    }
    match failing {
        Failing::Killed => redis.restart().await,
        Failing::Frozen => redis.resume(),
    }
    let resumed = Instant::now();
    for proxy in &fleet.proxies {
        let told = |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("answers again"));
        proxy.wait_log("that it answers", told).await;
    }
    // A probe comes at least once a second.
    let lasted = resumed.elapsed();
    assert!(lasted < Duration::from_secs(1) + STORE_TIMEOUT + SLACK, "{lasted:?}");
    let back = load(Duration::from_millis(1_500)).await;
    assert!(back.iter().all(Asked::is_admitted));
    assert_eq!(alone(&back), 0, "the store decides");
    for proxy in &fleet.proxies {
        let said = |what: &str| {
            proxy.logs().iter().filter(|line| line["msg"].as_str().is_some_and(|msg| msg.contains(what))).count()
        };
        assert_eq!((said("limits fails"), said("answers again")), (1, 1), "once each");
    }
}

#[tokio::test]
async fn a_fleet_goes_on_alone_while_its_store_is_killed() {
    goes_on_alone(Failing::Killed).await;
}

#[tokio::test]
async fn a_fleet_goes_on_alone_while_its_store_is_frozen() {
    goes_on_alone(Failing::Frozen).await;
}

/// RL-27: what the operator chose instead.
#[tokio::test]
async fn an_outage_is_answered_as_the_operator_chose() {
    let mut redis = Redis::start().await;
    let policies = |how: &str| one_policy(TIMEOUTS, &format!("limit = \"2/h\"\non_store_error = \"{how}\""));
    let open = Fleet::start(1, &(store(&redis.url()) + &policies("open"))).await;
    let closed = Setup::new(crate::bin()).toml(store(&redis.url()) + &policies("closed"));
    let closed = closed.upstream(open.origin.url()).start().await;
    let open = &open.proxies[0];
    assert_eq!(burst(open, 3).await, 2);
    redis.kill().await;
    // The last refusal is remembered for a second.
    open.wait_log("a request", |_| true).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..10 {
        let answer = open.get("/").await;
        assert_eq!((answer.status, answer.fields.all("ratelimit").count()), (200, 0), "admitted, and not counted");
    }
    for _ in 0..10 {
        let answer = closed.get("/").await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, "1"));
        assert_eq!(answer.json()["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
        let grpc = closed.post("/p.S/M").header("content-type", "application/grpc").header("te", "trailers").await;
        assert_eq!((grpc.status, grpc.field("grpc-status")), (200, "14"));
    }
    for (proxy, count) in [(open, 10.0), (&closed, 20.0)] {
        let errors = [("policy", "p"), ("outcome", "error"), ("source", "fallback")];
        assert_eq!(proxy.metrics().await.value("vestibule_rate_limit_decisions_total", &errors), count);
    }
    let line = closed.wait_log("a refused request", |line| line["status"] == 503).await;
    assert_eq!(line["rate_limit"]["outcome"], "error", "{line}");
}

/// A store that was emptied heals from what the proxies know.
#[tokio::test]
async fn an_emptied_store_gives_nobody_a_fresh_bucket() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &(store(&redis.url()) + &one_policy("", "limit = \"10/h\""))).await;
    let (one, two) = (&fleet.proxies[0], &fleet.proxies[1]);
    assert_eq!(burst(one, 11).await, 10);
    assert_eq!(burst(two, 1).await, 0);
    redis.command(&["FLUSHALL"]).await;
    let told = |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("was emptied"));
    for proxy in [one, two] {
        proxy.wait_log("that the store was emptied", told).await;
    }
    assert_eq!(left(one, "p", "global").await, 10, "the store itself knows nothing");
    // Their own refusals are remembered for a second, and after that the debt is.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(burst(two, 1).await + burst(one, 1).await, 0);
    assert_eq!(left(one, "p", "global").await, 0, "and now it does");
}

/// A proxy that is alone notices as well: the mark it sets is not the one that it set before.
#[tokio::test]
async fn an_emptied_store_gives_nobody_a_fresh_bucket_where_there_is_one_proxy() {
    let redis = Redis::start().await;
    let policy = "limit = \"10/min\"\nconsistency = \"strict\"";
    let fleet = Fleet::start(1, &(store(&redis.url()) + &one_policy("", policy))).await;
    let proxy = &fleet.proxies[0];
    assert_eq!(burst(proxy, 11).await, 10);
    // Two questions a beat: with the third one the first beat is over, and the mark was seen.
    let beats = |scrape: &vestibule_testkit::Scrape| {
        scrape.value("vestibule_store_operation_duration_seconds_count", &[("operation", "quota_peers")]) >= 3.0
    };
    proxy.wait_metrics("a second beat", beats).await;
    redis.command(&["FLUSHALL"]).await;
    let told = |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("was emptied"));
    proxy.wait_log("that the store was emptied", told).await;
    // Its own refusal is remembered for a second, and after that the debt is.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(burst(proxy, 1).await, 0);
}

/// Units that a proxy takes with it are lost once; the others go on.
#[tokio::test]
async fn a_killed_proxy_takes_its_leases_and_nothing_else() {
    let redis = Redis::start().await;
    let toml = store(&redis.url()) + &one_policy(TIMEOUTS, "limit = \"100/s\"\nburst = 50");
    let mut fleet = Fleet::start(4, &toml).await;
    let before = fleet.load(&[100.0; 4], Duration::from_secs(1)).await;
    let mut victim = fleet.proxies.remove(0);
    victim.kill().await;
    let asked = fleet.load(&[100.0; 3], Duration::from_secs(3)).await;
    let (units, time) = admitted(&asked);
    assert!(units <= most(50, 100.0, time + Duration::from_secs(1)), "{units} in {time:?}");
    let whole = [before.clone(), asked].concat();
    let usable = ideal(&whole, 50, 100.0) - ideal(&before, 50, 100.0);
    let expired = expired(&fleet).await;
    // 32 at most went with it.
    assert!((units + 32 + expired) * 10 >= usable * 9, "{units}, {expired} had no time, of {usable} in {time:?}");
    let (all, time) = admitted(&whole);
    assert!(all <= most(50, 100.0, time + Duration::from_secs(1)), "{all} in {time:?}");
    for proxy in &fleet.proxies {
        let three = |scrape: &vestibule_testkit::Scrape| scrape.value("vestibule_rate_limit_peers", &[]) == 3.0;
        proxy.wait_metrics("the dead one to be counted no more", three).await;
    }
}

/// A reply that was lost after its charge was committed is not asked for again.
#[tokio::test]
async fn a_lost_reply_is_charged_once() {
    let redis = Redis::start().await;
    let relay = Relay::to(redis.address());
    let policy = "limit = \"10/h\"\nconsistency = \"strict\"";
    let origin = Origin::returning(200, "ok");
    let setup =
        |url: &str| Setup::new(crate::bin()).upstream(origin.url()).toml(store(url) + &one_policy(TIMEOUTS, policy));
    let near: Proxy = setup(&redis.url()).start().await;
    let far: Proxy = setup(&format!("redis://{}/0", relay.address())).start().await;
    assert_eq!(far.get("/").await.status, 200);
    relay.set(Fault::SwallowResponse).await;
    let answer = far.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.field("ratelimit").contains("vestibule-fallback"), "{}", answer.field("ratelimit"));
    relay.set(Fault::None).await;
    let charged = left(&near, "p", "global").await;
    assert_eq!(charged, 8, "both are charged, each once");
}

/// Time is the store's: proxies whose clocks are minutes apart are one fleet.
#[tokio::test]
async fn proxies_whose_clocks_differ_agree() {
    let library = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|dir| dir.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed, as `make test` does");
    let redis = Redis::start().await;
    let toml = store(&redis.url()) + &one_policy("consistency = \"strict\"", "limit = \"60/min\"\nburst = 20");
    let origin = Origin::returning(200, "ok");
    let at = |offset: &str| {
        Setup::new(crate::bin())
            .upstream(origin.url())
            .toml(toml.clone())
            .env("LD_PRELOAD", &library.display().to_string())
            .env("FAKETIME", offset)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    };
    let fleet = Fleet::of(Origin::returning(200, "ok"), vec![at("-7m"), at("+0"), at("+11m")]).await;
    let (units, time) = admitted(&fleet.load(&[30.0, 30.0, 30.0], Duration::from_secs(3)).await);
    assert!((20..=most(20, 1.0, time)).contains(&units), "{units} in {time:?}");
    let hours: Vec<String> = fleet.proxies.iter().map(|proxy| proxy.logs()[0]["ts"].to_string()).collect();
    assert!(hours[0] < hours[1] && hours[1] < hours[2], "their clocks do differ: {hours:?}");
}

/// A store whose round trip is so long that who comes behind a call under way gives up: each is decided on here, again
/// and again, while the store goes on answering. All of it adds no more than one outage.
#[tokio::test]
async fn a_store_that_is_almost_too_slow_admits_no_more_than_an_outage_does() {
    let redis = Redis::start().await;
    let relay = Relay::to(redis.address());
    let policy = "limit = \"10/s\"\nburst = 10";
    let toml = store(&format!("redis://{}/0", relay.address())) + &one_policy("store_timeout = \"40ms\"", policy);
    let fleet = Fleet::start(3, &toml).await;
    relay.set(Fault::Delay(Duration::from_millis(17))).await;
    let asked = fleet.load(&[150.0; 3], Duration::from_secs(12)).await;
    let alone = asked.iter().filter(|asked| asked.is_admitted() && asked.limit.contains("vestibule-fallback")).count();
    let (units, time) = admitted(&asked);
    assert!(alone > 0, "some are decided on here");
    // Three shares of four, and the burst.
    let most = most(10, 10.0, time + Duration::from_millis(50)) + 3 * 4 + 10;
    assert!(units <= most, "{units} in {time:?}, {most} at most; {alone} of them alone");
}

/// Section 5: who leaves while the store is asked is not charged in the end, and the application does not hear of it.
#[tokio::test]
async fn a_client_that_leaves_while_the_store_is_asked_is_not_charged() {
    let redis = Redis::start().await;
    let relay = Relay::to(redis.address());
    let origin = Origin::returning(200, "ok");
    let policy = one_policy(TIMEOUTS, "limit = \"10/h\"\nconsistency = \"strict\"");
    let setup = |url: &str| Setup::new(crate::bin()).upstream(origin.url()).toml(store(url) + &policy);
    let near: Proxy = setup(&redis.url()).start().await;
    let far: Proxy = setup(&format!("redis://{}/0", relay.address())).start().await;
    assert_eq!(burst(&far, 1).await, 1);
    relay.set(Fault::Delay(Duration::from_millis(60))).await;
    let mut leaving = far.connect().await;
    leaving.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Long enough for the question to be under way, and shorter than its way there.
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(leaving);
    let calls = |scrape: &vestibule_testkit::Scrape| {
        scrape.value("vestibule_store_operation_duration_seconds_count", &[("operation", "quota_take")]) >= 3.0
    };
    far.wait_metrics("a charge and its refund", calls).await;
    assert_eq!(left(&near, "p", "global").await, 9, "only the first is charged");
    assert_eq!(origin.hits(), 1, "only the first arrived");
}

/// What no proxy wrote is no debt: a bucket that holds it counts as an error of the store, and no other bucket suffers.
#[tokio::test]
async fn a_bucket_that_no_proxy_wrote_is_an_error_of_the_store() {
    let redis = Redis::start().await;
    for (algorithm, suffix) in [("gcra", ":g"), ("sliding_log", ":l")] {
        for (how, status) in [("open", 200), ("closed", 503)] {
            redis.command(&["FLUSHALL"]).await;
            let policy = format!(
                "limit = \"5/h\"\nalgorithm = \"{algorithm}\"\nconsistency = \"strict\"\non_store_error = \"{how}\"\nkey = \"address\""
            );
            let toml = store(&redis.url())
                + "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"
                + &one_policy("lease = \"1s\"\nstore_timeout = \"800ms\"", &policy).replace("key = \"global\"\n", "");
            let fleet = Fleet::start(1, &toml).await;
            let proxy = &fleet.proxies[0];
            let of = |address: &'static str| proxy.get("/").header("x-forwarded-for", address).send();
            assert_eq!(of("203.0.113.7").await.status, 200);

            let names = redis.command(&["KEYS", "*:rl:{*}:*"]).await;
            let bucket = |name: &&Vec<u8>| name.ends_with(suffix.as_bytes());
            let names: Vec<Vec<u8>> = names.parts().iter().map(|name| name.bytes().to_vec()).collect();
            let name = names.iter().find(bucket).expect("a bucket").clone();
            let beyond = [
                "99999999999999999999",
                "9007199254740993",
                "1e400",
                "-5",
                "nan",
                "0x10",
                "",
                "1,2,3,4,5",
                "1700000000000000,9007199254740992",
                "1700000000000000,1,99999999999999999999",
                "1700000000000000,1,,99999999999999999999",
                "1700000000000000,1,,4320000000000001",
            ];
            for value in beyond {
                redis.command(&[b"DEL", &name[..]]).await;
                let put: &[u8] = if algorithm == "gcra" { b"SET" } else { b"RPUSH" };
                redis.command(&[put, &name[..], value.as_bytes()]).await;
                assert_eq!(of("203.0.113.7").await.status, status, "{algorithm} {how} {value:?}");
            }
            redis.command(&[b"DEL", &name[..]]).await;
            let other: &[u8] = if algorithm == "gcra" { b"RPUSH" } else { b"SET" };
            redis.command(&[other, &name[..], b"1"]).await;
            assert_eq!(of("203.0.113.7").await.status, status, "of another kind");

            assert_eq!(of("198.51.100.1").await.status, 200, "another bucket is counted as ever");
            let status = proxy.admin("GET", "/status").await.json();
            assert_eq!((&status["store"]["up"], &status["store"]["breaker"]), (&true.into(), &"closed".into()));
            let unreadable =
                |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("cannot be read"));
            proxy.wait_log("the bucket", unreadable).await;
            redis.command(&[b"DEL", &name[..]]).await;
            assert_eq!(of("203.0.113.7").await.status, 200, "it is counted again");
        }
    }
}
