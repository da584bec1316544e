//! Trace context from the caller to the upstream.

use super::{TraceParent, proxy, trace_id};
use vestibule_testkit::{Origin, Proxy, Received, Reply};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn sent(received: &Received) -> TraceParent {
    assert_eq!(received.fields.count("traceparent"), 1);
    TraceParent::parse(received.field("traceparent"))
}

async fn contexts(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().await.value("vestibule_trace_contexts_total", &[("outcome", outcome)])
}

/// OBS-01: a trace begins here, random, sampled by share, and named in the response.
#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let origin = Origin::returning(200, "ok");
    for (sample, flags) in [("1.0", 0b11), ("0.0", 0b10)] {
        let proxy = proxy(&origin, &format!("[trace]\nsample = {sample}\n")).await;
        let (first, again) = (proxy.get("/").await, proxy.get("/").await);
        let told = sent(&origin.last());
        assert_eq!((told.trace_id, told.flags), (trace_id(&again), flags));
        assert_ne!(trace_id(&first), trace_id(&again));
        assert!(!origin.last().fields.has("tracestate"));
        assert_eq!(contexts(&proxy, "started").await, 2.0);
    }
}

/// OBS-02: a caller's trace goes on, with its flags and a parent id of ours.
#[tokio::test]
async fn a_callers_trace_goes_on() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for flags in ["03", "02", "01", "00"] {
        let request = proxy.get("/").header("traceparent", format!("00-{CALLER}-{PARENT}-{flags}"));
        let answer = request.header("tracestate", "a=1").header("tracestate", "b=2").header("baggage", "k=v").await;
        assert_eq!(trace_id(&answer), CALLER);
        let received = origin.last();
        let told = sent(&received);
        assert_eq!((told.trace_id.as_str(), format!("{:02x}", told.flags)), (CALLER, flags.to_owned()));
        assert_ne!(told.parent_id, PARENT);
        assert_eq!(received.fields.all("tracestate").collect::<Vec<_>>(), ["a=1,b=2"]);
        assert_eq!(received.field("baggage"), "k=v");
    }
    assert_eq!(contexts(&proxy, "continued").await, 4.0);
}

/// OBS-05 and the malformed rows of section 1: what is not one valid value restarts the trace.
#[tokio::test]
async fn a_broken_trace_begins_anew() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let valid = format!("00-{CALLER}-{PARENT}-01");
    let cases = [
        vec![valid.clone(), valid.clone()],
        vec![format!("{valid},{valid}")],
        vec![valid.to_uppercase()],
        vec![format!("{valid}0")],
        vec![format!("ff-{CALLER}-{PARENT}-01")],
        vec![format!("00-{}-{PARENT}-01", "0".repeat(32))],
    ];
    let count = cases.len() as f64;
    for lines in cases {
        let mut request = proxy.get("/").header("tracestate", "a=1");
        for line in &lines {
            request = request.header("traceparent", line);
        }
        let answer = request.await;
        assert_ne!(trace_id(&answer), CALLER, "{lines:?}");
        assert_eq!(sent(&origin.last()).trace_id, trace_id(&answer));
        assert!(!origin.last().fields.has("tracestate"), "{lines:?}");
    }
    assert_eq!(contexts(&proxy, "restarted").await, count);
}

/// OBS-08: without trust, nothing a caller says about traces arrives.
#[tokio::test]
async fn a_distrusted_caller_says_nothing_about_traces() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[trace]\ntrust_incoming = false\n").await;
    let mut request = proxy.get("/").header("traceparent", format!("00-{CALLER}-{PARENT}-01"));
    for (name, value) in [
        ("tracestate", "a=1"),
        ("baggage", "user=1"),
        ("b3", &format!("{CALLER}-{PARENT}-1")),
        ("x-b3-traceid", CALLER),
        ("x-b3-spanid", PARENT),
        ("x-b3-sampled", "1"),
    ] {
        request = request.header(name, value);
    }
    let answer = request.await;
    let received = origin.last();
    assert_ne!(trace_id(&answer), CALLER);
    assert_eq!(sent(&received).trace_id, trace_id(&answer));
    for name in ["tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"] {
        assert!(!received.fields.has(name), "{name}");
    }
    assert_eq!(contexts(&proxy, "distrusted").await, 1.0);
}

/// OBS-11: each attempt is a span of its own.
#[tokio::test]
async fn a_second_attempt_has_another_parent_id() {
    let origin = Origin::replying(|request| match (request.target.as_str(), request.nth_on_connection) {
        ("/again", 2..) => Reply::dying(),
        _ => Reply::ok("ok"),
    });
    let proxy = proxy(&origin, "").await;
    // On one connection, so that one worker serves both and has the upstream connection of the first to use again.
    let mut raw = proxy.connect().await;
    assert_eq!(proxy.get("/first").on(&mut raw).await.status, 200);
    proxy.wait_access(1).await;
    let answer = proxy.get("/again").on(&mut raw).await;
    assert_eq!(answer.status, 200);
    let attempts: Vec<_> = origin.requests().iter().filter(|r| r.target == "/again").map(sent).collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!([&attempts[0].trace_id, &attempts[1].trace_id], [&trace_id(&answer); 2]);
    assert_ne!(attempts[0].parent_id, attempts[1].parent_id);
    assert_eq!(super::line_of(&proxy, &trace_id(&answer)).await["attempts"], 2);
}

#[tokio::test]
async fn without_tracing_no_trace_header_is_read_added_or_removed() {
    let origin = Origin::replying(|_| Reply::ok("ok").field("x-trace-id", "of-the-application"));
    let proxy = proxy(&origin, "[trace]\nenabled = false\n").await;
    let sent = "not even valid";
    let answer = proxy.get("/").header("traceparent", sent).header("b3", "0").await;
    assert_eq!((origin.last().field("traceparent"), origin.last().field("b3")), (sent, "0"));
    assert_eq!(answer.fields.all("x-trace-id").collect::<Vec<_>>(), ["of-the-application"]);
    assert_eq!(proxy.get("/").await.status, 200);
    assert!(!origin.last().fields.has("traceparent"));
    // A problem and its log line still name the same id.
    let problem = proxy.request("PURGE", "/").await;
    assert_eq!((problem.status, problem.fields.has("x-trace-id")), (405, false));
    let instance = problem.json()["instance"].as_str().expect("an instance").replace("urn:trace:", "");
    assert_eq!(super::line_of(&proxy, &instance).await["status"], 405);
}

#[tokio::test]
async fn the_upstreams_own_header_is_replaced_and_the_name_is_configurable() {
    let origin = Origin::replying(|_| Reply::ok("ok").field("x-request-trace", "theirs"));
    let named = proxy(&origin, "[trace]\nresponse_header = \"x-request-trace\"\n").await;
    let answer = named.get("/").await;
    assert_eq!(answer.fields.all("x-request-trace").collect::<Vec<_>>(), [sent(&origin.last()).trace_id]);
    assert!(!answer.fields.has("x-trace-id"));
    let none = proxy(&origin, "[trace]\nresponse_header = \"\"\n").await;
    assert_eq!(none.get("/").await.fields.all("x-request-trace").collect::<Vec<_>>(), ["theirs"]);
}
