//! The user that docs/store.md describes.

use vestibule_testkit::{Origin, Redis, Setup};

/// As the page has it.
fn rules() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md")).expect("the page");
    let block = page.split("```").nth(1).expect("its first block");
    // Behind `ACL SETUSER` and the name of the user.
    let words = block.split_whitespace().skip(3);
    words.map(|word| word.replace("PASSWORD", "pass").replace("NAMESPACE", "vestibule")).collect()
}

/// Every plugin, with a store that lets its user do what the page says and nothing else.
#[tokio::test]
async fn one_user_serves_every_plugin() {
    let redis = Redis::start().await;
    let words: Vec<String> = ["ACL", "SETUSER", "app"].map(str::to_owned).into_iter().chain(rules()).collect();
    assert_eq!(redis.command(&words).await.text(), "OK", "{words:?}");
    let url = format!("redis://app:pass@{}/0", redis.address());
    let toml = format!(
        "[store]\nurl = \"{url}\"\nsecret = \"test\"\n\
         [idempotency]\nprincipal = [\"authorization\"]\n\
         [etag]\nstrength = \"strong\"\nconcurrency = \"serialize\"\n\
         [rate_limit]\nconsistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"900ms\"\n\
         [rate_limit.tiers]\nanonymous = [\"gcra\", \"log\"]\n\
         [rate_limit.policies.gcra]\nlimit = \"100/min\"\nkey = \"address\"\n\
         [rate_limit.policies.log]\nlimit = \"50/min\"\nalgorithm = \"sliding_log\"\nkey = \"address\"\n\
         [csp]\npolicy = \"default-src 'self'\"\nreports = true\nsinks = [\"store\"]\n"
    );
    let origin = Origin::returning(200, "made");
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
    for (key, replayed) in [("k", ""), ("k", "true"), ("l", "")] {
        let order =
            proxy.post("/orders").header("authorization", "Bearer a").header("idempotency-key", format!("\"{key}\""));
        let answer = order.body("one").await;
        assert_eq!((answer.status, answer.field("idempotent-replayed")), (200, replayed));
    }
    assert_eq!(proxy.request("PUT", "/orders/1").header("if-match", "*").body("two").await.status, 200);
    // The tighter of both; what they decided is in the metrics below.
    assert!(proxy.get("/").await.field("ratelimit").contains("\"log\""));
    assert_eq!(proxy.admin("DELETE", "/rate-limit/gcra/addr%3D127.0.0.1").await.status, 204);

    let report = serde_json::json!([{
        "type": "csp-violation", "age": 1, "url": "http://a/", "user_agent": "b",
        "body": { "documentURL": "http://a/", "effectiveDirective": "img-src", "blockedURL": "http://x/", "disposition": "report" }
    }]);
    let sent = proxy.post("/_vestibule/reports").header("content-type", "application/reports+json");
    assert_eq!(sent.body(report.to_string()).await.status, 204);
    redis.wait("the report", &["XLEN", "vestibule:csp"], |length| length.int() == 1).await;

    let scrape = proxy.metrics().await;
    for outcome in ["error", "timeout"] {
        assert!(
            !scrape.has("vestibule_store_operation_duration_seconds_count", &[("outcome", outcome)]),
            "{}",
            scrape.text
        );
    }
    assert!(!scrape.has("vestibule_rate_limit_decisions_total", &[("source", "fallback")]));
    let refused = |line: &serde_json::Value| line.to_string().contains("NOPERM");
    assert!(!proxy.logs().iter().any(refused), "{}", proxy.stderr());
    assert!(!redis.log().contains("NOPERM"));
}
