//! The plugin through its own door, where no proxy is needed.

use crate::Idempotency;
use crate::config::{Config, RouteKey};
use http::{HeaderName, Method, Version};
use std::sync::Arc;
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{
    Build, BuildErrors, ClientAddress, Deps, Facts, Fields, KeyPath, Plugin, RequestHead, RouteEntry, RouteId, Routes,
    Secret, StoreKind, StoreTerms, SystemClock, TraceContext,
};
use vestibule_store::{Ledger, MemoryRecords};

fn build(table: &str, route: Option<&str>, store: StoreTerms) -> Result<Idempotency, BuildErrors> {
    let clock = Arc::new(SystemClock::default());
    let deps = Deps {
        clock: Arc::clone(&clock) as _,
        meter: Arc::new(Registry::default()),
        route_names: Arc::from(["unmatched".to_owned(), "orders".to_owned()]),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([7; 32])),
        store,
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    let config: Config = toml::from_str(table).expect("a table");
    #[derive(serde::Deserialize)]
    struct Entry {
        idempotency: RouteKey,
    }
    let key = route.map(|route| toml::from_str::<Entry>(&format!("idempotency = {route}")).expect("a key").idempotency);
    let routes = Routes::new(vec![RouteEntry { id: RouteId(1), name: "orders".into(), path: "/orders".into(), key }]);
    let ledger = Arc::new(Ledger::new(Arc::new(MemoryRecords::new(clock, 1 << 20))));
    Idempotency::build(config, &routes, ledger, &deps)
}

fn explain(plugin: &Idempotency, route: u16, method: &Method, lines: &[(&str, &str)]) -> String {
    let mut fields = Fields::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().expect("a name");
        fields.append(name, http::HeaderValue::from_str(value).expect("a value"));
    }
    let request = RequestHead {
        method,
        target: "/orders",
        path: "/orders",
        authority: "h",
        scheme: "http",
        version: Version::HTTP_11,
        body_length: Some(0),
        fields: &mut fields,
    };
    let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
    let mut facts = Facts::new(RouteId(route), ClientAddress::Local, trace);
    plugin.explain(&request, RouteId(route), &mut facts).expect("it has something to say")
}

#[test]
fn what_would_be_done_is_said_in_a_line() {
    let plugin =
        build("", Some("{ mode = \"required\", fingerprint = \"json\", ttl = \"1h\" }"), StoreTerms::default());
    let Ok(plugin) = plugin else { panic!("it builds") };
    let say = |route, method: Method, lines: &[(&str, &str)]| explain(&plugin, route, &method, lines);
    let alice = ("authorization", "Bearer alice");
    assert_eq!(
        say(0, Method::POST, &[alice, ("idempotency-key", "k1")]),
        "optional (no route)  key ok, bare  principal authorization  raw  at_most_once  would claim for 30s, \
         hold <= 1MiB + 1MiB, keep 1d"
    );
    assert_eq!(
        say(1, Method::POST, &[alice, ("idempotency-key", "\"k1\"")]),
        "required (route orders)  key ok, quoted  principal authorization  json  at_most_once  would claim for 30s, \
         hold <= 1MiB + 1MiB, keep 1h"
    );
    assert_eq!(say(0, Method::POST, &[alice]), "optional (no route)  no key, passes");
    assert_eq!(say(0, Method::GET, &[alice]), "optional (no route)  GET is not protected, passes");
    assert!(say(1, Method::POST, &[alice]).ends_with("no key, 400 idempotency-key-missing"));
    assert!(say(1, Method::POST, &[alice, ("idempotency-key", "?1")]).ends_with("400 idempotency-key-invalid"));
    assert!(
        say(1, Method::POST, &[("idempotency-key", "k")]).ends_with("no principal, 401 idempotency-principal-missing")
    );
    let grpc = ("content-type", "application/grpc");
    assert!(say(1, Method::POST, &[alice, grpc]).ends_with("gRPC, 400 idempotency-unsupported"));
}

#[test]
fn what_is_bounded_and_accepted_is_said() {
    let plugin = build("claims_per_client = \"600/min\"", None, StoreTerms::default());
    let Ok(plugin) = plugin else { panic!("it builds") };
    let fields = [("authorization", "Bearer alice"), ("idempotency-key", "k1")];
    let said = explain(&plugin, 0, &Method::POST, &fields);
    assert!(said.contains("would claim for 30s, if its address may have another claim, hold"), "{said}");

    let keys = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(keys.path(), "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").expect("written");
    for (accept, end) in [(false, "keep 1d, encrypted"), (true, "keep 1d, encrypted, records in the clear accepted")] {
        let table = format!("encryption_keys_file = {:?}\naccept_clear_records = {accept}", keys.path());
        let Ok(plugin) = build(&table, None, StoreTerms::default()) else { panic!("it builds") };
        let said = explain(&plugin, 0, &Method::POST, &fields);
        assert!(said.ends_with(end), "{said}");
    }
}

/// What a file with a shared store may say and one in memory may not, and the reverse.
#[test]
fn replicas_need_a_store_that_can_have_some() {
    let shared = StoreTerms { kind: StoreKind::Shared, ..StoreTerms::default() };
    assert!(build("wait_replicas = 2", None, shared).is_ok());
    let Err(errors) = build("wait_replicas = 2", None, StoreTerms::default()) else { panic!("it must not build") };
    assert_eq!(errors.into_errors()[0].at, KeyPath::table(["wait_replicas"]));
}

#[test]
fn the_example_is_a_configuration() {
    let file: toml::Table = include_str!("../example.toml").parse().expect("TOML");
    let table = toml::to_string(&file["idempotency"]).expect("TOML");
    assert!(build(&table, None, StoreTerms::default()).is_ok());
}
