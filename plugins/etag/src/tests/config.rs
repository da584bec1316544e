//! The table and the route key.

use super::drive::{build, from_toml, get, ok};
use crate::{Config, Overrides, RouteKey, Strength};
use serde::Deserialize;
use vestibule_plugin::units::Size;
use vestibule_plugin::{BuildError, KeyPath, RouteId};

#[derive(Deserialize)]
struct Route {
    etag: RouteKey,
}

fn key(text: &str) -> Result<RouteKey, String> {
    toml::from_str::<Route>(&format!("etag = {text}")).map(|route| route.etag).map_err(|error| error.to_string())
}

fn errors(config: Config, key: Option<RouteKey>) -> Vec<BuildError> {
    build(config, key).err().map(vestibule_plugin::BuildErrors::into_errors).unwrap_or_default()
}

#[test]
fn the_empty_table_is_the_documented_default() {
    let config: Config = toml::from_str("").expect("an empty table");
    let shown = toml::to_string(&config).expect("TOML");
    assert_eq!(
        shown,
        "max_body = \"1MiB\"\nstrength = \"weak\"\nstream_after = \"100ms\"\nconcurrency = \"forward\"\n\
         lock_lease = \"30s\"\nlock_wait = \"10s\"\nrequire_if_match = false\n"
    );
    assert_eq!(toml::from_str::<Config>(&shown).expect("own output"), config);
}

#[test]
fn unknown_keys_are_refused() {
    for table in ["max_bodi = \"1MiB\"", "strength = \"medium\"", "max_body = 5"] {
        assert!(toml::from_str::<Config>(table).is_err(), "{table}");
    }
}

#[test]
fn a_route_says_yes_no_or_otherwise() {
    assert_eq!(key("true"), Ok(RouteKey::Switch(true)));
    assert_eq!(key("false"), Ok(RouteKey::Switch(false)));
    let written = Overrides { strength: Some(Strength::Strong), ..Overrides::default() };
    assert_eq!(key("{ strength = \"strong\" }"), Ok(RouteKey::Table(written)));
    assert!(key("\"yes\"").is_err_and(|error| error.contains("true, false, or a table with keys of [etag]")));
    assert!(key("{ strenght = \"weak\" }").is_err_and(|error| error.contains("unknown field `strenght`")));
}

#[test]
fn a_route_overrides_the_table() {
    let table = Config { strength: Strength::Strong, ..Config::default() };
    let written = Overrides { max_body: Some(Size(1)), ..Overrides::default() };
    let Ok(proxy) = build(table, Some(RouteKey::Table(written))) else { panic!("does not build") };
    assert!(proxy.send(get(), ok("x")).etag().is_some_and(|tag| tag.starts_with("\"vst1-")));
    assert_eq!(proxy.send(get(), ok("xy")).etag(), None);
}

#[test]
fn impossible_bounds_are_all_reported_where_they_stand() {
    let table: Config = toml::from_str("max_body = \"0\"\nstream_after = \"0ms\"").expect("it parses");
    let Ok(RouteKey::Table(route)) = key("{ max_body = \"65MiB\", stream_after = \"2m\" }") else { panic!("no table") };
    let errors = errors(table, Some(RouteKey::Table(route)));
    let at: Vec<_> = errors.iter().map(|error| error.at.clone()).collect();
    assert_eq!(
        at,
        [
            KeyPath::table(["max_body"]),
            KeyPath::table(["stream_after"]),
            KeyPath::route(RouteId(1), ["max_body"]),
            KeyPath::route(RouteId(1), ["stream_after"]),
        ]
    );
    assert_eq!(errors[2].message, "`max_body` cannot be 65MiB");
    assert!(errors[0].label.contains("1 byte to 64MiB"));
    assert_eq!(errors[3].label, "expected 1ms to 1m");
}

/// ET-33: said once, where it was written.
#[test]
fn writes_are_judged_by_strong_tags_only() {
    let weak = "concurrency = \"serialize\"";
    let strong = "concurrency = \"serialize\"\nstrength = \"strong\"";
    let route = |path| vec![KeyPath::route(RouteId(1), [path])];
    for (table, on_route, at) in [
        (weak, None, vec![KeyPath::table(["concurrency"])]),
        (weak, Some("{ max_body = \"2MiB\" }"), vec![KeyPath::table(["concurrency"])]),
        (strong, None, vec![]),
        (strong, Some("{ strength = \"weak\" }"), route("strength")),
        (strong, Some("{ strength = \"weak\", concurrency = \"forward\" }"), vec![]),
        ("", Some("{ concurrency = \"serialize\" }"), route("concurrency")),
        ("", Some("{ concurrency = \"serialize\", strength = \"strong\" }"), vec![]),
    ] {
        let config: Config = toml::from_str(table).expect("it parses");
        let errors = errors(config, on_route.map(|text| key(text).expect("it parses")));
        assert_eq!(errors.iter().map(|error| error.at.clone()).collect::<Vec<_>>(), at, "{table} {on_route:?}");
        assert!(errors.iter().all(|error| error.message.contains("needs `strength = \"strong\"`")), "{errors:?}");
    }
}

#[test]
fn the_bounds_themselves_are_allowed() {
    for table in ["max_body = \"1B\"\nstream_after = \"1ms\"", "max_body = \"64MiB\"\nstream_after = \"60s\""] {
        from_toml(table);
    }
}

/// The example's own `[etag]` and route keys build.
#[test]
fn the_example_builds() {
    #[derive(Deserialize)]
    struct File {
        etag: Config,
        routes: Vec<toml::Table>,
    }
    let file: File = toml::from_str(include_str!("../../example.toml")).expect("TOML");
    let keys: Vec<RouteKey> = file
        .routes
        .into_iter()
        .filter_map(|mut route| route.remove("etag"))
        .map(|key| key.try_into().expect("a route key"))
        .collect();
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(errors(file.etag.clone(), Some(key)), []);
    }
}
