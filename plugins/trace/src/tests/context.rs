//! W3C trace context, in and out.

use super::stage::{DRAWN, Stage};
use http::{HeaderName, HeaderValue};
use vestibule_plugin::{Fields, TraceContext};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE_ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT_ID: u64 = 0x00f0_67aa_0ba9_02b7;
const VALID: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// OBS-01: without trace headers a trace begins, with a random id that everybody sees.
#[test]
fn a_trace_begins_here() {
    for (sample, flags) in [("1.0", 3), ("0.0", 2)] {
        let stage = Stage::new(&format!("sample = {sample}"));
        let mut exchange = stage.exchange(&[]);
        let seen = exchange.traceparent();
        assert_eq!((seen.trace_id, seen.flags), (DRAWN.trace_id, flags));
        assert_ne!(seen.parent_id, DRAWN.span_id);
        assert_eq!(exchange.saw("tracestate"), None);
        assert_eq!(exchange.facts.trace().flags, flags);
        let response = exchange.response(Fields::new());
        assert_eq!(response.text("x-trace-id").expect("a line"), "d1d2d3d4d5d6d7d80011223344556677");
        assert_eq!(stage.outcomes(), ["started=1"]);
    }
}

/// OBS-02: a valid context goes on with a new parent id; the random bit goes out as it came in.
#[test]
fn a_valid_context_goes_on() {
    for (sent, out) in [("03", 3), ("02", 2), ("01", 1), ("00", 0), ("ff", 3), ("fc", 0)] {
        let stage = Stage::new("sample = 0.0");
        let value = format!("  00-{TRACE}-00f067aa0ba902b7-{sent}\t");
        let exchange = stage.exchange(&[("TraceParent", value.as_bytes())]);
        let seen = exchange.traceparent();
        assert_eq!((seen.trace_id, seen.flags), (TRACE_ID, out), "{sent}");
        assert!(![PARENT_ID, DRAWN.span_id].contains(&seen.parent_id));
        let fact = TraceContext { trace_id: TRACE_ID, span_id: DRAWN.span_id, flags: out };
        assert_eq!(exchange.facts.trace(), &fact);
        assert_eq!(stage.outcomes(), ["continued=1"]);
    }
}

/// OBS-03: whatever is not exactly right restarts the trace.
#[test]
fn a_malformed_context_restarts_the_trace() {
    let (zeros, span) = ("0".repeat(32), "00f067aa0ba902b7");
    let malformed = [
        String::new(),
        " ".into(),
        "00".into(),
        TRACE.into(),
        format!("00-{TRACE}-{span}"),
        format!("00-{TRACE}-{span}-"),
        format!("00-{TRACE}-{span}-0"),
        format!("00-{TRACE}-{span}-001"),
        format!("00-{TRACE}-{span}-01-"),
        format!("00-{TRACE}-{span}-01-x"),
        format!("00-{TRACE}-{span}-01."),
        format!("00-{}-{span}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", span.to_uppercase()),
        format!("00-{TRACE}-{span}-0A"),
        format!("00-{TRACE}-{span}-0g"),
        format!("00-{zeros}-{span}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{span}-01", &TRACE[1..]),
        format!("00-{TRACE}0-{span}-01"),
        format!("00-{TRACE}-{}-01", &span[1..]),
        format!("00-{TRACE}-{span}0-01"),
        format!("0-{TRACE}-{span}-01"),
        format!("000-{TRACE}-{span}-01"),
        format!("ff-{TRACE}-{span}-01"),
        format!("FE-{TRACE}-{span}-01"),
        format!("0x-{TRACE}-{span}-01"),
        format!("+0-{TRACE}-{span}-01"),
        format!("00_{TRACE}_{span}_01"),
        format!("00-{}z-{span}-01", &TRACE[1..]),
        format!("00-{TRACE}-{}+-01", &span[1..]),
        format!("00 -{TRACE}-{span}-01"),
        format!("\"00-{TRACE}-{span}-01\""),
        format!("cc-{TRACE}-{span}-0"),
        format!("cc-{TRACE}-{span}-01x"),
        format!("00-{TRACE}-{span}-01,00-{TRACE}-{span}-01"),
        format!("cc-{TRACE}-{span}-01-a,b"),
    ];
    assert!(malformed.len() >= 24);
    for value in malformed {
        let stage = Stage::new("");
        let exchange = stage.exchange(&[("traceparent", value.as_bytes()), ("tracestate", b"a=1")]);
        let seen = exchange.traceparent();
        assert_eq!((seen.trace_id, seen.flags), (DRAWN.trace_id, 3), "{value:?}");
        assert_eq!(exchange.saw("tracestate"), None, "{value:?}");
        assert_eq!(stage.outcomes(), ["restarted=1"], "{value:?}");
    }
    let stage = Stage::new("");
    stage.exchange(&[("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b\xff-01")]);
    assert_eq!(stage.outcomes(), ["restarted=1"]);
}

/// OBS-04: a later version is read as far as it is known and goes out as version 00.
#[test]
fn later_versions_are_continued() {
    for (end, outcome) in
        [("01", "continued=1"), ("01-x", "continued=1"), ("01-", "continued=1"), ("01.x", "restarted=1")]
    {
        let stage = Stage::new("");
        let value = format!("cc-{TRACE}-00f067aa0ba902b7-{end}");
        let exchange = stage.exchange(&[("traceparent", value.as_bytes())]);
        assert_eq!(stage.outcomes(), [outcome], "{value}");
        assert_eq!(exchange.traceparent().trace_id == TRACE_ID, outcome == "continued=1");
    }
}

/// OBS-05: two lines are not one, even when they are equal.
#[test]
fn two_lines_restart_the_trace() {
    let stage = Stage::new("");
    let exchange = stage.exchange(&[("traceparent", VALID), ("traceparent", VALID)]);
    assert_eq!(exchange.traceparent().trace_id, DRAWN.trace_id);
    assert_eq!(stage.outcomes(), ["restarted=1"]);
}

/// OBS-06: several `tracestate` lines go out as one, in order.
#[test]
fn tracestate_goes_out_as_one_line() {
    let stage = Stage::new("");
    let sent: [(&str, &[u8]); 4] =
        [("traceparent", VALID), ("tracestate", b"b=1 , c=2"), ("tracestate", b""), ("tracestate", b"a=3")];
    assert_eq!(stage.exchange(&sent).saw("tracestate"), Some("b=1,c=2,a=3"));
    let none = stage.exchange(&[("traceparent", VALID), ("tracestate", b"")]);
    assert_eq!(none.saw("tracestate"), None);
}

/// OBS-07: a bad list is dropped, the trace goes on.
#[test]
fn a_bad_tracestate_does_not_touch_the_trace() {
    let numbered = |members: usize| (0..members).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    for (list, kept) in [(numbered(32), true), (numbered(33), false), ("a=1,FOO=2".into(), false)] {
        let stage = Stage::new("");
        let exchange = stage.exchange(&[("traceparent", VALID), ("tracestate", list.as_bytes())]);
        assert_eq!(exchange.saw("tracestate"), kept.then_some(list.as_str()));
        assert_eq!(exchange.traceparent().trace_id, TRACE_ID);
        assert_eq!(stage.outcomes(), ["continued=1"]);
    }
}

#[test]
fn tracestate_alone_goes_nowhere() {
    let stage = Stage::new("");
    assert_eq!(stage.exchange(&[("tracestate", b"a=1")]).saw("tracestate"), None);
    assert_eq!(stage.outcomes(), ["started=1"]);
}

/// OBS-11: every attempt carries a parent id of its own.
#[test]
fn each_attempt_has_its_own_parent_id() {
    let mut exchange = Stage::new("").exchange(&[("traceparent", VALID), ("tracestate", b"a=1")]);
    let first = exchange.traceparent();
    exchange.attempt();
    let second = exchange.traceparent();
    assert_eq!(first.trace_id, second.trace_id);
    assert_ne!(first.parent_id, second.parent_id);
    assert_eq!(exchange.saw("tracestate"), Some("a=1"));
}

#[test]
fn baggage_goes_on_whether_or_not_the_context_was_valid() {
    for traceparent in [VALID, b"nonsense"] {
        let stage = Stage::new("");
        let sent: [(&str, &[u8]); 3] =
            [("traceparent", traceparent), ("baggage", b"a=1 ;p=x, b"), ("baggage", b"c=%20")];
        assert_eq!(stage.exchange(&sent).saw("baggage"), Some("a=1 ;p=x, b,c=%20"));
    }
}

/// OBS-12: the upstream's own field of that name is replaced.
#[test]
fn the_response_names_this_trace() {
    let mut exchange = Stage::new("response_header = \"X-Request-Trace\"").exchange(&[("traceparent", VALID)]);
    let mut fields = Fields::new();
    fields.append(HeaderName::from_static("x-request-trace"), HeaderValue::from_static("theirs"));
    fields.append(HeaderName::from_static("x-request-trace"), HeaderValue::from_static("theirs too"));
    let response = exchange.response(fields);
    assert_eq!(response.lines("x-request-trace").collect::<Vec<_>>(), [TRACE.as_bytes()]);
    let mut silent = Stage::new("response_header = \"\"").exchange(&[]);
    assert!(silent.response(Fields::new()).is_empty());
}

/// OBS-13: about a quarter of new traces, and the same ones on every proxy with that share.
#[test]
fn a_share_of_new_traces_is_sampled() {
    let (one, other) = (Stage::new("sample = 0.25"), Stage::new("sample = 0.25\npropagate = [\"b3\"]"));
    // Steps of the golden ratio spread evenly over the 56 bits that count.
    let ids = (1..=20_000u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let sampled = ids
        .filter(|id| {
            let drawn = TraceContext { trace_id: *id, ..DRAWN };
            let verdict = one.exchange_drawn(&[], drawn).facts.trace().is_sampled();
            let b3 = format!("{id:032x}-00f067aa0ba902b7");
            let continued = other.exchange(&[("b3", b3.as_bytes())]);
            assert_eq!(continued.facts.trace().is_sampled(), verdict, "{b3}");
            verdict
        })
        .count();
    assert!((4_700..=5_300).contains(&sampled), "{sampled}");
}
