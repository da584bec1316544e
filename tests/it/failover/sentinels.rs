//! A master that is deposed and lives on, one that dies, and sentinels that fall silent.

use super::traffic::{Seen, Traffic};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::RedisSentinels;

/// Longest time from the moment a sentinel names another master until all is as before.
const RECOVERY: Duration = Duration::from_millis(1_500);

/// Each test is a dozen processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn toml(url: &str, replicas: u32) -> String {
    format!(
        "[store]\nurl = \"{url}\"\nsecret = \"test\"\ntimeout = \"1s\"\n\
         [idempotency]\nprincipal = [\"authorization\"]\nwait_replicas = {replicas}\nlease = \"5s\"\n"
    )
}

fn tell(what: &str, seen: &Seen, named: Instant) {
    let at = |when: &Instant| {
        let after = when.checked_duration_since(named).unwrap_or_default().as_millis();
        let before = named.checked_duration_since(*when).unwrap_or_default().as_millis();
        format!("{}{} ms", if before > 0 { "-" } else { "" }, after + before)
    };
    for story in seen.twice() {
        let executed: Vec<_> = seen.executed(story).iter().map(at).collect();
        println!("{} was sent at {} and executed at {executed:?}", story.key, at(&story.sent));
    }
    println!(
        "{what}: {} keys, {} executed twice, {} told unknown, {} unanswered, refused {:?}, last refusal {:?} after",
        seen.stories.len(),
        seen.twice().len(),
        seen.unknown().len(),
        seen.unanswered().len(),
        seen.refusals(),
        seen.recovered_after(named),
    );
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
    tell(&format!("deposed, wait_replicas {replicas}"), &seen, named);
    for proxy in &traffic.proxies {
        let switched = |line: &serde_json::Value| {
            line["msg"].as_str().is_some_and(|msg| msg.contains("name another master")) && line["from"] != line["to"]
        };
        proxy.wait_log("the change", switched).await;
        let lines = proxy.logs();
        assert_eq!(lines.iter().filter(|line| switched(line)).count(), 1, "one line says so");
    }
    (seen, named)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_executes_nothing_twice_that_waits_for_replicas() {
    let (seen, named) = deposed(1).await;
    assert_eq!(
        (seen.twice().len(), seen.unknown().len(), seen.unanswered().len()),
        (0, 0, 0),
        "twice, unknown, unanswered"
    );
    assert!(seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
}

/// What was written to the old master after the new one had its last byte is known to the proxies that wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_loses_at_most_what_was_claimed_around_it() {
    let (seen, named) = deposed(0).await;
    let around = |at: Instant| at + RECOVERY > named && at < named + RECOVERY;
    assert!(seen.twice().iter().all(|story| around(story.sent)), "only those around it");
    assert_eq!((seen.unknown().len(), seen.unanswered().len()), (0, 0));
    assert!(seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
}
