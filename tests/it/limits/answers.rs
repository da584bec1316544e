//! What a caller is told, admitted and refused.

use super::{Member, TEN, gets, member, proxy, retry_after, statuses};
use std::time::Duration;
use vestibule_testkit::Origin;

/// RL-01: ten at once pass, and each is told how many are left and when it is worth going on.
#[tokio::test]
async fn ten_requests_count_down() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    let answers = gets(&proxy, "/", 10).await;
    for (n, answer) in answers.iter().enumerate() {
        let r = 9 - n as u64;
        assert_eq!((answer.status, answer.field("ratelimit-policy")), (200, "\"p\";q=10;w=60"));
        let told = member(answer);
        assert_eq!((told.policy.as_str(), told.r), ("p", r));
        match r {
            // Until there is one again, less what has passed since the first.
            0 => assert!((5..=6).contains(&told.t), "{told:?}"),
            _ => assert_eq!(told.t, r * 6),
        }
        assert!(!answer.fields.has("retry-after"));
    }
    assert_eq!(origin.hits(), 10);
}

/// RL-02: the eleventh is refused without the upstream; whoever waits as told is admitted, once.
#[tokio::test]
async fn the_eleventh_waits_as_told() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 10).await;
    let refused = proxy.get("/").await;
    let wait = retry_after(&refused);
    assert_eq!(refused.status, 429);
    assert!((5..=6).contains(&wait), "{wait}");
    assert_eq!(member(&refused), Member { policy: "p".into(), r: 0, t: wait });
    assert_eq!(origin.hits(), 10);

    // Real time is what is promised here.
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(statuses(&proxy, "/", 2).await, [200, 429]);
    assert_eq!(origin.hits(), 11);
}

/// RL-04: a refusal is a problem; HEAD gets its head alone.
#[tokio::test]
async fn a_refusal_is_a_problem() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 10).await;
    let refused = proxy.get("/").await;
    let problem = refused.json();
    assert_eq!(refused.field("content-type"), "application/problem+json");
    assert_eq!(refused.field("cache-control"), "no-store");
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["title"], "Quota exceeded");
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"], serde_json::json!(["p"]));
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("`p`") && detail.contains(&retry_after(&refused).to_string()), "{detail}");
    assert_eq!(problem["instance"], format!("urn:trace:{}", refused.field("x-trace-id")));

    let mut raw = proxy.connect().await;
    let head = proxy.request("HEAD", "/").on(&mut raw).await;
    assert_eq!((head.status, head.body.len()), (429, 0));
    assert!(head.fields.has("ratelimit") && head.fields.has("retry-after"));
    // Nothing of a body is left on the connection.
    assert_eq!(proxy.get("/").on(&mut raw).await.status, 429);
}

#[tokio::test]
async fn a_browser_gets_a_page() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 10).await;
    let page = proxy.get("/").header("accept", "text/html").await;
    assert_eq!((page.status, page.field("content-type")), (429, "text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!doctype html>") && page.text().contains("Quota exceeded"), "{}", page.text());
    assert!(page.text().contains(page.field("x-trace-id")));
    assert_eq!((page.field("cache-control"), page.fields.has("retry-after")), ("no-store", true));
    let either = proxy.get("/").header("accept", "text/html, application/json").await;
    assert_eq!(either.field("content-type"), "application/problem+json");
}

#[tokio::test]
async fn the_access_line_names_outcome_and_policy_and_no_address() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    gets(&proxy, "/", 11).await;
    let lines = proxy.wait_access(11).await;
    assert_eq!(lines[0]["rate_limit"], serde_json::json!({ "outcome": "allowed", "policy": "p" }));
    assert_eq!(lines[0]["tier"], "anonymous");
    let refused = &lines[10];
    assert_eq!((&refused["rate_limit"]["outcome"], &refused["rate_limit"]["policy"]), (&"denied".into(), &"p".into()));
    assert_eq!((&refused["answered_by"], &refused["problem"]), (&"rate_limit".into(), &"quota-exceeded".into()));
    assert_eq!(refused["rate_limit"]["h"].as_str().map(str::len), Some(22));
    assert!(!proxy.stderr().contains("addr=127"), "a bucket is logged by its hash alone");
}
