//! The crate as the host meets it.

use crate::Audit;
use crate::config::Config;
use std::sync::Arc;
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{Build, BuildErrors, Deps, Plugin, RouteEntry, RouteId, Routes, Secret, StoreTerms};

fn build(toml: &str) -> Result<Audit, BuildErrors> {
    let file: toml::Table = toml.parse().expect("TOML");
    let config: Config = file["audit"].clone().try_into().expect("a table");
    let routes = file.get("routes").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let entries = routes.into_iter().zip(1..).map(|(route, id)| RouteEntry {
        id: RouteId(id),
        name: route["name"].as_str().expect("a name").to_owned(),
        path: route["path"].as_str().expect("a path").to_owned(),
        key: route.get("audit").map(|key| key.clone().try_into().expect("a key")),
    });
    let deps = Deps {
        clock: Arc::new(vestibule_plugin::SystemClock::default()),
        meter: Arc::new(Registry::default()),
        route_names: [].into(),
        upstreams: [].into(),
        secret: Arc::new(Secret::new([1; 32])),
        store: StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    Audit::build(config, &Routes::new(entries.collect()), None, &deps)
}

fn mistakes(toml: &str) -> Vec<String> {
    let errors = build(toml).err().map(BuildErrors::into_errors).unwrap_or_default();
    errors.into_iter().map(|error| format!("{:?}: {}; {}", error.at, error.message, error.label)).collect()
}

#[test]
fn the_example_builds() {
    assert_eq!(mistakes(include_str!("../example.toml")), [""; 0]);
}

/// A reload that another plugin refuses changes nothing: terms hold once the configuration is taken.
#[tokio::test]
async fn terms_of_a_reload_wait_until_it_is_taken() {
    let dir = tempfile::tempdir().expect("directory");
    let toml = |rest: &str| format!("[audit]\ndir = '{}/audit'\n{rest}", dir.path().display());
    let serving = build(&toml("")).unwrap_or_else(|_| panic!("builds"));
    serving.prepare(None).expect("a log");
    serving.on_install(None);
    let next = build(&toml("on_error = 'closed'\n")).unwrap_or_else(|_| panic!("builds"));
    next.prepare(Some(&serving)).expect("prepared");
    assert!(next.shared.terms.lock().is_some());
    next.on_install(Some(&serving));
    assert!(next.shared.terms.lock().is_none());
    // The directory goes with this, and the writer must not be in it then.
    next.on_stop().get().await;
}

/// AUD-06: every mistake is told, none of them with what may be a secret.
#[test]
fn mistakes_are_told_together() {
    let told = mistakes(
        "[audit]\nsinks = ['stdout', 'stdout', 'stdot', 'store', 'http://u:s3cret@h/']\ntimeout = '1ms'\nkeep = '0s'\n\
         rotate_bytes = '1KiB'\nredact = ['--']\nsign_key_file = '/nowhere'\ndir = ''\n\
         [[routes]]\nname = 'a'\npath = '/a/{id}'\naudit = { action = '{nope}', resource = 'r:{id}' }\n",
    );
    for part in [
        "the same sink twice",
        "this is no sink",
        "a stream needs a Redis",
        "without credentials",
        "`timeout` is 1ms",
        "`keep` is 0ms",
        "`rotate_bytes` is 1KiB",
        "`--` hides nothing",
        "`/nowhere` cannot be used",
        "`dir` is empty",
        "`{nope}` is not in the path",
    ] {
        assert!(told.iter().any(|one| one.contains(part)), "{part}: {told:#?}");
    }
    assert_eq!(told.len(), 11, "{told:#?}");
    assert!(told.iter().all(|one| !one.contains("s3cret")));
}
