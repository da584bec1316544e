//! A master that is deposed and lives on, one that dies, and sentinels that fall silent.

use super::ALONE;
use super::traffic::{RECOVERY, Seen, Traffic};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::RedisSentinels;

/// No change lasts as long as a lease: what becomes of a claim whose proxy is away for longer is another matter.
pub fn toml(url: &str, replicas: u32) -> String {
    format!(
        "[store]\nurl = \"{url}\"\nsecret = \"test\"\ntimeout = \"1s\"\n\
         [idempotency]\nprincipal = [\"authorization\"]\nwait_replicas = {replicas}\nlease = \"30s\"\n"
    )
}

/// A master is deposed in order, and goes on answering for ten seconds.
async fn deposed(replicas: u32) -> (Seen, Instant) {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::of(2, 3, 2).await;
    let traffic = Traffic::start(2, &toml(&sentinels.url(), replicas)).await;
    let deposing = async {
        sleep(Duration::from_secs(2)).await;
        sentinels.depose().await;
        Instant::now()
    };
    let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(8)), deposing);
    seen.hold(&format!("deposed, wait_replicas {replicas}"), named);
    for at in 0..2 {
        let switched = |line: &serde_json::Value| {
            line["msg"].as_str().is_some_and(|msg| msg.contains("name another master")) && line["from"] != line["to"]
        };
        let proxy = traffic.proxy(at).await;
        proxy.wait_log("the change", switched).await;
        let lines = proxy.logs();
        assert_eq!(lines.iter().filter(|line| switched(line)).count(), 1, "one line says so");
    }
    (seen, named)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_executes_nothing_twice_that_waits_for_replicas() {
    let (seen, named) = deposed(1).await;
    assert_eq!(seen.twice().len(), 0);
    assert!(seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
}

/// What was written to the old master after the new one had its last byte is known to the proxies that wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_loses_at_most_what_was_claimed_around_it() {
    let (seen, named) = deposed(0).await;
    assert!(seen.twice_around(named), "only those around it");
    assert!(seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
}

/// A master that dies: what its replicas have is not executed again, nor what the proxies wrote lately.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_takes_no_key_with_it() {
    let _alone = ALONE.lock().await;
    for replicas in [0, 1] {
        let mut sentinels = RedisSentinels::of(2, 3, 2).await;
        let traffic = Traffic::start(2, &toml(&sentinels.url(), replicas)).await;
        let killing = async {
            sleep(Duration::from_secs(2)).await;
            sentinels.lose_master().await;
            Instant::now()
        };
        let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(6)), killing);
        seen.hold(&format!("killed, wait_replicas {replicas}"), named);
        assert_eq!(seen.twice().len(), 0);
        // Who waits for a replica waits until the sentinels have given the new master one.
        assert!(replicas > 0 || seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
    }
}

/// A master that is cut off from its replicas and says so is left for the one that the sentinels name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_takes_no_writes_is_left() {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::of(1, 2, 1).await;
    let traffic = Traffic::start(1, &toml(&sentinels.url(), 0)).await;
    let refusing = async {
        sleep(Duration::from_secs(1)).await;
        // More replicas than there are: NOREPLICAS from now on, and the connection stays.
        sentinels.servers()[0].command(&["CONFIG", "SET", "min-replicas-to-write", "5"]).await;
        sleep(Duration::from_secs(1)).await;
        sentinels.depose().await;
        Instant::now()
    };
    let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(4)), refusing);
    seen.hold("NOREPLICAS", named);
    assert_eq!(seen.twice().len(), 0);
    assert!(seen.refusals().contains_key("503 store-unavailable"), "{:?}", seen.refusals());
    let warned = |line: &serde_json::Value| line["level"] == "WARN" && line["msg"] == "answered with a problem";
    let lines = traffic.proxy(0).await.logs();
    assert_eq!(lines.into_iter().filter(warned).count(), 1, "an outage is told once, not once a request");
    assert!(seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
}

/// Without a word of any sentinel nobody knows who the master is: what must be on a replica is not claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_wait_for_replicas_stop_where_no_sentinel_can_be_asked() {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::start().await;
    let silence = |replicas| {
        toml(&sentinels.url(), replicas).replace("[idempotency]", "sentinel_silence = \"1s\"\n[idempotency]")
    };
    let (strict, loose) = (Traffic::start(1, &silence(1)).await, Traffic::start(1, &silence(0)).await);
    assert_eq!((strict.send("a", 0).await.status, loose.send("b", 0).await.status), (201, 201));
    for sentinel in sentinels.sentinels() {
        sentinel.stop();
    }
    sleep(Duration::from_secs(3)).await;
    let refused = strict.send("c", 0).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
    assert_eq!(loose.send("d", 0).await.status, 201);
    for sentinel in sentinels.sentinels() {
        sentinel.resume();
    }
    vestibule_testkit::within("claims again", async {
        while strict.send("c", 0).await.status != 201 {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// One proxy begins anew in the middle of a change, and asks whom the sentinels name; the other one must be there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_restarted_meanwhile_meets_the_other_one() {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::of(2, 3, 2).await;
    let traffic = Traffic::start(2, &toml(&sentinels.url(), 1)).await;
    let deposing = async {
        sleep(Duration::from_secs(2)).await;
        sentinels.depose().await;
        let named = Instant::now();
        sleep(RECOVERY).await;
        traffic.restart(1).await;
        named
    };
    let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(8)), deposing);
    seen.hold("deposed, and a proxy restarted", named);
    assert_eq!(seen.twice().len(), 0);
}
