//! What a file may say, and what is told when it is wrong.

use super::rig::{Ask, Rig, errors};
use crate::RateLimit;
use crate::config::{Config, Route};
use vestibule_plugin::{Build, KeyPath, RouteId, Routes};

/// The only error of a file: where, what, and what was expected.
fn error(toml: &str) -> (KeyPath, String, String) {
    let mut all = errors(toml);
    assert_eq!(all.len(), 1, "{all:?}");
    let error = all.remove(0);
    (error.at, error.message, error.label)
}

fn policy(table: &str) -> String {
    format!("[rate_limit.policies.p]\n{table}")
}

fn at(key: &str) -> KeyPath {
    KeyPath::table(["policies", "p", key])
}

/// RL-08: everything that is wrong is told in one run, each in its place.
#[test]
fn all_errors_are_told_at_once() {
    let all = errors(
        r#"
        [rate_limit]
        default_tier = "fre"
        [rate_limit.policies.none]
        limit = "0/min"
        [rate_limit.policies.short]
        limit = "10/250ms"
        [rate_limit.policies.fast]
        limit = "2000000/s"
        [rate_limit.policies.log]
        limit = "65/min"
        algorithm = "sliding_log"
        [rate_limit.policies.ten]
        limit = "10/min"
        [rate_limit.tiers]
        free = ["ten"]
        [[routes]]
        name = "export"
        rate_limit = { cost = 11 }
        "#,
    );
    let table = |policy, key| KeyPath::table(["policies", policy, key]);
    let places: Vec<&KeyPath> = all.iter().map(|error| &error.at).collect();
    assert_eq!(
        places,
        [
            &table("fast", "limit"),
            &table("log", "limit"),
            &table("none", "limit"),
            &table("short", "limit"),
            &KeyPath::table(["default_tier"]),
            &KeyPath::route(RouteId(1), ["cost"]),
        ]
    );
    assert_eq!(all[4].message, "unknown tier `fre`");
    assert_eq!(all[4].label, "no `fre` in [rate_limit.tiers]; did you mean `free`?");
    assert_eq!(all[5].message, "a request of route `export` costs 11 under policy `ten`");
}

#[test]
fn a_misspelt_policy_is_told_with_the_name_that_was_meant() {
    let toml = |routes: &str| format!("[rate_limit.policies.login]\nlimit = \"5/min\"\n{routes}");
    let (place, message, label) = error(&toml("[[routes]]\nname = \"r\"\nrate_limit = [\"login\", \"logn\"]"));
    assert_eq!(place, KeyPath::route(RouteId(1), ["1"]));
    assert_eq!(message, "unknown policy `logn`");
    assert_eq!(label, "no [rate_limit.policies.logn]; did you mean `login`?");
    let (place, ..) = error(&toml("[[routes]]\nname = \"r\"\nrate_limit = { policies = [\"logn\"] }"));
    assert_eq!(place, KeyPath::route(RouteId(1), ["policies", "0"]));
    let (place, ..) = error(&toml("[rate_limit.tiers]\npro = [\"logn\"]"));
    assert_eq!(place, KeyPath::table(["tiers", "pro", "0"]));
}

#[test]
fn every_refusal_has_its_place() {
    for (table, key) in [
        ("burst = 0", "burst"),
        ("limit = \"1/30day\"\nburst = 2", "burst"),
        ("limit = \"1/46day\"", "limit"),
        ("limit = \"1/1500ms\"", "limit"),
        ("limit = \"1000000000000000/day\"\nburst = 1", "limit"),
        ("cost = 61", "cost"),
        ("limit = \"5/min\"\nalgorithm = \"sliding_log\"\nburst = 5", "burst"),
        ("limit = \"5/min\"\nalgorithm = \"sliding_log\"\nconsistency = \"leased\"", "consistency"),
        ("key = \"adress\"", "key"),
    ] {
        let all = errors(&policy(table));
        assert!(all.iter().any(|error| error.at == at(key)), "{table}: {all:?}");
        assert!(all.iter().all(|error| error.message.contains("`p`")), "{table}: names the policy");
    }
    for (table, key) in [
        ("store_timeout = \"50ms\"", "store_timeout"),
        ("store_timeout = \"0s\"", "store_timeout"),
        ("lease = \"5s\"", "lease"),
        ("capacity = 0", "capacity"),
        ("anonymous_tier = \"nobody\"", "anonymous_tier"),
        ("tier_claim = \"\"", "tier_claim"),
    ] {
        assert_eq!(error(&format!("[rate_limit]\n{table}")).0, KeyPath::table([key]), "{table}");
    }
    assert_eq!(error("[rate_limit.policies.\"bücher\"]").0, KeyPath::table(["policies", "bücher"]));
    assert_eq!(error("[rate_limit.tiers]\nx = \"none\"").0, KeyPath::table(["tiers", "x"]));
    let parts = error(&policy("key = [\"address\", \"header:\"]"));
    assert_eq!(parts.0, KeyPath::table(["policies", "p", "key", "1"]));
}

#[test]
fn what_is_just_allowed_is_allowed() {
    for table in [
        "limit = \"1000000/s\"",
        "limit = \"1/45day\"",
        "limit = \"100/60day\"\nburst = 75",
        "limit = \"64/min\"\nalgorithm = \"sliding_log\"",
        "limit = \"5/min\"\nalgorithm = \"sliding_log\"\nconsistency = \"strict\"",
        "cost = 60",
        "cost = 0",
        "key = [\"subject\", \"header:x-tenant\"]",
    ] {
        assert_eq!(errors(&policy(table)), [], "{table}");
    }
}

#[test]
fn at_most_eight_policies_meet() {
    let policies: String = (0..9).map(|i| format!("[rate_limit.policies.p{i}]\n")).collect();
    let list = |n: usize| (0..n).map(|i| format!("\"p{i}\"")).collect::<Vec<_>>().join(",");
    let file = |tier, route| {
        let (tier, route) = (list(tier), list(route));
        format!("{policies}[rate_limit.tiers]\npro = [{tier}]\n[[routes]]\nname = \"r\"\nrate_limit = [{route}]")
    };
    assert_eq!(errors(&file(8, 8)).len(), 1, "anonymous makes nine on the route");
    assert_eq!(errors(&file(8, 7)), []);
    let (place, message, _) = error(&file(9, 0));
    assert_eq!((place, &*message), (KeyPath::table(["tiers", "pro"]), "tier `pro` has 9 policies"));
    let crowded = errors(&file(1, 9));
    assert_eq!(crowded[0].at, KeyPath::Route(RouteId(1), Vec::new()));
    assert!(crowded[0].message.contains("route `r`"), "{crowded:?}");
}

#[test]
fn an_empty_table_limits_everybody_and_a_route_can_drop_the_tier() {
    let rig = Rig::new(
        r#"
        [rate_limit]
        [rate_limit.policies.other]
        limit = "5/s"
        [[routes]]
        name = "free"
        rate_limit = { tiers = false }
        [[routes]]
        name = "own"
        rate_limit = { policies = ["other", "anonymous"], tiers = false }
        [[routes]]
        name = "added"
        rate_limit = ["other", "anonymous"]
        "#,
    );
    let listed = |ask: Ask| rig.ask(ask).field("ratelimit-policy").map(str::to_owned);
    let (anonymous, other) = (r#""anonymous";q=60;w=60"#, r#""other";q=5;w=1"#);
    assert_eq!(listed(Ask::new()).as_deref(), Some(anonymous));
    assert_eq!(listed(Ask::new().subject("alice")).as_deref(), Some(anonymous), "no tier `free`: the anonymous one");
    assert_eq!(listed(Ask::new().on(1)), None);
    assert_eq!(listed(Ask::new().on(2)), Some(format!("{other}, {anonymous}")));
    assert_eq!(listed(Ask::new().on(3)), Some(format!("{anonymous}, {other}")), "the tier's first, each once");
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for (toml, word) in
        [("header = \"ietf\"", "header"), ("[policies.p]\nrate = \"1/s\"", "rate"), ("headers = \"draft\"", "draft")]
    {
        let error = toml::from_str::<Config>(toml).expect_err(toml).to_string();
        assert!(error.contains(word), "{error}");
    }
    #[derive(Debug, serde::Deserialize)]
    struct Entry {
        #[expect(dead_code, reason = "only parsed")]
        rate_limit: Route,
    }
    let error = toml::from_str::<Entry>("rate_limit = { policy = [] }").expect_err("no such key").to_string();
    assert!(error.contains("unknown field `policy`"), "{error}");
}

#[test]
fn the_effective_configuration_reads_back() {
    let config: Config = toml::from_str("capacity = 5\n[policies.p]\nlimit = \"5/15min\"\n[tiers]\nx = \"unlimited\"")
        .expect("a good table");
    let written = toml::to_string(&config).expect("serialises");
    assert!(written.contains("limit = \"5/15min\""), "{written}");
    let again: Config = toml::from_str(&written).expect(&written);
    assert_eq!(toml::to_string(&again).expect("serialises"), written);
}

#[test]
fn a_bucket_that_a_client_can_choose_is_warned_of() {
    let warnings = |toml: &str| {
        let config = toml::from_str(toml).expect("a good table");
        RateLimit::warnings(&config, &Routes::new(Vec::new())).into_errors()
    };
    let alone = warnings("[policies.p]\nkey = \"header:x-tenant\"");
    assert_eq!(alone[0].at, at("key"));
    let label = "clients choose its value, and with each another bucket; add a second policy, by client or address";
    for key in ["\"header:x-tenant\"", "[\"address\", \"header:x-tenant\"]", "[\"header:x-tenant\", \"client\"]"] {
        let warned = warnings(&format!("[policies.p]\nkey = {key}"));
        let said: Vec<_> = warned.iter().map(|warning| (&*warning.message, &*warning.label)).collect();
        assert_eq!(said, [("policy `p` counts by a header", label)], "{key}");
    }
    assert_eq!(warnings("[policies.p]\nkey = [\"address\", \"subject\"]"), []);
}

/// The example parses, builds, and is the one the page shows.
#[test]
fn the_example_builds() {
    let example = include_str!("../../example.toml");
    assert_eq!(errors(example), []);
}
