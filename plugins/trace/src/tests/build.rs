//! Which tables are refused.

use super::stage::Stage;
use crate::Config;
use vestibule_plugin::KeyPath;

fn refused_at(table: &str) -> Vec<KeyPath> {
    let Err(errors) = Stage::try_new(table) else { panic!("{table} was taken") };
    errors.into_errors().into_iter().map(|error| error.at).collect()
}

#[test]
fn every_fault_is_told_in_one_run() {
    assert_eq!(
        refused_at("propagate = [\"b3\", \"b3\"]\nsample = 1.5\nresponse_header = \"a b\""),
        [KeyPath::table(["propagate", "1"]), KeyPath::table(["sample"]), KeyPath::table(["response_header"])]
    );
    assert_eq!(refused_at("sample = nan"), [KeyPath::table(["sample"])]);
    assert_eq!(refused_at("response_header = \"Content-Length\""), [KeyPath::table(["response_header"])]);
}

#[test]
fn unknown_keys_and_formats_are_refused() {
    for table in ["otpl = {}", "propagate = [\"jaeger\"]", "sample = \"all\""] {
        assert!(toml::from_str::<Config>(table).is_err(), "{table}");
    }
}

#[test]
fn the_table_reads_back_as_shown() {
    let shown = toml::to_string(&Config::default()).expect("TOML");
    assert_eq!(toml::from_str::<Config>(&shown).expect("own output"), Config::default());
    assert_eq!(toml::from_str::<Config>("").expect("defaults"), Config::default());
}

#[test]
fn the_example_builds() {
    let file: toml::Table = include_str!("../../example.toml").parse().expect("TOML");
    Stage::new(&toml::to_string(&file["trace"]).expect("TOML"));
}

#[test]
fn switched_off_it_touches_nothing() {
    let stage = Stage::new("enabled = false");
    let sent: [(&str, &[u8]); 2] = [("traceparent", b"nonsense"), ("tracestate", b"a=1")];
    let mut exchange = stage.exchange(&sent);
    assert_eq!(exchange.saw("traceparent"), Some("nonsense"));
    assert_eq!(exchange.saw("tracestate"), Some("a=1"));
    assert!(exchange.response(vestibule_plugin::Fields::new()).is_empty());
    assert!(stage.outcomes().is_empty());
}
