//! Which tables are refused, and what a reload keeps.

use super::stage::{Stage, Told};
use crate::Config;
use std::sync::Arc;
use vestibule_plugin::KeyPath;
use vestibule_plugin::meter::Registry;

#[test]
fn a_bound_too_small_is_refused() {
    let Err(errors) = Stage::on(Arc::default(), "max_series = 999") else { panic!("it was taken") };
    let at: Vec<_> = errors.into_errors().into_iter().map(|error| error.at).collect();
    assert_eq!(at, [KeyPath::table(["max_series"])]);
    assert!(toml::from_str::<Config>("max_serise = 2000").is_err());
}

#[test]
fn the_table_reads_back_as_shown() {
    let shown = toml::to_string(&Config::default()).expect("TOML");
    assert_eq!(toml::from_str::<Config>(&shown).expect("own output"), Config::default());
}

#[test]
fn the_example_builds() {
    let file: toml::Table = include_str!("../../example.toml").parse().expect("TOML");
    Stage::new(&toml::to_string(&file["metrics"]).expect("TOML"));
}

#[test]
fn switched_off_it_attaches_to_nothing_and_says_so() {
    let stage = Stage::new("enabled = false");
    assert!(stage.attach().is_none());
    assert!(!stage.meter.enabled());
}

#[test]
fn a_reload_keeps_every_series_and_its_value() {
    let meter: Arc<Registry> = Arc::default();
    for _ in 0..2 {
        Stage::on(Arc::clone(&meter), "").expect("a good table").exchange(Told::default());
    }
    let page = Stage::on(meter, "").expect("a good table").page();
    assert!(page.contains("http_route=\"home\"} 2\n"), "{page}");
}

#[test]
fn a_reload_counts_when_it_is_installed() {
    let meter: Arc<Registry> = Arc::default();
    let _before = Stage::on(Arc::clone(&meter), "max_series = 3000").expect("a good table");
    let after = Stage::on(Arc::clone(&meter), "enabled = false\nmax_series = 1000").expect("a good table");
    assert!(meter.enabled());
    assert_eq!(meter.limits().max_series, 3000);
    after.install();
    assert!(!meter.enabled());
    assert_eq!(meter.limits().max_series, 1000);
}
