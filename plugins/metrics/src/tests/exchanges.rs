//! What an exchange leaves behind.

use super::stage::{Stage, Told, end};
use http::StatusCode;
use vestibule_plugin::AttemptResult;
use vestibule_plugin::meter::Format;

fn status(code: u16) -> AttemptResult {
    AttemptResult::Status(StatusCode::from_u16(code).expect("a status"))
}

#[test]
fn a_request_is_timed_under_method_status_and_route() {
    let stage = Stage::new("");
    stage.exchange(Told { method: "POST", status: Some(201), ..Told::default() });
    stage.exchange(Told { method: "PURGE", status: Some(499), route: 0, ..Told::default() });
    stage.exchange(Told { status: None, ..Told::default() });
    let page = stage.page();
    for line in [
        r#"_bucket{http_request_method="POST",http_response_status_code="201",http_route="home",le="0.075"} 0"#,
        r#"_bucket{http_request_method="POST",http_response_status_code="201",http_route="home",le="0.1"} 1"#,
        r#"_sum{http_request_method="POST",http_response_status_code="201",http_route="home"} 0.08"#,
        r#"_count{http_request_method="_OTHER",http_response_status_code="4xx",http_route="unmatched"} 1"#,
        r#"_count{http_request_method="GET",http_response_status_code="",http_route="home"} 1"#,
    ] {
        assert!(page.contains(&format!("http_server_request_duration_seconds{line}\n")), "{line}\n{page}");
    }
}

#[test]
fn every_attempt_is_timed_under_its_upstream() {
    let stage = Stage::new("");
    let attempts = vec![AttemptResult::Error("reset"), status(503)];
    stage.exchange(Told { status: Some(503), attempts, ..Told::default() });
    let attempts = vec![status(200), AttemptResult::Error("never heard of")];
    stage.exchange(Told { route: 2, attempts, ..Told::default() });
    let page = stage.page();
    for labels in [
        r#"http_response_status_code="",server_address="127.0.0.1",server_port="3000",error_type="reset""#,
        r#"http_response_status_code="503",server_address="127.0.0.1",server_port="3000",error_type="503""#,
        r#"http_response_status_code="200",server_address="/run/files.sock",server_port="",error_type="""#,
        r#"http_response_status_code="",server_address="/run/files.sock",server_port="",error_type="_OTHER""#,
    ] {
        let line = format!("http_client_request_duration_seconds_count{{http_request_method=\"GET\",{labels}}} 1\n");
        assert!(page.contains(&line), "{line}\n{page}");
    }
    assert!(page.contains("vestibule_upstream_first_byte_seconds_count 2\n"));
}

#[test]
fn active_requests_are_those_attached_and_not_ended() {
    let stage = Stage::new("");
    let active = |n| stage.page().contains(&format!("\nhttp_server_active_requests {n}\n"));
    assert!(active(0));
    let (one, other, lost) = (stage.attach(), stage.attach(), stage.attach());
    assert!(active(3));
    end(one.expect("attached"), Told::default());
    assert!(active(2));
    drop(lost);
    assert!(active(1));
    end(other.expect("attached"), Told::default());
    assert!(active(0));
}

/// OBS-20: exemplars are of sampled traces, for scrapers that ask for OpenMetrics.
#[test]
fn a_sampled_request_leaves_its_trace_id() {
    let exemplar = "# {trace_id=\"00000000000000000000000000000abc\",span_id=\"0000000000000def\"}";
    for (table, sampled, expected) in [("", true, 2), ("", false, 0), ("exemplars = false", true, 0)] {
        let stage = Stage::new(table);
        stage.exchange(Told { sampled, attempts: vec![status(200)], ..Told::default() });
        let page = stage.meter.encode(Format::OpenMetrics);
        assert_eq!(page.matches(exemplar).count(), expected, "{page}");
        assert!(expected == 0 || page.contains(&format!("le=\"0.1\"}} 1 {exemplar} 0.08 1700000000.250\n")));
        assert!(!stage.page().contains("trace_id"));
    }
}

/// OBS-21: whatever statuses and methods come, a scrape stays within its bound and error ratios stay true.
#[test]
fn many_label_sets_stay_within_the_bound() {
    let stage = Stage::new("max_series = 1000");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        for code in 200..600 {
            for route in 0..3 {
                stage.exchange(Told {
                    method,
                    status: Some(code),
                    route,
                    attempts: vec![status(code)],
                    sampled: false,
                });
            }
        }
    }
    let page = stage.page();
    assert!(page.lines().filter(|line| !line.starts_with('#')).count() <= 1000);
    for family in ["http_server_request_duration_seconds_count", "http_client_request_duration_seconds_count"] {
        for class in ['2', '3', '4', '5'] {
            let counted: u64 = page
                .lines()
                .filter(|line| line.starts_with(family))
                .filter(|line| line.contains(&format!("http_response_status_code=\"{class}")))
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
                .sum();
            assert_eq!(counted, 6 * 100 * 3, "{family} {class}xx");
        }
    }
}

/// OBS-22: every label value that can be seen is in the inventory.
#[test]
fn the_inventory_knows_every_closed_value() {
    let stage = Stage::new("");
    for code in 100..1000 {
        stage.exchange(Told { status: Some(code), attempts: vec![status(code)], ..Told::default() });
    }
    let inventory = stage.meter.inventory();
    for line in stage.page().lines().filter(|line| line.contains("_duration_seconds_count{")) {
        let (name, labels) = line.split_once("_count{").expect("a count");
        let entry = inventory.iter().find(|entry| entry.name == name).expect("a known family");
        let labels = labels.rsplit_once("\"} ").expect("a value").0;
        for (label, pair) in entry.labels.iter().zip(labels.split("\",")) {
            let value = pair.split_once("=\"").expect("a label").1.trim_end_matches('"').to_owned();
            assert!(label.values.as_ref().is_none_or(|values| values.contains(&value)), "{value} in {line}");
        }
    }
}
