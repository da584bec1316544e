//! A changed file, on the same store.

use super::rig::{P, Rig};
use http::StatusCode;

/// RL-20: 10 to 100 a minute and back with 10 used: applied at once, no unit gained.
#[test]
fn a_policy_keeps_its_debts_when_its_limit_changes() {
    let mut rig = Rig::with_p("");
    for _ in 0..10 {
        rig.get();
    }
    rig.reload(&P.replace("10/min", "100/min"));
    let refused = rig.get();
    assert_eq!((refused.status, refused.limit()), (StatusCode::TOO_MANY_REQUESTS, r#""p";r=0;t=1"#));
    assert_eq!(refused.field("ratelimit-policy"), Some(r#""p";q=100;w=60"#));
    rig.reload(P);
    assert_eq!(rig.get().limit(), r#""p";r=0;t=6"#);
    rig.pass_seconds(6);
    assert_eq!(rig.get().status, StatusCode::OK);
    assert_eq!(rig.get().status, StatusCode::TOO_MANY_REQUESTS);
}

#[test]
fn debt_beyond_a_smaller_limit_is_forgiven() {
    let mut rig = Rig::new(&P.replace("10/min", "100/day"));
    for _ in 0..100 {
        rig.get();
    }
    rig.reload(P);
    assert_eq!(rig.get().retry_after(), Some(6));
    rig.pass_seconds(60);
    assert_eq!(rig.get().limit(), r#""p";r=9;t=54"#);
}

#[test]
fn another_key_or_algorithm_starts_empty_and_a_removed_policy_stops() {
    let mut rig = Rig::with_p("");
    for _ in 0..11 {
        rig.get();
    }
    for changed in ["key = \"client\"", "key = [\"address\"]\nalgorithm = \"sliding_log\""] {
        rig.reload(&P.replace("key = \"address\"", changed));
        assert!(rig.get().limit().starts_with(r#""p";r=9;"#), "{changed}");
    }
    rig.reload("[rate_limit.tiers]\nanonymous = \"unlimited\"");
    assert_eq!(rig.get().field("ratelimit"), None);
    rig.reload(P);
    assert_eq!(rig.get().status, StatusCode::TOO_MANY_REQUESTS, "its debts were kept by name");
}

#[test]
fn reports_are_of_the_process_not_of_one_configuration() {
    let mut rig = Rig::with_p("");
    for _ in 0..12 {
        rig.get();
    }
    rig.reload(P);
    rig.get();
    let report = rig.admin_json(&["p"]);
    assert_eq!(report["decisions"]["denied"], 3);
    assert_eq!(report["refused"][0]["count"], 3);
}
