//! What operators see: the admin listener, the access line, metrics.

use super::rig::{Ask, Rig};
use http::Method;
use std::borrow::Cow;
use vestibule_plugin::meter::{Desc, Format};
use vestibule_plugin::{AdminReply, Field};

/// RL-21: looking at a bucket and emptying it.
#[test]
fn a_bucket_can_be_looked_at_and_reset() {
    let rig = Rig::with_p("");
    let key = "addr=127.0.0.1";
    assert_eq!(
        rig.admin_json(&["p", key]),
        serde_json::json!({
            "policy": "p", "key": key, "limit": "10/min", "burst": 10, "remaining": 10,
            "debt_ms": 0, "retry_after_ms": 0, "scope": "process",
        })
    );
    for _ in 0..11 {
        rig.get();
    }
    let spent = rig.admin_json(&["p", key]);
    assert_eq!(
        (&spent["remaining"], &spent["debt_ms"], &spent["retry_after_ms"]),
        (&0.into(), &60_000.into(), &6_000.into())
    );
    assert_eq!(rig.admin(&Method::DELETE, &["p", key]), Some(AdminReply::Done));
    assert_eq!(rig.admin_json(&["p", key])["remaining"], 10);
    assert_eq!(rig.get().limit(), r#""p";r=9;t=54"#);
}

#[test]
fn paths_and_policies_that_do_not_exist_are_told_apart() {
    let rig = Rig::with_p("");
    assert_eq!(rig.admin(&Method::GET, &[]), None);
    assert_eq!(rig.admin(&Method::GET, &["p", "k", "x"]), None);
    assert_eq!(rig.admin(&Method::GET, &["q"]), Some(AdminReply::NotFound("there is no policy `q`".into())));
    assert_eq!(rig.admin(&Method::DELETE, &["p"]), Some(AdminReply::MethodNotAllowed("GET, HEAD")));
    let wrong = rig.admin(&Method::PUT, &["p", "addr=192.0.2.1"]);
    assert_eq!(wrong, Some(AdminReply::MethodNotAllowed("GET, HEAD, DELETE")));
    let hashed = rig.admin(&Method::GET, &["p", "h:Zk3v0cXq1mW8sT5rNfYbLA"]);
    assert!(matches!(hashed, Some(AdminReply::NotFound(_))), "a wrong answer would look like a full bucket");
}

#[test]
fn a_key_that_no_caller_has_is_told_from_a_full_bucket() {
    let rig = Rig::new("[rate_limit.policies.p]\nlimit = \"10/min\"\nkey = [\"client\", \"global\", \"header:x-a\"]\n");
    let ask = |key: &str| rig.admin(&Method::GET, &["p", key]);
    for key in ["192.0.2.1", "addr=192.0.2.1", "addr=;global;header:x-a=1", "sub=a;global;header:x-b=1"] {
        let Some(AdminReply::BadRequest(why)) = ask(key) else { panic!("{key}: {:?}", ask(key)) };
        assert!(
            why.ends_with("`addr=…`, then `;`, then `global`, then `;`, then `header:x-a=…` or `header:x-a,addr=…`"),
            "{why}"
        );
    }
    for key in ["addr=192.0.2.1;global;header:x-a=1", "key=a;global;header:x-a,addr=192.0.2.1"] {
        assert!(matches!(ask(key), Some(AdminReply::Json(_))), "{key}");
    }
}

/// Another spelling would name a bucket that nobody has, and look like a full one.
#[test]
fn a_key_in_another_spelling_is_refused_with_the_one_that_requests_have() {
    let rig = Rig::new("[rate_limit.policies.p]\nlimit = \"10/min\"\nkey = \"client\"\n");
    for (written, real) in [
        ("addr=2001:db8::5", "addr=2001:db8::/64"),
        ("addr=2001:DB8:0::/64", "addr=2001:db8::/64"),
        ("addr=::ffff:192.0.2.1", "addr=192.0.2.1"),
        ("sub=a b;", ""),
        ("sub=a b", "sub=a%20b"),
        ("sub=a%2fb", "sub=a/b"),
        ("key=100%", "key=100%25"),
        ("addr=127.0.0.001", ""),
        ("addr=2001:db8::/48", ""),
        ("addr=192.0.2.0/24", ""),
        ("addr=nobody", ""),
    ] {
        let asked = rig.admin(&Method::DELETE, &["p", written]);
        let Some(AdminReply::BadRequest(why)) = asked else { panic!("{written}: {asked:?}") };
        let told = if real.is_empty() {
            "expected `sub=…` or `key=…` or `addr=…`".to_owned()
        } else {
            format!("requests of whom it means have `{real}`")
        };
        assert!(why.ends_with(&told), "{written}: {why}");
    }
    for real in ["addr=2001:db8::/64", "addr=192.0.2.1", "addr=local", "sub=a%20b", "key=100%25"] {
        assert_eq!(rig.admin(&Method::DELETE, &["p", real]), Some(AdminReply::Done), "{real}");
    }
}

#[test]
fn the_report_lists_the_twenty_most_refused_without_naming_them() {
    let rig = Rig::with_p("");
    for client in 0..30 {
        for _ in 0..11 + client {
            rig.ask(Ask::new().from(&format!("203.0.113.{client}"), 32));
        }
    }
    let report = rig.admin_json(&["p"]);
    let refused = report["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), 20);
    assert_eq!((&refused[0]["count"], &refused[19]["count"]), (&30.into(), &11.into()));
    assert!(!report.to_string().contains("203.0.113"));
    assert_eq!(report["decisions"]["denied"], (1..=30).sum::<u64>());
}

#[test]
fn the_access_line_says_what_was_decided_and_hides_who() {
    let rig = Rig::with_p("");
    let admitted = rig.get().line;
    let parts = |outcome| vec![("outcome", Cow::Borrowed(outcome)), ("policy", Cow::Borrowed("p"))];
    assert_eq!(admitted[0], ("rate_limit", Field::Parts(parts("allowed"))));
    for _ in 0..9 {
        rig.get();
    }
    let refused = rig.get().line;
    let Field::Parts(seen) = &refused[0].1 else { panic!("parts") };
    assert_eq!(seen[..2], parts("denied"));
    assert_eq!((seen[2].0, seen[2].1.len()), ("h", 22));
    assert_eq!(rig.admin_json(&["p"])["refused"][0]["key"], *seen[2].1, "the name of the report");
}

#[test]
fn every_decision_is_counted_once_a_policy() {
    let rig = Rig::with_p("");
    for _ in 0..13 {
        rig.get();
    }
    let count = |name, labels: &'static [&'static str], values: &[&str]| {
        rig.meter.counter(Desc { name, help: "", labels }).with(values).get()
    };
    let decided = |outcome| {
        let labels = &["policy", "outcome", "source"];
        count("vestibule_rate_limit_decisions_total", labels, &["p", outcome, "local"])
    };
    assert_eq!((decided("allowed"), decided("denied"), decided("shadow_denied")), (10, 3, 0));
    assert_eq!(count("vestibule_rate_limit_near_limit_total", &["policy"], &["p"]), 2, "at r=1 and r=0");
    assert!(rig.meter.encode(Format::Text).contains("\nvestibule_rate_limit_keys 1\n"));
}
