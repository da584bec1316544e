//! What an operator sees and does: `check`, shadow policies, the admin listener.

use super::{HERE, TEN, gets, left, member, proxy, statuses};
use vestibule_testkit::Origin;

/// RL-08: limits that make no sense do not load; all are told in one run, each with its line.
#[tokio::test]
async fn impossible_limits_are_all_told_at_once() {
    let toml = "\
[rate_limit]
default_tier = \"gold\"
[rate_limit.policies.ten]
limit = \"10/min\"
[rate_limit.policies.none]
limit = \"0/min\"
[rate_limit.policies.short]
limit = \"10/250ms\"
[rate_limit.policies.fast]
limit = \"2000000/s\"
[rate_limit.policies.log]
limit = \"65/min\"
algorithm = \"sliding_log\"
[[routes]]
name = \"dear\"
path = \"/dear\"
rate_limit = { policies = [\"ten\"], cost = 11 }
";
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("v.toml"), toml).expect("a writable directory");
    let output = tokio::process::Command::new(crate::bin())
        .args(["check", "-c", "v.toml"])
        .current_dir(dir.path())
        .output()
        .await
        .expect("the program can be run");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    let lines: Vec<&str> = told.lines().filter_map(|line| line.trim_start().strip_prefix("--> v.toml:")).collect();
    let lines: Vec<&str> = lines.iter().filter_map(|at| at.split(':').next()).collect();
    for line in ["2", "6", "8", "10", "12", "17"] {
        assert!(lines.contains(&line), "nothing about line {line}:\n{told}");
    }
    assert!(told.contains("`ten`") && told.contains("dear"), "policy and route are named:\n{told}");
}

/// RL-17: a shadow policy refuses nobody, shows in no field, and tells the operator who would have been hit.
#[tokio::test]
async fn a_shadow_policy_only_watches() {
    let origin = Origin::returning(200, "ok");
    let toml = "\
[rate_limit.policies.s]
limit = \"1/min\"
key = \"address\"
shadow = true
[rate_limit.tiers]
anonymous = [\"s\"]
";
    let proxy = proxy(&origin, toml).await;
    for answer in gets(&proxy, "/", 100).await {
        assert_eq!(answer.status, 200);
        assert!(!answer.fields.has("ratelimit") && !answer.fields.has("ratelimit-policy"));
    }
    let scrape = proxy.metrics().await;
    let decisions =
        |outcome| scrape.value("vestibule_rate_limit_decisions_total", &[("policy", "s"), ("outcome", outcome)]);
    assert_eq!((decisions("allowed"), decisions("shadow_denied"), decisions("denied")), (1.0, 99.0, 0.0));
    let report = proxy.admin("GET", "/rate-limit/s").await.json();
    assert_eq!(report["shadow"], true);
    assert_eq!(report["decisions"]["shadow_denied"], 99);
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["refused"][0]["count"], 99);
    let line = &proxy.wait_access(100).await[99];
    assert_eq!(line["rate_limit"]["outcome"], "shadow_denied");
    // The report, the metric's bucket and the log line name the caller alike, and never by address.
    assert_eq!(line["rate_limit"]["h"], report["refused"][0]["key"]);
}

/// RL-21: a bucket can be looked at and reset.
#[tokio::test]
async fn a_bucket_can_be_reset() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    assert_eq!(statuses(&proxy, "/", 11).await[10], 429);
    let path = format!("/rate-limit/p/{HERE}");
    let before = proxy.admin("GET", &path).await.json();
    assert_eq!((before["remaining"].as_u64(), before["key"].as_str()), (Some(0), Some("addr=127.0.0.1")));
    assert_eq!((before["limit"].as_str(), before["burst"].as_u64()), (Some("10/min"), Some(10)));
    assert_eq!(before["scope"], "process");
    assert!(before["retry_after_ms"].as_u64().is_some_and(|wait| (1..=6000).contains(&wait)), "{before}");
    assert!(before["debt_ms"].as_u64().is_some_and(|debt| (50_000..=60_000).contains(&debt)), "{before}");

    assert_eq!(proxy.admin("DELETE", &path).await.status, 204);
    assert_eq!(left(&proxy, "p", HERE).await, 10);
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, member(&answer).r), (200, 9));
    assert_eq!(left(&proxy, "p", HERE).await, 9);
    assert_eq!(left(&proxy, "p", "addr%3D192.0.2.77").await, 10, "an unused key is a full bucket");
    assert_eq!(proxy.admin("GET", "/rate-limit/nobody").await.status, 404);
    let wrong = proxy.admin("POST", &path).await;
    assert_eq!((wrong.status, wrong.field("allow")), (405, "GET, HEAD, DELETE"));
}

#[tokio::test]
async fn decisions_are_counted_by_policy_and_exist_from_the_start() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    const NAME: &str = "vestibule_rate_limit_decisions_total";
    let scrape = proxy.metrics().await;
    for outcome in ["allowed", "denied"] {
        assert!(scrape.has(NAME, &[("policy", "p"), ("outcome", outcome), ("source", "local")]), "{outcome}");
    }
    gets(&proxy, "/", 13).await;
    let scrape = proxy.metrics().await;
    assert_eq!(scrape.value(NAME, &[("policy", "p"), ("outcome", "allowed")]), 10.0);
    assert_eq!(scrape.value(NAME, &[("policy", "p"), ("outcome", "denied")]), 3.0);
    // With one or none of ten left, a fifth is not.
    assert_eq!(scrape.value("vestibule_rate_limit_near_limit_total", &[("policy", "p")]), 2.0);
    assert_eq!(scrape.value("vestibule_rate_limit_keys", &[]), 1.0);
}
