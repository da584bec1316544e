//! Which formats are read and written, and whose word counts.

use super::stage::{DRAWN, Stage};

const TRACEPARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const B3: &[u8] = b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";
const B3_ID: u128 = 0x80f1_98ee_5634_3ba8_64fe_8b2a_57d3_eff7;

/// OBS-08: of what a stranger sent nothing arrives, in whatever format.
#[test]
fn nothing_of_a_distrusted_caller_arrives() {
    let stage = Stage::new("trust_incoming = false\npropagate = [\"tracecontext\", \"b3\"]");
    let sent: [(&str, &[u8]); 9] = [
        ("traceparent", TRACEPARENT),
        ("tracestate", b"a=1"),
        ("baggage", b"a=1"),
        ("b3", B3),
        ("x-b3-traceid", b"80f198ee56343ba864fe8b2a57d3eff7"),
        ("x-b3-spanid", b"e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", b"e457b5a2e4d86bd1"),
        ("x-b3-sampled", b"1"),
        ("x-b3-flags", b"1"),
    ];
    let exchange = stage.exchange(&sent);
    for (name, value) in sent {
        assert_ne!(exchange.saw(name).map(str::as_bytes), Some(value), "{name}");
    }
    assert_eq!(exchange.upstream.len(), 2, "{:?}", exchange.upstream);
    assert_eq!(exchange.traceparent().trace_id, DRAWN.trace_id);
    assert!(exchange.saw("b3").expect("b3").starts_with("d1d2d3d4d5d6d7d80011223344556677-"));
    assert_eq!(stage.outcomes(), ["distrusted=1"]);
    stage.exchange(&[("accept", b"*/*")]);
    assert_eq!(stage.outcomes(), ["distrusted=1", "started=1"]);
}

/// OBS-09: a short B3 id is padded, and both formats are written.
#[test]
fn b3_in_means_b3_and_traceparent_out() {
    let stage = Stage::new("propagate = [\"tracecontext\", \"b3\"]");
    let exchange = stage.exchange(&[("b3", b"64fe8b2a57d3eff7-e457b5a2e4d86bd1-1")]);
    let seen = exchange.traceparent();
    assert_eq!((seen.trace_id, seen.flags), (0x64fe_8b2a_57d3_eff7, 1));
    let expected = format!("000000000000000064fe8b2a57d3eff7-{:016x}-1", seen.parent_id);
    // Both formats describe the same span of this attempt.
    assert_eq!(exchange.saw("b3"), Some(expected.as_str()));
    assert_eq!(stage.outcomes(), ["continued=1"]);
}

#[test]
fn a_context_from_b3_drops_the_callers_w3c_context() {
    let stage = Stage::new("propagate = [\"b3\", \"tracecontext\"]");
    let exchange = stage.exchange(&[("traceparent", TRACEPARENT), ("tracestate", b"a=1"), ("b3", B3)]);
    let seen = exchange.traceparent();
    assert_eq!((seen.trace_id, seen.flags), (B3_ID, 0));
    assert_eq!(exchange.saw("tracestate"), None);
}

#[test]
fn the_first_valid_format_in_the_order_of_the_list_counts() {
    let stage = Stage::new("propagate = [\"tracecontext\", \"b3\"]");
    let sent = |traceparent| stage.exchange(&[("traceparent", traceparent), ("b3", B3)]).traceparent().trace_id;
    assert_eq!(sent(TRACEPARENT), TRACE_ID);
    assert_eq!(sent(b"nonsense"), B3_ID);
    assert_eq!(stage.outcomes(), ["continued=2"]);
    stage.exchange(&[("b3", b"nonsense")]);
    stage.exchange(&[("b3", B3), ("b3", B3)]);
    assert_eq!(stage.outcomes(), ["continued=2", "restarted=2"]);
}

#[test]
fn a_decision_without_ids_starts_a_trace_that_heeds_it() {
    let stage = Stage::new("propagate = [\"tracecontext\", \"b3\"]");
    let seen = stage.exchange(&[("b3", b"0")]).traceparent();
    assert_eq!((seen.trace_id, seen.flags), (DRAWN.trace_id, 2));
    let stage = Stage::new("propagate = [\"tracecontext\", \"b3multi\"]\nsample = 0.0");
    assert_eq!(stage.exchange(&[("x-b3-sampled", b"1")]).traceparent().flags, 3);
    assert_eq!(stage.outcomes(), ["started=1"]);
}

#[test]
fn ids_without_a_decision_are_decided_here() {
    for (sample, flags) in [("1.0", 1), ("0.0", 0)] {
        let stage = Stage::new(&format!("propagate = [\"tracecontext\", \"b3\"]\nsample = {sample}"));
        assert_eq!(stage.exchange(&[("b3", &B3[..49])]).traceparent().flags, flags);
    }
}

#[test]
fn the_several_fields_of_b3_are_replaced_as_one() {
    let stage = Stage::new("propagate = [\"b3multi\"]");
    let exchange = stage.exchange(&[
        ("X-B3-TraceId", b"80f198ee56343ba864fe8b2a57d3eff7"),
        ("X-B3-SpanId", b"e457b5a2e4d86bd1"),
        ("X-B3-ParentSpanId", b"05e3ac9a4f6e3b90"),
        ("X-B3-Flags", b"1"),
    ]);
    assert_eq!(exchange.saw("x-b3-traceid"), Some("80f198ee56343ba864fe8b2a57d3eff7"));
    assert_eq!(exchange.saw("x-b3-sampled"), Some("1"));
    assert_eq!(exchange.saw("x-b3-spanid").map(str::len), Some(16));
    assert_ne!(exchange.saw("x-b3-spanid"), Some("e457b5a2e4d86bd1"));
    assert_eq!(exchange.saw("x-b3-parentspanid"), None);
    assert_eq!(exchange.saw("x-b3-flags"), None);
    assert_eq!(exchange.saw("traceparent"), None);
}

#[test]
fn formats_that_are_not_listed_pass_unchanged() {
    let stage = Stage::new("propagate = []");
    let sent: [(&str, &[u8]); 4] =
        [("traceparent", b"Nonsense"), ("tracestate", b"FOO=1"), ("baggage", b" a "), ("b3", b"x")];
    let mut exchange = stage.exchange(&sent);
    for (name, value) in sent {
        assert_eq!(exchange.saw(name).map(str::as_bytes), Some(value));
    }
    assert_eq!(stage.outcomes(), ["started=1"]);
    assert_eq!(exchange.response(vestibule_plugin::Fields::new()).len(), 1);
}
