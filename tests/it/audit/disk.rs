//! A disk that is full, broken or slow, made by a library that stands before the C library.

use super::*;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use vestibule_testkit::{Origin, Setup};

/// The library, compiled once.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/audit/disk.c");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (made, aside) = (folder.join("disk.so"), folder.join(format!("disk.{}.so", std::process::id())));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&aside).args([source, "-ldl"]);
        let compiled = compiler.output().expect("a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        std::fs::rename(&aside, &made).expect("a file in its place");
        made
    })
}

/// A log on a disk that does as it is told.
pub struct Disk(pub Trail);

impl Disk {
    pub fn new() -> Self {
        Self(Trail::new())
    }

    /// From the next write on.
    pub fn is(&self, rule: &str) {
        let (aside, rules) = (self.0.beside("rule.new"), self.0.beside("rule"));
        std::fs::write(&aside, rule).expect("a file");
        std::fs::rename(aside, rules).expect("a file in its place");
    }

    pub fn setup(&self, origin: &Origin, lines: &str) -> Setup {
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        self.0
            .setup(origin, lines)
            .env("LD_PRELOAD", &text(library().clone()))
            .env("DISK_DIR", &text(self.0.dir()))
            .env("DISK_RULE", &text(self.0.beside("rule")))
    }

    pub async fn proxy(&self, origin: &Origin, lines: &str) -> Proxy {
        self.setup(origin, lines).start().await
    }
}

/// A request that the disk keeps waiting is refused after `timeout`, one second; so much later at most.
const IN_TIME: Duration = Duration::from_millis(1_100);
/// How often a request is timed before its time is held to be the proxy's and not that of a machine that had others to serve.
const ATTEMPTS: usize = 3;

async fn wait_state(proxy: &Proxy, state: &str) {
    vestibule_testkit::within(&format!("the state {state}"), async {
        while proxy.admin("GET", "/status").await.json()["audit"]["state"] != state {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn lost(proxy: &Proxy) -> (u64, u64) {
    let counted = proxy.metrics().await.value("vestibule_audit_events_total", &[("outcome", "lost")]) as u64;
    (counted, proxy.admin("GET", "/status").await.json()["audit"]["lost"].as_u64().expect("a number"))
}

fn log_lines(proxy: &Proxy, text: &str) -> usize {
    proxy
        .logs()
        .iter()
        .filter(|line| line["level"] == "ERROR" && line["msg"].as_str().is_some_and(|msg| msg.contains(text)))
        .count()
}

/// AUD-14, open: requests are served, and one record says exactly how many events are missing.
#[tokio::test]
async fn a_full_disk_loses_what_a_gap_says() {
    for (rule, reason) in [("enospc", "disk_full"), ("torn 100", "disk_full"), ("eio", "io_error")] {
        let disk = Disk::new();
        let origin = Origin::returning(200, "ok");
        let mut proxy = disk.proxy(&origin, "").await;
        assert_eq!(order(&proxy, 0).await.status, 200);
        disk.0.wait_for("request.finished", 1).await;
        disk.is(rule);
        for number in 1..=50 {
            assert_eq!(order(&proxy, number).await.status, 200, "{rule}");
            assert_eq!(proxy.get("/orders/1").await.status, 200);
        }
        // 50 POSTs of two events and 50 GETs of one; the last one is told when its exchange has ended.
        proxy
            .wait_metrics("150 lost events", |scrape| {
                scrape.value("vestibule_audit_events_total", &[("outcome", "lost")]) >= 150.0
            })
            .await;
        wait_state(&proxy, "failing").await;
        assert_eq!(lost(&proxy).await, (150, 150), "{rule}");
        disk.is("healthy");
        let freed = Instant::now();
        let log = disk.0.wait_for("audit.gap", 1).await;
        assert!(freed.elapsed() < Duration::from_secs(2), "{rule}: {:?}", freed.elapsed());
        let gap = log.the("audit.gap");
        assert_eq!((told(gap, "lost"), told(gap, "reason")), (&json!(150), &json!(reason)), "{rule}");
        assert_eq!(told(gap, "actions"), &json!({ "orders.get": 50, "orders.post": 100 }));
        assert!(told(gap, "from").as_str() <= told(gap, "to").as_str());
        assert_eq!(
            log.events.iter().position(|event| event == gap),
            Some(log.events.len() - 1),
            "the first record afterwards"
        );
        wait_state(&proxy, "ok").await;
        assert_eq!(order(&proxy, 99).await.status, 200);
        let log = disk.0.wait_for("request.finished", 2).await;
        assert_eq!(log.count("audit.gap"), 1);
        assert_eq!(lost(&proxy).await, (150, 150), "{rule}: nothing after it");
        assert_eq!((log_lines(&proxy, "cannot be written"), log_lines(&proxy, "is written again")), (1, 1), "{rule}");
        proxy.sigterm();
        assert!(proxy.wait_exit().await.success());
        assert_eq!(disk.0.log().torn_bytes, 0);
    }
}

/// A full disk cannot take the record of what goes, so the segments go first.
#[tokio::test]
async fn a_full_disk_lets_go_what_may_go() {
    let disk = Disk::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = disk.proxy(&origin, "rotate_bytes = \"64KiB\"\nkeep = \"6s\"\n").await;
    let mut kept = proxy.connect().await;
    // Nothing is old enough to go before the disk is full.
    for number in 0..100 {
        order(&proxy, number).on(&mut kept).await;
    }
    let before = disk.0.wait("two segments", |log| log.segments.len() >= 2).await.segments;
    disk.is("enospc");
    let oldest_goes = async {
        while disk.0.log().segments.first() == before.first() {
            order(&proxy, 0).on(&mut kept).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    vestibule_testkit::within("the oldest segment to go", oldest_goes).await;
    disk.is("healthy");
    let log = disk.0.wait_for("audit.pruned", 1).await;
    assert!(log.first_seq > 0);
    assert_eq!(told(log.the("audit.pruned"), "last_seq"), log.first_seq - 1);
    proxy.sigterm();
    proxy.wait_exit().await;
    let verified = disk.0.verify(&["--sealed"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// While nothing can be recorded the application is not even looked at.
#[tokio::test]
async fn nothing_is_looked_at_that_could_not_be_recorded() {
    let disk = Disk::new();
    let origin = Origin::returning(200, "ok");
    let lines = "on_error = \"closed\"\n[etag]\nstrength = \"strong\"\nconcurrency = \"serialize\"\n";
    let proxy = disk.proxy(&origin, lines).await;
    let put =
        |number: usize| proxy.request("PUT", &format!("/orders/{number}")).header("if-match", "\"x\"").body("one");
    assert_eq!(put(0).await.status, 412);
    disk.is("enospc");
    order(&proxy, 1).await;
    wait_state(&proxy, "failing").await;
    let seen = origin.hits();
    let refused = put(2).await;
    assert_eq!((refused.status, refused.problem().as_str(), origin.hits()), (503, "audit-unavailable", seen));
}

/// AUD-14, closed
#[tokio::test]
async fn a_full_disk_refuses_audited_requests_where_that_was_asked_for() {
    for lane in LANES {
        let disk = Disk::new();
        let origin = Origin::returning(200, "ok");
        let proxy = disk.proxy(&origin, &format!("on_error = \"closed\"\n{lane}")).await;
        assert_eq!(order(&proxy, 0).await.status, 200);
        disk.0.wait_for("request.finished", 1).await;
        disk.is("enospc");
        let mut took = Vec::new();
        for number in 1..=20 {
            let began = Instant::now();
            let answer = order(&proxy, number).await;
            assert_eq!(
                (answer.status, answer.problem().as_str(), answer.field("retry-after")),
                (503, "audit-unavailable", "1"),
                "{lane:?}"
            );
            took.push(began.elapsed());
            assert_eq!(proxy.get("/orders/1").await.status, 503);
            assert_eq!(proxy.get("/other").await.status, 200, "other routes are served");
        }
        took.sort_unstable();
        assert!(took[took.len() / 2] < IN_TIME, "{took:?}");
        assert_eq!(origin.hits(), 1 + 20, "the application hears of none of them");
        disk.is("healthy");
        let freed = Instant::now();
        while proxy.get("/orders/1").await.status == 503 {
            assert!(freed.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What waited is written: each refusal is told, and nothing is missing.
        let log = disk.0.wait("41 refusals and more", |log| log.count("request.finished") >= 42).await;
        assert_eq!(log.count("audit.gap"), 0, "{lane:?}");
        let denied =
            log.of("request.finished").into_iter().filter(|event| event["data"]["status"] == 503).collect::<Vec<_>>();
        assert!(denied.len() >= 40, "{}", denied.len());
        assert!(denied.iter().all(|event| event["data"]["outcome"] == "denied" && told(event, "denied_by") == "audit"));
        for (id, phases) in log.by_request() {
            assert!(matches!(phases[..], ["finished"] | ["started", "finished"]), "{id}: {phases:?}");
        }
        assert_eq!(lost(&proxy).await, (0, 0));
    }
}

/// AUD-15
#[tokio::test]
async fn a_slow_disk_delays_nobody_or_refuses_in_time() {
    for mode in ["open", "closed"] {
        for lane in LANES {
            let disk = Disk::new();
            let origin = Origin::returning(200, "ok");
            let proxy = disk.proxy(&origin, &format!("on_error = \"{mode}\"\ntimeout = \"1s\"\n{lane}")).await;
            assert_eq!(order(&proxy, 0).await.status, 200);
            disk.0.wait_for("request.finished", 1).await;
            disk.is("slow 2000");
            let mut asked = 1;
            // The first one meets a disk at rest, the second an fsync under way.
            for _ in 0..2 {
                let mut quickest = Duration::MAX;
                let most = if mode == "open" { Duration::from_millis(500) } else { IN_TIME };
                for _ in 0..ATTEMPTS {
                    let began = Instant::now();
                    let answer = order(&proxy, asked).await;
                    let took = began.elapsed();
                    asked += 1;
                    match mode {
                        "open" => assert_eq!(answer.status, 200, "{lane:?}"),
                        _ => {
                            let said = (answer.status, answer.problem().to_string());
                            assert_eq!(said, (503, "audit-unavailable".into()), "{lane:?}");
                            assert!(took >= Duration::from_millis(900), "it waits for the disk: {took:?}");
                            assert_eq!(origin.hits(), 1, "{lane:?}");
                        }
                    }
                    quickest = quickest.min(took);
                    if quickest < most {
                        break;
                    }
                }
                assert!(quickest < most, "{mode} {lane:?} {quickest:?}");
            }
            disk.is("healthy");
            let log = disk.0.wait_for("request.finished", asked).await;
            assert!(log.by_request().values().all(|phases| *phases == ["started", "finished"]), "{mode} {lane:?}");
            assert_eq!((log.count("audit.gap"), lost(&proxy).await), (0, (0, 0)));
        }
    }
}

/// A directory that is full counts as a full disk as long as no sink has what would have to go.
#[tokio::test]
async fn max_bytes_is_a_full_disk_until_sinks_have_caught_up() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let relay = vestibule_testkit::Relay::to(receiver.origin.address());
    relay.set(vestibule_testkit::Fault::Refuse).await;
    let origin = Origin::returning(200, "ok");
    let sink = format!("sinks = [\"http://{}/in\"]\n", relay.address());
    let lines = format!("on_error = \"closed\"\nrotate_bytes = \"64KiB\"\nmax_bytes = \"128KiB\"\n{sink}");
    let mut proxy = trail.proxy(&origin, &lines).await;
    let mut served = 0;
    let mut kept = proxy.connect().await;
    loop {
        match proxy.get("/orders/1").on(&mut kept).await.status {
            200 => served += 1,
            503 => break,
            other => panic!("{other}"),
        }
        assert!(served < 2000, "nothing fills up");
    }
    let log = trail.log();
    assert_eq!((log.first_seq, log.count("audit.pruned")), (0, 0), "nothing undelivered goes");
    assert!(log.segments.len() >= 2);
    // Nor does it at a start, before any sink has said what it needs.
    proxy.kill().await;
    let before = trail.log();
    let proxy = trail.proxy(&origin, &lines).await;
    assert_eq!(proxy.get("/orders/1").await.status, 503);
    assert_eq!((trail.log().first_seq, trail.log().events[0]["id"].clone()), (0, before.events[0]["id"].clone()));
    relay.set(vestibule_testkit::Fault::None).await;
    let log = trail.wait("room", |log| log.count("audit.pruned") > 0).await;
    assert!(log.first_seq > 0 || log.segments[0] == 0);
    receiver.wait_for("audit.pruned", 1).await;
    vestibule_testkit::within("requests to be served", async {
        while proxy.get("/orders/1").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
