//! Both formats say the same and read back.

use crate::{Desc, Exemplar, Format, Kind, Limits, Registry};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const TIMES: Desc = Desc { name: "times_seconds", help: "Times \"of\" a\\b.\nTwo.", labels: &["route"] };

/// Samples by name and labels. Panics on a line that is of neither format.
fn parse(page: &str) -> BTreeMap<(String, BTreeMap<String, String>), String> {
    page.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn sample(line: &str) -> ((String, BTreeMap<String, String>), String) {
    let name_end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").expect("a label");
            let mut chars = value.char_indices();
            let mut text = String::new();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escaped character").1 {
                        'n' => text.push('\n'),
                        c @ ('\\' | '"') => text.push(c),
                        c => panic!("unknown escape {c}"),
                    },
                    (_, c) => text.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{label} twice");
            rest = &value[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => break rest = more,
                other => panic!("{other:?}"),
            }
        }
    }
    let value = rest.trim_start().split(' ').next().expect("a value");
    value.parse::<f64>().expect("a number");
    ((name.to_owned(), labels), value.to_owned())
}

fn registry() -> Registry {
    let registry = Registry::default();
    let requests = registry.counter(Desc { name: "requests_total", help: "Requests.", labels: &["kind"] });
    requests.with(&["a"]).add(7);
    requests.with(&[""]).add(1);
    registry.gauge(Desc { name: "level", help: "Level.", labels: &[] }).with(&[]).set(-3);
    registry.gauge_fn(Desc { name: "read", help: "Read.", labels: &[] }, || Some(2.5));
    registry.gauge_fn(Desc { name: "unknown", help: "Unknown.", labels: &[] }, || None);
    let times = registry.histogram(TIMES, &[0.005, 1.0, 10.0]).with_exemplars().with(&["home"]);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    times.observe_with(Duration::from_millis(500), Some(&Exemplar { trace_id: 0xabc, span_id: 0xdef, at }));
    times.observe(Duration::from_secs(11));
    registry
}

#[test]
fn text_is_as_prometheus_wants_it() {
    assert_eq!(
        registry().encode(Format::Text),
        r##"# HELP level Level.
# TYPE level gauge
level -3
# HELP read Read.
# TYPE read gauge
read 2.5
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{kind=""} 1
requests_total{kind="a"} 7
# HELP times_seconds Times "of" a\\b.\nTwo.
# TYPE times_seconds histogram
times_seconds_bucket{route="home",le="0.005"} 0
times_seconds_bucket{route="home",le="1.0"} 1
times_seconds_bucket{route="home",le="10.0"} 1
times_seconds_bucket{route="home",le="+Inf"} 2
times_seconds_sum{route="home"} 11.5
times_seconds_count{route="home"} 2
# HELP unknown Unknown.
# TYPE unknown gauge
# HELP vestibule_metrics_folded_total Label sets that found no room under [metrics] max_series and went to the overflow set of their family.
# TYPE vestibule_metrics_folded_total counter
vestibule_metrics_folded_total{family="requests_total"} 0
vestibule_metrics_folded_total{family="times_seconds"} 0
"##
    );
}

#[test]
fn openmetrics_has_its_own_heads_exemplars_and_an_end() {
    let page = registry().encode(Format::OpenMetrics);
    assert!(page.contains("# TYPE requests counter\nrequests_total{kind=\"\"} 1\n"));
    assert!(page.contains("# HELP times_seconds Times \\\"of\\\" a\\\\b.\\nTwo.\n"));
    let exemplar =
        "# {trace_id=\"00000000000000000000000000000abc\",span_id=\"0000000000000def\"} 0.5 1700000000.123\n";
    assert!(page.contains(&format!("le=\"1.0\"}} 1 {exemplar}")));
    assert_eq!(page.matches("trace_id").count(), 1);
    assert!(page.ends_with("\n# EOF\n"));
}

#[test]
fn exemplars_can_be_switched_off() {
    let registry = registry();
    registry.set_limits(Limits { exemplars: false, ..Limits::default() });
    assert!(!registry.encode(Format::OpenMetrics).contains("trace_id"));
}

/// OBS-19: a scraper that changes format finds the same series.
#[test]
fn both_formats_hold_the_same_samples() {
    let registry = registry();
    assert_eq!(parse(&registry.encode(Format::Text)), parse(&registry.encode(Format::OpenMetrics)));
}

proptest! {
    #[test]
    fn label_values_read_back(value in "\\PC*|[\\\\\"\n,}{ =]*") {
        let registry = Registry::default();
        registry.counter(Desc { name: "a_total", help: "A.", labels: &["v"] }).with(&[&value]).inc();
        for format in [Format::Text, Format::OpenMetrics] {
            let labels = BTreeMap::from([("v".to_owned(), value.clone())]);
            let samples = parse(&registry.encode(format));
            prop_assert_eq!(samples.get(&("a_total".to_owned(), labels)).map(String::as_str), Some("1"));
        }
    }
}

/// OBS-22: the inventory is known without a single observation.
#[test]
fn the_inventory_names_labels_and_closed_values() {
    let registry = Registry::default();
    let desc = Desc { name: "a_total", help: "A.", labels: &["outcome", "route"] };
    let _family = registry.counter(desc).closed("outcome", &["ok", ""]);
    let entries = registry.inventory();
    let entry = entries.iter().find(|entry| entry.name == "a_total").expect("registered");
    assert_eq!(entry.kind, Kind::Counter);
    assert_eq!(entry.labels[0].values.as_deref(), Some(&["ok".to_owned(), String::new()][..]));
    assert_eq!(entry.labels[1].values, None);
    assert!(registry.inventory_markdown().contains("| `a_total` | counter | `outcome`: `ok`, empty; `route` | A. |\n"));
}
