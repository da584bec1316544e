//! What clients see.

use super::rig::{Ask, P, Reply, Rig};
use http::StatusCode;
use std::time::Duration;

fn names(reply: &Reply) -> Vec<&str> {
    let names = reply.fields.iter().map(|(name, _)| std::str::from_utf8(name).expect("ASCII"));
    names.filter(|name| name.contains("ratelimit")).collect()
}

/// RL-01: ten requests at once count down, and say at what pace to go on.
#[test]
fn a_burst_counts_down() {
    let rig = Rig::with_p("");
    for remaining in (0..10_u64).rev() {
        let reply = rig.get();
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.limit(), format!(r#""p";r={remaining};t={}"#, (remaining * 6).max(6)));
        assert_eq!(reply.field("ratelimit-policy"), Some(r#""p";q=10;w=60"#));
    }
}

/// RL-02: the eleventh is refused; whoever waits exactly `retry-after` is admitted, once.
#[test]
fn a_refused_client_is_admitted_after_the_wait_it_was_told() {
    let rig = Rig::with_p("");
    for _ in 0..10 {
        rig.pass(Duration::from_millis(1));
        rig.get();
    }
    let refused = rig.get();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.retry_after(), Some(6));
    assert_eq!(refused.limit(), r#""p";r=0;t=6"#);
    rig.pass_seconds(6);
    assert_eq!(rig.get().status, StatusCode::OK);
    assert_eq!(rig.get().status, StatusCode::TOO_MANY_REQUESTS);
}

/// RL-04: the problem. That HEAD has no body and nothing is stored is the host's part for every problem.
#[test]
fn a_refusal_names_the_policy_and_the_wait() {
    let rig = Rig::with_p("");
    for _ in 0..10 {
        rig.get();
    }
    let problem = rig.get().problem.expect("refused");
    assert_eq!(problem.type_uri(), "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((problem.slug, problem.title), ("quota-exceeded", "Quota exceeded"));
    assert_eq!(problem.members, [("violated-policies", serde_json::json!(["p"]))]);
    assert_eq!(problem.detail, "Refused by the limit `p`. Try again in 6 seconds.");
}

/// RL-05: any status has the fields, one charge each.
#[test]
fn every_status_has_the_fields() {
    let rig = Rig::with_p("");
    for (status, remaining) in [(304, 9), (301, 8), (500, 7), (101, 6)] {
        let reply = rig.ask(Ask::new().answered(status));
        assert_eq!(reply.status.as_u16(), status);
        assert!(reply.limit().starts_with(&format!(r#""p";r={remaining};"#)), "{reply:?}");
    }
}

/// RL-06: one policy refuses: it alone is named and the other is not charged; both refuse: both are named.
#[test]
fn of_two_policies_only_those_that_refuse_are_named_and_none_is_charged() {
    let rig = Rig::new(
        r#"
        [rate_limit.policies.a]
        limit = "5/s"
        [rate_limit.policies.h]
        limit = "100/h"
        [[routes]]
        name = "r"
        rate_limit = { policies = ["a", "h"], tiers = false }
        [[routes]]
        name = "drain"
        rate_limit = { policies = ["h"], tiers = false, cost = 95 }
        "#,
    );
    for _ in 0..5 {
        assert_eq!(rig.ask(Ask::new().on(1)).status, StatusCode::OK);
    }
    let sixth = rig.ask(Ask::new().on(1));
    assert_eq!(sixth.limit(), r#""a";r=0;t=1"#);
    assert_eq!(sixth.problem.expect("refused").members[0].1, serde_json::json!(["a"]));
    assert_eq!(rig.admin_json(&["h", "addr=127.0.0.1"])["remaining"], 95);
    assert_eq!(rig.ask(Ask::new().on(2)).status, StatusCode::OK, "takes the rest of `h`");
    let both = rig.ask(Ask::new().on(1));
    assert_eq!(both.limit(), r#""a";r=0;t=1, "h";r=0;t=36"#);
    assert_eq!(both.retry_after(), Some(36), "the larger wait");
    assert_eq!(both.problem.expect("refused").members[0].1, serde_json::json!(["a", "h"]));
}

/// RL-07: a route's cost.
#[test]
fn an_expensive_route_costs_more_and_waits_longer() {
    let rig = Rig::with_p(
        r#"
        [[routes]]
        name = "export"
        rate_limit = { cost = 5 }
        "#,
    );
    assert_eq!(rig.ask(Ask::new().on(1)).limit(), r#""p";r=5;t=30"#);
    assert_eq!(rig.ask(Ask::new().on(1)).limit(), r#""p";r=0;t=6"#);
    assert_eq!(rig.ask(Ask::new().on(1)).retry_after(), Some(30));
    assert_eq!(rig.get().retry_after(), Some(6));
    rig.pass_seconds(29);
    assert_eq!(rig.ask(Ask::new().on(1)).limit(), r#""p";r=4;t=1"#, "what is left is less than what was asked");
    assert_eq!(rig.get().status, StatusCode::OK);
}

/// RL-11: an unlimited tier has no policies of its own; a route's still apply.
#[test]
fn an_unlimited_tier_still_meets_the_policies_of_a_route() {
    let rig = Rig::new(
        r#"
        [rate_limit.policies.login]
        limit = "5/15min"
        algorithm = "sliding_log"
        key = "address"
        [rate_limit.tiers]
        internal = "unlimited"
        [[routes]]
        name = "login"
        rate_limit = ["login"]
        "#,
    );
    let ask = || Ask::new().subject("batch").tier("internal");
    for _ in 0..100 {
        assert_eq!(names(&rig.ask(ask())), [""; 0]);
    }
    assert_eq!(rig.ask(ask().on(1)).field("ratelimit-policy"), Some(r#""login";q=5;w=900"#));
}

/// RL-09 and RL-10, from the stated principal on: the tier and the bucket are those of the credential.
#[test]
fn a_subject_has_its_own_bucket_in_the_tier_of_its_credential() {
    let rig = Rig::new(
        r#"
        [rate_limit.policies.gold]
        limit = "100/min"
        [rate_limit.policies.free]
        limit = "30/min"
        [rate_limit.tiers]
        gold = ["gold"]
        free = ["free"]
        "#,
    );
    let gold = |subject: &str, ip: &str| rig.ask(Ask::new().subject(subject).tier("gold").from(ip, 32));
    assert_eq!(gold("alice", "192.0.2.1").limit(), r#""gold";r=99;t=60"#);
    assert_eq!(gold("alice", "192.0.2.2").limit(), r#""gold";r=98;t=59"#, "one subject, two addresses");
    assert_eq!(gold("bob", "192.0.2.1").limit(), r#""gold";r=99;t=60"#, "two subjects, one address");
    let unknown = rig.meter.counter(vestibule_plugin::meter::Desc {
        name: "vestibule_rate_limit_unknown_tier_total",
        help: "",
        labels: &[],
    });
    for tier in ["nonsense", "7"] {
        let reply = rig.ask(Ask::new().subject(tier).tier(tier));
        assert_eq!(reply.field("ratelimit-policy"), Some(r#""free";q=30;w=60"#));
    }
    let reply = rig.ask(Ask::new().subject("absent"));
    assert_eq!(reply.field("ratelimit-policy"), Some(r#""free";q=30;w=60"#));
    assert_eq!(unknown.with(&[]).get(), 2);
    let nobody = rig.ask(Ask::new().tier("gold"));
    assert_eq!(nobody.field("ratelimit-policy"), Some(r#""anonymous";q=60;w=60"#), "a tier without a principal");
}

/// RL-13: a sliding log, through the plugin.
#[test]
fn a_sliding_log_never_admits_more_than_its_quota_in_a_window() {
    let rig = Rig::new(
        r#"
        [rate_limit.policies.s]
        limit = "3/4s"
        algorithm = "sliding_log"
        [rate_limit.tiers]
        anonymous = ["s"]
        "#,
    );
    let mut admitted = Vec::new();
    for tenth in 0..220_u32 {
        let asked = tenth > 20 || tenth % 10 == 0;
        if asked && rig.get().status == StatusCode::OK {
            admitted.push(tenth);
        }
        rig.pass(Duration::from_millis(100));
    }
    assert_eq!(admitted[..5], [0, 10, 20, 40, 50]);
    for window in admitted.windows(4) {
        assert!(window[3] - window[0] >= 40, "{window:?}");
    }
}

/// RL-16: an IPv6 client is its prefix, as the host states it.
#[test]
fn a_thousand_addresses_of_a_prefix_are_one_client() {
    let rig = Rig::with_p("");
    let admitted = (0..1_000).filter(|_| rig.ask(Ask::new().from("2001:db8:1:2::", 64)).status == StatusCode::OK);
    assert_eq!(admitted.count(), 10);
    assert_eq!(rig.admin_json(&["p", "addr=2001:db8:1:2::/64"])["remaining"], 0);
}

/// RL-18: the upstream's members come first and stay as they are.
#[test]
fn members_of_the_upstream_stay_and_scripts_may_read_ours() {
    let rig = Rig::with_p("");
    let reply = rig.ask(
        Ask::new()
            .upstream("ratelimit", r#""up";r=1;t=1"#)
            .upstream("access-control-allow-origin", "https://app.example")
            .upstream("access-control-expose-headers", "x-total"),
    );
    let lines: Vec<_> = reply.fields.lines("ratelimit").collect();
    assert_eq!(lines, [&br#""up";r=1;t=1"#[..], br#""p";r=9;t=54"#]);
    assert_eq!(reply.field("access-control-expose-headers"), Some("x-total, ratelimit-policy, ratelimit"));
}

/// RL-19: the older fields; `retry-after` is still a wait.
#[test]
fn the_github_dialect_tells_the_time_of_day() {
    let rig = Rig::new(
        &P.replace("\n[rate_limit.policies.p]", "[rate_limit]\nheaders = \"github\"\n[rate_limit.policies.p]"),
    );
    rig.pass_seconds(100);
    let mut reply = rig.get();
    assert_eq!(reply.field("x-ratelimit-reset"), Some("1000154"));
    assert_eq!(reply.field("ratelimit"), None);
    for remaining in (0..9).rev() {
        reply = rig.get();
        assert_eq!(reply.field("x-ratelimit-remaining"), Some(&*remaining.to_string()));
        assert_eq!(reply.field("x-ratelimit-used"), Some(&*(10 - remaining).to_string()));
    }
    reply = rig.get();
    assert_eq!(reply.field("x-ratelimit-limit"), Some("10"));
    assert_eq!(reply.field("x-ratelimit-resource"), Some("p"));
    assert_eq!(reply.field("x-ratelimit-reset"), Some("1000106"));
    assert_eq!(reply.retry_after(), Some(6));
}

#[test]
fn off_sends_nothing_but_the_wait_and_both_sends_all() {
    for (dialect, fields) in [("off", 0), ("ietf", 2), ("github", 5), ("both", 7)] {
        let toml = format!("[rate_limit]\nheaders = \"{dialect}\"{P}");
        let rig = Rig::new(&toml);
        let replies: Vec<Reply> = (0..11).map(|_| rig.get()).collect();
        assert!(replies.iter().all(|reply| names(reply).len() == fields), "{dialect}");
        assert_eq!(replies[10].retry_after(), Some(6));
    }
}

/// RL-23, the plugin's part: a gRPC client is told when to retry in its own words.
#[test]
fn a_grpc_client_gets_a_pushback() {
    let rig = Rig::with_p("");
    let call = || rig.ask(Ask::new().with("content-type", "application/grpc+proto"));
    for _ in 0..10 {
        assert_eq!(call().field("grpc-retry-pushback-ms"), None);
    }
    let refused = call();
    assert_eq!(refused.field("grpc-retry-pushback-ms"), Some("6000"));
    assert_eq!(refused.problem.expect("refused").grpc, vestibule_plugin::GrpcStatus::ResourceExhausted);
    assert_eq!(rig.get().field("grpc-retry-pushback-ms"), None, "and nobody else is");
}

/// RL-17: shadow.
#[test]
fn a_shadow_policy_refuses_nobody_and_shows_in_no_field() {
    let rig = Rig::new(
        r#"
        [rate_limit.policies.maybe]
        limit = "1/min"
        shadow = true
        [rate_limit.tiers]
        anonymous = ["maybe"]
        "#,
    );
    for _ in 0..100 {
        let reply = rig.get();
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(names(&reply), [""; 0]);
    }
    let report = rig.admin_json(&["maybe"]);
    assert_eq!(report["shadow"], true);
    assert_eq!(report["decisions"], serde_json::json!({ "allowed": 1, "denied": 0, "shadow_denied": 99, "error": 0 }));
    assert_eq!(report["refused"][0]["count"], 99);
    assert_eq!((&report["refused_last_hour"], &report["refused"][0]["last_hour"]), (&99.into(), &99.into()));
    assert_eq!(report["refused"][0]["last"], "1970-01-12T13:46:40Z");
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_free_request_is_never_refused_and_still_told_where_it_stands() {
    let rig = Rig::with_p(
        r#"
        [[routes]]
        name = "status"
        rate_limit = { cost = 0 }
        "#,
    );
    for _ in 0..10 {
        rig.get();
    }
    let reply = rig.ask(Ask::new().on(1));
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.limit(), r#""p";r=0;t=6"#);
}
