//! A scrape stays within its bound, and sums stay true.

use crate::{Desc, Format, Limits, Registry};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

const COUNTS: Desc = Desc { name: "counts_total", help: "Counts.", labels: &["a", "b"] };
const TIMES: Desc = Desc {
    name: "times_seconds",
    help: "Times.",
    labels: &["http_request_method", "http_response_status_code", "http_route"],
};
const LEVEL: Desc = Desc { name: "level", help: "Level.", labels: &["c"] };

fn sample_lines(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#')).count()
}

/// Value of the first line that starts like this.
fn value(page: &str, start: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(start)?.trim().parse().ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// OBS-21: whatever label sets come, in whatever order, the bound holds and every observation is somewhere.
    #[test]
    fn no_label_sets_take_a_scrape_past_the_bound(
        // A registry is born with the one line its own overflow set needs.
        max_series in 1u32..400,
        sets in vec((0u8..3, "[a-z]{0,2}", 100u16..700, "[a-z]{0,3}"), 0..300),
    ) {
        let registry = Registry::default();
        registry.set_limits(Limits { max_series, ..Limits::default() });
        let counts = registry.counter(COUNTS);
        let times = registry.histogram(TIMES, &[0.1, 1.0]);
        let level = registry.gauge(LEVEL);
        for (kind, one, status, other) in &sets {
            match kind {
                0 => counts.with(&[one, other]).inc(),
                1 => times.with(&[one, &status.to_string(), other]).observe(Duration::from_millis(5)),
                _ => level.with(&[one]).add(1),
            }
        }
        for format in [Format::Text, Format::OpenMetrics] {
            prop_assert!(sample_lines(&registry.encode(format)) <= max_series as usize);
        }
        // 21 lines of reserve: room for all of it means that nothing is lost.
        if max_series >= 60 {
            let page = registry.encode(Format::Text);
            let sum = |name: &str| -> u64 {
                page.lines()
                    .filter(|line| line.starts_with(name))
                    .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
                    .sum()
            };
            prop_assert_eq!(sum("counts_total"), sets.iter().filter(|set| set.0 == 0).count() as u64);
            prop_assert_eq!(sum("times_seconds_count"), sets.iter().filter(|set| set.0 == 1).count() as u64);
        }
    }
}

/// OBS-21: error ratios survive folding.
#[test]
fn folded_statuses_keep_their_class() {
    let registry = Registry::default();
    registry.set_limits(Limits { max_series: 60, ..Limits::default() });
    let times = registry.histogram(TIMES, &[0.1, 1.0]);
    for status in 200..600u16 {
        times.with(&["GET", &status.to_string(), "home"]).observe(Duration::ZERO);
    }
    let page = registry.encode(Format::Text);
    for class in ["2", "3", "4", "5"] {
        let of_class: u64 = page
            .lines()
            .filter(|line| line.starts_with("times_seconds_count"))
            .filter(|line| line.contains(&format!("http_response_status_code=\"{class}")))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum();
        assert_eq!(of_class, 100, "{class}xx\n{page}");
    }
    assert!(page.contains(
        "times_seconds_count{http_request_method=\"_OTHER\",http_response_status_code=\"5xx\",http_route=\"_overflow\"} 100\n"
    ));
    let own = 400 - value(&page, "vestibule_metrics_folded_total{family=\"times_seconds\"}").expect("counted");
    assert!(own > 0 && own < 60, "{own} sets of their own");
}

#[test]
fn a_family_that_folded_nothing_says_so() {
    let registry = Registry::default();
    let _counts = registry.counter(COUNTS);
    let page = registry.encode(Format::Text);
    assert_eq!(value(&page, "vestibule_metrics_folded_total{family=\"counts_total\"}"), Some(0));
    assert!(!page.contains("_overflow"));
}

#[test]
fn what_is_asked_for_again_is_the_same_series() {
    let registry = Registry::default();
    registry.counter(COUNTS).with(&["x", "y"]).add(3);
    assert_eq!(registry.counter(COUNTS).with(&["x", "y"]).get(), 3);
}

#[test]
fn series_stay_when_the_bound_is_lowered_and_new_ones_come_when_it_is_raised() {
    let registry = Registry::default();
    let counts = registry.counter(COUNTS);
    counts.with(&["x", "y"]).inc();
    registry.set_limits(Limits { max_series: 1, ..Limits::default() });
    assert!(counts.resolve(&["x", "y"]).1);
    assert!(!counts.resolve(&["x", "z"]).1);
    registry.set_limits(Limits { max_series: 2000, ..Limits::default() });
    assert!(counts.resolve(&["x", "z"]).1);
}

#[test]
fn a_configuration_that_may_fail_takes_nothing_away() {
    let registry = Registry::default();
    let limits = |enabled, max_series| Limits { enabled, max_series, exemplars: true };
    registry.prepare(limits(true, 1000));
    assert_eq!(registry.limits(), limits(true, 1000));
    registry.prepare(limits(false, 1500));
    assert_eq!(registry.limits(), limits(true, 1500));
    registry.prepare(limits(false, 1200));
    assert_eq!(registry.limits(), limits(true, 1500));
    registry.set_limits(limits(false, 1200));
    assert_eq!(registry.limits(), limits(false, 1200));
}
