//! Reloads: told, taken while requests go on, and what only a restart changes.

use super::*;
use serde_json::json;
use vestibule_testkit::{Gate, Origin, Reply, Setup};

/// AUD-05: where the mistakes stand, and not what stands there.
#[tokio::test]
async fn reloads_good_and_bad_are_told() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, "").await;
    let toml = trail.toml(ORDERS);
    proxy.rewrite(&format!("{toml}[etag]\n"));
    assert_eq!(proxy.reload().await.status, 200);
    proxy.rewrite(&format!("{toml}[etag]\nstrength = \"s3cret-one\"\nmax_body = \"s3cret-two\"\n"));
    assert_ne!(proxy.reload().await.status, 200);
    // By a signal, too.
    proxy.sighup();
    let log = trail.wait_for("config.reloaded", 3).await;
    let [good, bad, again] = log.of("config.reloaded")[..] else { panic!("{:?}", log.kinds()) };
    assert_eq!(
        (&good["data"]["outcome"], told(good, "generation"), told(good, "errors")),
        (&json!("success"), &json!(2), &json!([]))
    );
    assert_eq!((&bad["data"]["outcome"], told(bad, "generation")), (&json!("failure"), &json!(2)));
    assert_eq!(told(good, "config_hash"), told(bad, "config_hash"), "what goes on");
    assert_ne!(told(good, "config_hash"), told(log.the("process.started"), "config_hash"));
    let line = u64::try_from(toml.lines().count()).expect("few") + 2;
    assert_eq!(told(bad, "errors"), &json!([{ "line": line, "column": 12 }, { "line": line + 1, "column": 12 }]));
    assert_eq!(told(again, "errors"), told(bad, "errors"));
    let kinds: Vec<&str> =
        log.kinds().into_iter().filter(|kind| kind.starts_with("admin") || kind.starts_with("config")).collect();
    assert_eq!(kinds, ["config.reloaded", "admin.action", "config.reloaded", "admin.action", "config.reloaded"]);
    let text = std::fs::read_to_string(trail.dir().join("audit-000000000000.jsonl")).expect("a segment");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn the_directory_changes_at_a_restart_only() {
    let (trail, other) = (Trail::new(), Trail::new());
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, "").await;
    proxy.rewrite(&other.toml(&format!("on_error = \"closed\"\n{ORDERS}")));
    assert_eq!(proxy.reload().await.status, 200);
    proxy.wait_log("a warning", |line| line["key"] == "audit.dir" && line["level"] == "WARN").await;
    proxy.get("/orders/1").await;
    let log = trail.wait_for("request.finished", 1).await;
    assert_eq!(log.of_requests(), ["started", "finished"], "what a reload may change has changed");
    assert!(!other.dir().exists());
    let shown = proxy.admin("GET", "/config").await.text();
    assert!(shown.contains(&trail.dir().display().to_string()) && !shown.contains(&other.dir().display().to_string()));
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    assert_eq!(told(trail.log().events.last().expect("a record"), "final"), true);
}

#[tokio::test]
async fn the_table_comes_and_goes() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let mut proxy = Setup::new(crate::bin()).upstream(origin.url()).start().await;
    assert_eq!(proxy.post("/orders/1").await.status, 200);
    let toml = trail.toml(&format!("{}{ORDERS}", receiver.toml()));
    for turn in 1..=2 {
        proxy.rewrite(&toml);
        assert_eq!(proxy.reload().await.status, 200, "turn {turn}: {}", proxy.stderr());
        assert_eq!(proxy.post("/orders/1").await.status, 200);
        trail.wait_for("request.finished", turn).await;
        receiver.wait_for("request.finished", turn).await;
        proxy.rewrite("");
        assert_eq!(proxy.reload().await.status, 200);
        assert_eq!(proxy.post("/orders/1").await.status, 200);
        // The log ends well once the last exchange that writes into it is over.
        let log = trail
            .wait("a final checkpoint", |log| log.events.last().is_some_and(|event| told(event, "final") == true))
            .await;
        assert_eq!((log.count("request.started"), log.count("request.finished")), (turn, turn));
        assert_eq!(log.count("audit.recovered"), 0, "{:?}", log.kinds());
        // That it was taken away is the last thing it tells, besides that of the requests under way.
        let last = log.of("config.reloaded")[2 * turn - 1];
        assert_eq!(told(last, "generation"), 2 * turn as u64 + 1);
    }
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    let log = trail.log();
    let batches =
        receiver.wait("everything at the sink", |batches| receiver::taken(batches).len() == log.events.len()).await;
    assert_eq!(receiver::taken(&batches), log.events);
}

/// A request that began before the table went is told to its end.
#[tokio::test]
async fn a_request_under_way_is_told_to_its_end() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = trail.proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write(order(&proxy, 1).encoded()).await;
    origin.wait_hits(1).await;
    proxy.rewrite("");
    assert_eq!(proxy.reload().await.status, 200);
    gate.open();
    assert_eq!(raw.answer().await.status, 200);
    let log = trail
        .wait("a final checkpoint", |log| log.events.last().is_some_and(|event| told(event, "final") == true))
        .await;
    assert_eq!(log.of_requests(), ["started", "finished"]);
}

/// What is folded names the route that was hit, whatever a reload put in its place.
#[tokio::test]
async fn refusals_before_a_reload_keep_their_routes() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let tables = |first: &str| {
        trail.toml(&format!(
            "[rate_limit.policies.few]\nlimit = \"1/day\"\nkey = \"address\"\n{first}\
             [[routes]]\nname = \"limited\"\npath = \"/limited\"\nrate_limit = [\"few\"]\n"
        ))
    };
    let mut proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(tables("")).start().await;
    for _ in 0..4 {
        proxy.get("/limited").await;
    }
    proxy.rewrite(&tables("[[routes]]\nname = \"first\"\npath = \"/first\"\n"));
    assert_eq!(proxy.reload().await.status, 200);
    for _ in 0..4 {
        proxy.get("/limited").await;
    }
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    assert_eq!(log.counted("security.rate_limited", "policy", "few"), 7);
    for event in log.of("security.rate_limited") {
        assert_eq!(event["data"]["resource"], "route:limited", "{event}");
    }
}

/// A sink that was added starts at the oldest segment; one that was removed goes on where it was when it is back, and is
/// forgotten at the next start.
#[tokio::test]
async fn sinks_come_and_go() {
    let trail = Trail::new();
    let (one, two) = (Receiver::taking(), Receiver::taking());
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, &one.toml()).await;
    proxy.post("/orders/1").await;
    one.wait_for("request.finished", 1).await;
    assert_eq!(two.batches().len(), 0);
    let both = trail.toml(&format!("sinks = [\"{}/in\", \"{}/in\"]\n{ORDERS}", two.origin.url(), one.origin.url()));
    proxy.rewrite(&both);
    assert_eq!(proxy.reload().await.status, 200);
    let batches = two.wait_for("config.reloaded", 1).await;
    let log = trail.wait_for("config.reloaded", 1).await;
    assert_eq!(receiver::taken(&batches)[0], log.events[0], "from the beginning");
    one.wait_for("config.reloaded", 1).await;
    // Each cursor is on disk soon after.
    let cursors = || std::fs::read_dir(trail.dir().join("cursors")).expect("cursors").count();
    let position = |what: &str| {
        let dir = trail.dir().join("cursors");
        let name = what.to_owned();
        move || std::fs::read_to_string(dir.join(&name)).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok())
    };
    vestibule_testkit::within("two cursors", async {
        while cursors() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    for entry in std::fs::read_dir(trail.dir().join("cursors")).expect("cursors").flatten() {
        let name = entry.file_name().into_string().expect("text");
        let cursor = position(&name)().expect("a cursor");
        assert!(cursor["seq"].is_u64() && cursor["hash"].as_str().is_some_and(|hash| hash.len() == 64), "{cursor}");
    }

    // Without the first for a while: it misses nothing.
    proxy.rewrite(&trail.toml(&format!("{}{ORDERS}", two.toml())));
    assert_eq!(proxy.reload().await.status, 200);
    proxy.post("/orders/2").await;
    two.wait_for("request.finished", 2).await;
    let before = one.batches().len();
    proxy.rewrite(&both);
    assert_eq!(proxy.reload().await.status, 200);
    let batches = one.wait_for("request.finished", 2).await;
    assert!(batches.len() > before);
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    for sink in [&one, &two] {
        let batches = sink.wait("everything", |batches| receiver::taken(batches).len() == log.events.len()).await;
        assert_eq!(receiver::taken(&batches), log.events);
    }
    assert_eq!(cursors(), 2);

    // A start without it: its cursor is gone, so that it begins anew when it is back.
    let mut proxy = trail.proxy(&origin, &one.toml()).await;
    assert_eq!(cursors(), 1);
    one.wait_for("process.started", 2).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let first = two.batches().len();
    let _proxy = trail.proxy(&origin, &two.toml()).await;
    let batches = two.wait("a batch", |batches| batches.len() > first).await;
    assert_eq!(batches[first].events[0], log.events[0]);
}
