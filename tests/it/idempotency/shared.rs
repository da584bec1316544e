//! Several proxies, one Redis, and what becomes of both.

use super::stage::{On, Stage, is_replay, keyed, order, orders, slow};
use std::time::{Duration, Instant};
use vestibule_testkit::{Answer, Gate, Origin, Proxy, Redis, Reply, Setup, within};

const OPERATIONS: &str = "vestibule_store_operation_duration_seconds_count";

async fn send_all(proxies: &[&Proxy], count: usize) -> Vec<Answer> {
    let request = |number: usize| keyed(proxies[number % proxies.len()].post("/orders"), "k").body("one").send();
    futures::future::join_all((0..count).map(request)).await
}

/// Commands that name a record, scripts and not what they call.
fn operations(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains(":idem:1:") && !line.contains(" lua] ")).count()
}

/// ID-04: a method that is not protected costs no command; ID-02: what a first execution and a replay cost.
#[tokio::test]
async fn a_first_execution_takes_two_round_trips_and_a_replay_one() {
    let stage = Stage::new(On::Redis, orders()).await;
    stage.order("warm").await;
    let monitor = stage.store.redis().monitor().await;
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        keyed(stage.proxy.request(method, "/orders"), "k").await;
    }
    stage.proxy.post("/orders").body("without a key").await;
    assert_eq!(stage.order("?1").await.status, 400);
    assert_eq!(stage.order("k").await.status, 201);
    let after_first = operations(&monitor.wait("two operations", |lines| operations(lines) >= 2).await);
    assert!(is_replay(&stage.order("k").await));
    let lines = monitor.wait("three operations", |lines| operations(lines) >= 3).await;
    // What comes after this marker comes after all of them.
    stage.store.redis().command(&["ECHO", "marker"]).await;
    monitor.wait("the marker", |lines| lines.iter().any(|line| line.contains("marker"))).await;
    assert_eq!((after_first, operations(&lines), operations(&monitor.lines())), (2, 3, 3), "{lines:#?}");
}

/// ID-09.
#[tokio::test]
async fn of_two_hundred_at_two_proxies_one_is_executed() {
    let origin = Origin::replying(|request| order(request).after(Duration::from_millis(300)));
    let stage = Stage::new(On::Redis, origin).await;
    let other = stage.another_proxy("").await;
    let answers = send_all(&[&stage.proxy, &other], 200).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201 && !is_replay(answer)).count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.problem() == "idempotency-in-progress"));
    assert_eq!(stage.hits(), 1);
}

/// ID-10.
#[tokio::test]
async fn of_all_who_wait_in_a_process_one_polls() {
    let gate = Gate::closed();
    let stage = Stage::with(On::Redis, slow(&gate), "on_concurrent = \"wait\"\nwait = \"30s\"\n").await;
    let other = stage.another_proxy("on_concurrent = \"wait\"\nwait = \"30s\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let waiting = {
        let request = || keyed(other.post("/orders"), "k").body("one").send();
        (0..199).map(|_| tokio::spawn(request())).collect::<Vec<_>>()
    };
    other.wait_metrics("199 that wait", |scrape| scrape.value("http_server_active_requests", &[]) >= 199.0).await;
    // Past the short pauses it asks twice a second, whatever the number of those who wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let monitor = stage.store.redis().monitor().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let renewals = 3 * 2;
    let asked = operations(&monitor.lines());
    assert!((3..=7 + renewals).contains(&asked), "{asked} operations in three seconds");
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
    for waiter in waiting {
        let answer = waiter.await.expect("no panic");
        assert!(answer.status == 201 && is_replay(&answer));
    }
    assert_eq!(stage.hits(), 1);
}

/// A claim that is released at one proxy is taken by exactly one of those who wait at another.
#[tokio::test]
async fn a_released_claim_is_taken_by_one_that_waits_elsewhere() {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let origin = Origin::replying(move |request| match request.number {
        1 => Reply::new(503).once(&waiting),
        _ => order(request),
    });
    let stage = Stage::with(On::Redis, origin, "on_concurrent = \"wait\"\n").await;
    let other = stage.another_proxy("on_concurrent = \"wait\"\n").await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let waiters: Vec<_> = (0..50).map(|_| tokio::spawn(keyed(other.post("/orders"), "k").body("one").send())).collect();
    other.wait_metrics("50 that wait", |scrape| scrape.value("http_server_active_requests", &[]) >= 50.0).await;
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 503);
    let mut executed = 0;
    for waiter in waiters {
        let answer = waiter.await.expect("no panic");
        assert_eq!((answer.status, answer.text()), (201, "{\"order\":2}".into()));
        executed += usize::from(!is_replay(&answer));
    }
    assert_eq!((executed, stage.hits()), (1, 2));
}

/// Who waits while the store is away is not told that somebody executes, which nobody can know.
#[tokio::test]
async fn one_that_waits_for_a_store_that_is_away_is_told_so() {
    let gate = Gate::closed();
    let lines = "on_concurrent = \"wait\"\nwait = \"2s\"\n";
    let stage = Stage::with(On::Redis, slow(&gate), lines).await;
    let other = stage.another_proxy(lines).await;
    let first = tokio::spawn(stage.order("k").send());
    stage.origin.wait_hits(1).await;
    let waits = tokio::spawn(keyed(other.post("/orders"), "k").body("one").send());
    // It has asked, was told of another, and has asked again: it waits.
    other.wait_metrics("one that waits", |scrape| scrape.value(OPERATIONS, &[("operation", "begin")]) >= 2.0).await;
    stage.store.redis().stop();
    let answer = waits.await.expect("no panic");
    stage.store.redis().resume();
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    gate.open();
    assert_eq!(first.await.expect("no panic").status, 201);
}

/// ID-28.
#[tokio::test]
async fn a_proxy_that_is_killed_leaves_a_claim_and_then_an_open_question() {
    let gate = Gate::closed();
    let mut stage = Stage::new(On::Redis, slow(&gate)).await;
    let mut raw = stage.proxy.connect().await;
    raw.write(stage.order("k").encoded()).await;
    stage.origin.wait_hits(1).await;
    stage.proxy.kill().await;
    let killed = Instant::now();
    stage.proxy = stage.another_proxy("").await;
    let within_lease = stage.order("k").await;
    assert!(killed.elapsed() < Duration::from_millis(1900), "the machine is too slow for this test");
    assert_eq!((within_lease.status, within_lease.problem()), (409, "idempotency-in-progress".into()));
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let after = stage.order("k").await;
    assert_eq!((after.status, after.problem()), (409, "idempotency-outcome-unknown".into()));
    assert_eq!(stage.hits(), 1);
}

/// ID-33.
#[tokio::test]
async fn without_redis_a_request_is_refused_or_forwarded_unprotected() {
    let mut reject = Stage::new(On::Redis, orders()).await;
    reject.store.redis_mut().kill().await;
    let began = Instant::now();
    let answer = reject.order("k").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    assert_eq!(answer.field("retry-after"), "1");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(reject.hits(), 0);
    assert_eq!(reject.proxy.post("/orders").body("without a key").await.status, 201);
    reject.assert_counted(&[("store_error", 1)]).await;
    let status = reject.proxy.admin("GET", "/status").await.json();
    assert_eq!((&status["store"]["kind"], &status["store"]["up"]), (&"redis".into(), &false.into()));

    let mut bypass = Stage::with(On::Redis, orders(), "on_store_error = \"bypass\"\n").await;
    bypass.store.redis_mut().kill().await;
    for _ in 0..2 {
        let answer = bypass.order("k").await;
        assert_eq!((answer.status, answer.field("idempotency-status")), (201, "bypassed"));
    }
    assert_eq!(bypass.hits(), 2);
    bypass.assert_counted(&[("bypassed", 2)]).await;
}

/// A Redis that stands still costs its timeout and no more, and leaves no key stuck when it goes on.
#[tokio::test]
async fn a_redis_that_stands_still_strands_no_key() {
    let stage = Stage::new(On::Redis, orders()).await;
    stage.order("warm").await;
    stage.store.redis().stop();
    let began = Instant::now();
    let answer = stage.order("k").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    // [store] timeout is 500 ms; a machine that compiles beside this gets some more.
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    stage.store.redis().resume();
    // The claim that Redis read late is taken back; sooner than its lease would end.
    let free = within("the key to be free", async {
        loop {
            let answer = stage.order("k").await;
            if answer.status == 201 {
                return answer;
            }
            assert!(matches!(answer.problem().as_str(), "idempotency-in-progress" | "store-unavailable"), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(!is_replay(&free.await));
    assert_eq!(stage.hits(), 2);
}

/// ID-34.
#[tokio::test]
async fn a_redis_that_dies_during_an_execution_loses_nothing() {
    for loses_claim in [false, true] {
        let gate = Gate::closed();
        let redis = Redis::setup().appendonly(!loses_claim).start().await;
        let origin = slow(&gate);
        let store = super::stage::Store::Redis(redis);
        let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).start().await;
        let mut stage = Stage { origin, proxy, store };
        let first = tokio::spawn(stage.order("k").send());
        stage.origin.wait_hits(1).await;
        stage.store.redis_mut().kill().await;
        gate.open();
        let first = first.await.expect("no panic");
        assert_eq!((first.status, first.text()), (201, "{\"order\":1}".into()), "the client gets its reply");
        stage.store.redis_mut().restart().await;
        // Its late completion is accepted, also where the claim itself was lost. Until it comes, a Redis that forgot
        // everything knows of nothing.
        if loses_claim {
            stage
                .store
                .redis()
                .wait("the late completion", &["KEYS", "*:idem:*"], |names| names.parts().len() == 1)
                .await;
        }
        within("the replay", async {
            loop {
                let again = stage.order("k").await;
                match again.status {
                    201 => break assert!(is_replay(&again) && again.body == first.body),
                    409 | 503 => tokio::time::sleep(Duration::from_millis(100)).await,
                    status => panic!("{status}"),
                }
            }
        })
        .await;
        assert_eq!(stage.hits(), 1);
    }
}

/// ID-35.
#[tokio::test]
async fn a_redis_that_evicts_is_refused_at_start_and_later() {
    let redis = Redis::setup().config("maxmemory-policy", "allkeys-lru").start().await;
    let store = super::stage::Store::Redis(redis);
    let origin = orders();
    let failed = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).try_start().await;
    let failed = failed.expect_err("it must not start");
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.stderr.contains("maxmemory-policy is allkeys-lru"), "{}", failed.stderr);

    // It comes up later.
    let redis = Redis::setup().config("maxmemory-policy", "volatile-ttl").start().await;
    let mut store = super::stage::Store::Redis(redis);
    store.redis_mut().kill().await;
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).start().await;
    let mut stage = Stage { origin, proxy, store };
    stage.store.redis_mut().restart().await;
    let answer = stage.order("k").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    let ready = stage.proxy.admin("GET", "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("maxmemory-policy is volatile-ttl"), "{}", ready.text());
    assert_eq!(stage.hits(), 0);
    // And is put right, which is noticed also where nobody sends requests any more.
    stage.store.redis().command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    within("the store to be used", async {
        while stage.proxy.admin("GET", "/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(stage.order("k").await.status, 201);
}

/// ID-36.
#[tokio::test]
async fn nothing_of_a_request_can_be_read_in_redis() {
    let store = On::Redis.open().await;
    let origin = Origin::replying(|request| order(request).field("x-secret", "header-text"));
    let keys = "encryption_keys_file = \"keys\"\n";
    let setup = |toml: String| {
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        Setup::new(crate::bin()).upstream(origin.url()).file("keys", format!("k1 {key}\n")).toml(toml)
    };
    let proxy = setup(store.toml(keys)).start().await;
    let send = || keyed(proxy.post("/orders"), "\"the-key-itself\"").body("the body itself").send();
    let first = send().await;
    for _ in 0..9 {
        let again = send().await;
        assert!(is_replay(&again) && again.body == first.body && again.field("x-secret") == "header-text");
    }
    assert_eq!(origin.hits(), 1);
    let redis = store.redis();
    let names = redis.command(&["KEYS", "*:idem:*"]).await;
    let [name] = names.parts() else { panic!("one record: {names:?}") };
    let name = name.bytes().to_vec();
    let value = redis.command(&[b"GET", &name[..]]).await.bytes().to_vec();
    let all = [&name[..], b" ", &value].concat();
    for text in ["the-key-itself", "alice", "the body itself", "order", "header-text", "x-secret", "location"] {
        assert!(!all.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    let usage = redis.command(&[&b"MEMORY"[..], b"USAGE", &name]).await.int();
    let payload = i64::try_from(value.len()).expect("a small value");
    assert!(usage <= 512 + payload, "{usage} bytes for {payload}");

    // Without its key the record is not a miss, and is not bypassed.
    let blind = setup(store.toml("on_store_error = \"bypass\"\n")).start().await;
    let answer = keyed(blind.post("/orders"), "\"the-key-itself\"").body("the body itself").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    assert_eq!(origin.hits(), 1);
}

/// ID-37.
#[tokio::test]
async fn a_redis_that_forgot_its_scripts_is_not_noticed() {
    let redis = Redis::setup().appendonly(true).start().await;
    let store = super::stage::Store::Redis(redis);
    let origin = orders();
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).start().await;
    let mut stage = Stage { origin, proxy, store };
    assert_eq!(stage.order("k").await.status, 201);
    stage.store.redis().command(&["SCRIPT", "FLUSH"]).await;
    assert!(is_replay(&stage.order("k").await));
    stage.store.redis_mut().restart().await;
    assert!(is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 1);
}

/// A record that another version or program wrote is there, and is not overwritten.
#[tokio::test]
async fn what_cannot_be_read_is_never_a_miss() {
    let stage = Stage::with(On::Redis, orders(), "on_store_error = \"bypass\"\n").await;
    assert_eq!(stage.order("k").await.status, 201);
    let redis = stage.store.redis();
    let names = redis.command(&["KEYS", "*:idem:*"]).await;
    let name = names.parts()[0].bytes().to_vec();
    let value = redis.command(&[b"GET", &name[..]]).await.bytes().to_vec();
    for broken in [b"nonsense".to_vec(), value[..value.len() - 3].to_vec(), [&[9], &value[1..]].concat()] {
        redis.command(&[b"SET", &name[..], &broken]).await;
        let answer = stage.order("k").await;
        assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
        assert_eq!(redis.command(&[b"GET", &name[..]]).await.bytes(), broken, "it is left alone");
    }
    assert_eq!(stage.hits(), 1);
}

/// A deadline for each operation, and a breaker behind five failures.
#[tokio::test]
async fn after_five_failures_claims_fail_at_once() {
    let stage = Stage::new(On::Redis, orders()).await;
    stage.order("warm").await;
    stage.store.redis().stop();
    for round in 0..5 {
        assert_eq!(stage.order(&format!("k{round}")).await.status, 503);
    }
    let began = Instant::now();
    let mut fast = 0;
    for round in 0..20 {
        let asked = Instant::now();
        assert_eq!(stage.order(&format!("l{round}")).await.status, 503);
        fast += usize::from(asked.elapsed() < Duration::from_millis(400));
    }
    assert!(fast >= 15, "{fast} of 20 in {:?}", began.elapsed());
    let status = stage.proxy.admin("GET", "/status").await.json();
    assert_ne!(status["store"]["breaker"], "closed");
    stage.store.redis().resume();
    within("the store to be used again", async {
        while stage.order("after").await.status != 201 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// A start does not wait for a Redis that is not there, and `check` asks none.
#[tokio::test]
async fn a_start_waits_for_no_redis() {
    let mut store = On::Redis.open().await;
    store.redis().stop();
    let origin = orders();
    let began = Instant::now();
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).start().await;
    // The timeout is half a second; a start takes some 50 ms where nothing compiles beside it.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(proxy.post("/orders").body("without a key").await.status, 201);
    let line = proxy.wait_log("a line about the store", |line| line["target"] == "store").await;
    assert_eq!(line["msg"], "the store cannot be reached; what needs it fails until it can");
    store.redis_mut().kill().await;
    let toml = proxy.dir().join("vestibule.toml");
    let check = std::process::Command::new(crate::bin()).args(["check", "-c"]).arg(toml).output().expect("it runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// Without enough replicas nothing is executed.
#[tokio::test]
async fn a_claim_that_no_replica_has_is_not_executed() {
    let stage = Stage::with(On::Redis, orders(), "wait_replicas = 1\n").await;
    let answer = stage.order("k").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    assert_eq!(stage.hits(), 0);
    let replica = Redis::setup().replica_of(stage.store.redis()).start().await;
    within("the replica to take part", async {
        while stage.order("k").await.status != 201 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(is_replay(&stage.order("k").await));
    assert_eq!(stage.hits(), 1);
    drop(replica);
}

/// Credentials of a Redis are shown nowhere, and work.
#[tokio::test]
async fn the_password_of_a_redis_is_shown_nowhere() {
    let store = super::stage::Store::Redis(Redis::setup().password("hunter2-of-redis").start().await);
    let origin = orders();
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(store.toml("")).start().await;
    assert_eq!(keyed(proxy.post("/orders"), "k").body("one").await.status, 201);
    for page in ["/config", "/status"] {
        assert!(!proxy.admin("GET", page).await.text().contains("hunter2"), "{page}");
    }
    assert!(!proxy.stderr().contains("hunter2"));
}
