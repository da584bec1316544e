//! What a request costs, and which policies it meets.

use super::{HERE, TEN, gets, left, member, members, proxy, retry_after, statuses, upgrade};
use vestibule_testkit::{Origin, Reply};

/// RL-05: whatever the upstream answers, the fields are there and one unit is charged.
#[tokio::test]
async fn every_kind_of_response_carries_the_fields_and_costs_one() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/304" => Reply::new(304).field("etag", "\"a\""),
        "/301" => Reply::new(301).field("location", "/x"),
        "/500" => Reply::new(500).body("broken"),
        "/ws" => Reply::switching("websocket"),
        _ => Reply::ok("ok"),
    });
    let toml = format!("{TEN}\n[[routes]]\nname = \"ws\"\npath = \"/ws\"\nupgrade = true\n");
    let proxy = proxy(&origin, &toml).await;
    for (n, (method, target, status)) in
        [("GET", "/304", 304), ("GET", "/301", 301), ("GET", "/500", 500), ("HEAD", "/", 200), ("POST", "/", 200)]
            .into_iter()
            .enumerate()
    {
        let answer = proxy.request(method, target).await;
        assert_eq!((answer.status, member(&answer).r), (status, 9 - n as u64), "{method} {target}");
    }
    let (mut socket, answer) = upgrade(&proxy, "/ws").await;
    assert_eq!((answer.status, member(&answer).r), (101, 4));
    socket.write("echo").await;
    assert_eq!(&socket.until("echo").await[..], b"echo");
    // Bytes of a tunnel are no requests.
    assert_eq!(left(&proxy, "p", HERE).await, 4);
}

/// RL-05: a 304 made by the proxy itself is one charge, too.
#[tokio::test]
async fn a_revalidation_answered_here_costs_one() {
    let origin = Origin::returning(200, "the same");
    let proxy = proxy(&origin, &format!("[etag]\n{TEN}")).await;
    let tag = proxy.get("/").await.field("etag").to_owned();
    let answer = proxy.get("/").header("if-none-match", tag).await;
    assert_eq!((answer.status, member(&answer).r), (304, 8));
}

/// RL-06: all policies admit or none is charged; the longest wait is told.
#[tokio::test]
async fn a_refusal_by_one_policy_charges_no_other() {
    let origin = Origin::returning(200, "ok");
    // A quota a minute instead of a second, so that a slow machine refills nothing between two requests.
    let toml = "\
[rate_limit.policies.a]
limit = \"5/min\"
key = \"address\"
[rate_limit.policies.h]
limit = \"100/h\"
burst = 6
key = \"address\"
[rate_limit.tiers]
anonymous = []
[[routes]]
name = \"both\"
path = \"/\"
rate_limit = [\"a\", \"h\"]
";
    let proxy = proxy(&origin, toml).await;
    let answers = gets(&proxy, "/", 6).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 200, 200, 429]);
    assert_eq!(answers[0].field("ratelimit-policy"), "\"a\";q=5;w=60, \"h\";q=100;w=3600;vestibule-burst=6");
    assert_eq!(answers[5].json()["violated-policies"], serde_json::json!(["a"]));
    assert_eq!(member(&answers[5]).policy, "a");
    assert_eq!(left(&proxy, "h", HERE).await, 1, "five charged, not six");

    assert_eq!(proxy.admin("DELETE", &format!("/rate-limit/a/{HERE}")).await.status, 204);
    assert_eq!(proxy.get("/").await.status, 200);
    // One bucket is empty; the other has four left.
    let refused = proxy.get("/").await;
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["h"]));
    assert_eq!(left(&proxy, "a", HERE).await, 4);
}

/// RL-06: where both refuse, both are listed and the larger wait counts.
#[tokio::test]
async fn two_empty_buckets_are_both_named() {
    let origin = Origin::returning(200, "ok");
    let toml = "\
[rate_limit.policies.a]
limit = \"2/min\"
key = \"address\"
[rate_limit.policies.h]
limit = \"2/h\"
key = \"address\"
[rate_limit.tiers]
anonymous = [\"a\", \"h\"]
";
    let proxy = proxy(&origin, toml).await;
    assert_eq!(statuses(&proxy, "/", 2).await, [200, 200]);
    let refused = proxy.get("/").await;
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["a", "h"]));
    let told = members(&refused);
    assert_eq!(told.iter().map(|m| (m.policy.as_str(), m.r)).collect::<Vec<_>>(), [("a", 0), ("h", 0)]);
    assert!((25..=30).contains(&told[0].t) && (1795..=1800).contains(&told[1].t), "{told:?}");
    assert_eq!(retry_after(&refused), told[1].t);
}

/// RL-07: a route may cost more, and a refusal waits for what it would cost.
#[tokio::test]
async fn a_costly_route_waits_longer() {
    let origin = Origin::returning(200, "ok");
    let toml = format!("{TEN}\n[[routes]]\nname = \"big\"\npath = \"/big\"\nrate_limit = {{ cost = 5 }}\n");
    let proxy = proxy(&origin, &toml).await;
    let answers = gets(&proxy, "/big", 3).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(member(&answers[1]).r, 0);
    assert!((29..=30).contains(&retry_after(&answers[2])), "{}", retry_after(&answers[2]));
    let cheap = proxy.get("/").await;
    assert_eq!(cheap.status, 429);
    assert!((5..=6).contains(&retry_after(&cheap)), "{}", retry_after(&cheap));
}

/// RL-11: an unlimited tier has no policies of its own; those of a route hold for everybody.
#[tokio::test]
async fn an_unlimited_tier_meets_the_routes_policies_alone() {
    let origin = Origin::returning(200, "ok");
    let toml = "\
[rate_limit]
anonymous_tier = \"internal\"
[rate_limit.policies.login]
limit = \"2/min\"
algorithm = \"sliding_log\"
key = \"address\"
[rate_limit.tiers]
internal = \"unlimited\"
[[routes]]
name = \"login\"
path = \"/login\"
rate_limit = [\"login\"]
";
    let proxy = proxy(&origin, toml).await;
    for answer in gets(&proxy, "/x", 100).await {
        assert_eq!(
            (answer.status, answer.fields.has("ratelimit"), answer.fields.has("ratelimit-policy")),
            (200, false, false)
        );
    }
    let answers = gets(&proxy, "/login", 3).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(answers[0].field("ratelimit-policy"), "\"login\";q=2;w=60");
    assert_eq!(answers[2].json()["violated-policies"], serde_json::json!(["login"]));
}

/// RL-14: every spelling of a path meets the same policies or is refused; the upstream gets it as it was sent.
#[tokio::test]
async fn no_spelling_of_a_path_escapes_its_limit() {
    let origin = Origin::returning(200, "ok");
    let toml = "\
[rate_limit.policies.login]
limit = \"5/15min\"
algorithm = \"sliding_log\"
key = \"address\"
[rate_limit.tiers]
anonymous = []
[[routes]]
name = \"login\"
path = \"/api/login\"
rate_limit = [\"login\"]
";
    let proxy = proxy(&origin, toml).await;
    for (n, target) in ["/api/login", "/api/login/", "/api/login?x=1"].into_iter().enumerate() {
        let answer = proxy.get(target).await;
        assert_eq!((answer.status, member(&answer).r), (200, 4 - n as u64), "{target}");
        assert_eq!(origin.last().target, target);
    }
    for target in ["//api/./login", "/api/%6cogin", "/api/x/../login", "/api%2flogin"] {
        let answer = proxy.get(target).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-target"), "{target}");
        assert!(!answer.fields.has("ratelimit"), "{target}");
    }
    assert_eq!((origin.hits(), left(&proxy, "login", HERE).await), (3, 2));
    // Nor does an absolute-form target.
    let answer = proxy.get("http://localhost/api/login").await;
    assert_eq!((answer.status, member(&answer).r), (200, 1));
}
