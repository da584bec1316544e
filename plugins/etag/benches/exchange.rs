//! What the plugin adds to an exchange: every hook of one, from attach to end. `cargo bench -p vestibule-etag`.

use bytes::Bytes;
use http::header::{ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use http::{Method, StatusCode, Version};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_etag::{Config, ETag};
use vestibule_plugin::{
    AccessLine, AnsweredBy, Build, ClientAddress, Deps, End, Ended, Facts, Fields, Held, HeldFlow, Keep, Monotonic,
    Plugin, RequestHead, ResponseHead, RouteId, Routes, Secret, Soon, SystemClock, TraceContext,
};
use vestibule_store::{Locks, MemoryRecords, OnDemand};

const ROUNDS: u32 = 20_000;

fn main() {
    let plugin = plugin();
    let reply = fields(&[
        ("content-type", "application/json"),
        ("cache-control", "max-age=0, must-revalidate"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("server", "application"),
        ("vary", "accept-encoding"),
    ]);
    let plain = fields(&[("accept", "application/json"), ("accept-encoding", "gzip"), ("user-agent", "bench")]);
    let mut large = plain.clone();
    large.set(IF_NONE_MATCH, value(&format!("\"{}\"", "x".repeat(64 << 10))));

    for (name, request, bytes) in [
        ("GET 1 KiB, minted", &plain, 1 << 10),
        ("GET 100 KiB, minted", &plain, 100 << 10),
        ("GET 1 KiB, If-None-Match of 64 KiB", &large, 1 << 10),
    ] {
        report(name, &plugin, request, &reply, bytes);
    }
    let mut conditional = plain;
    conditional.set(IF_NONE_MATCH, tag(&plugin, &conditional, &reply, 1 << 10));
    report("GET 1 KiB, 304", &plugin, &conditional, &reply, 1 << 10);
}

fn report(name: &str, plugin: &ETag, request: &Fields, reply: &Fields, bytes: usize) {
    let body = Bytes::from(vec![7; bytes]);
    let mut copies: Vec<_> = (0..ROUNDS).map(|_| (request.clone(), request.clone(), reply.clone())).collect();
    let start = Instant::now();
    for (request, forwarded, reply) in &mut copies {
        black_box(exchange(plugin, request, forwarded, reply, &body));
    }
    let each = start.elapsed() / ROUNDS;
    println!("{name:40} {each:?}");
}

fn tag(plugin: &ETag, request: &Fields, reply: &Fields, bytes: usize) -> HeaderValue {
    let mut reply = reply.clone();
    exchange(plugin, &mut request.clone(), &mut request.clone(), &mut reply, &Bytes::from(vec![7; bytes]));
    reply.value(ETAG).expect("a minted tag")
}

fn exchange(
    plugin: &ETag,
    request: &mut Fields,
    forwarded: &mut Fields,
    reply: &mut Fields,
    body: &Bytes,
) -> StatusCode {
    let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
    let mut facts = Facts::new(RouteId::UNMATCHED, ClientAddress::Local, trace);
    let mut head = RequestHead {
        method: &Method::GET,
        target: "/",
        path: "/",
        authority: "example.com",
        scheme: "https",
        version: Version::HTTP_11,
        body_length: Some(0),
        fields: request,
    };
    let mut hooks = plugin.attach(&head, RouteId::UNMATCHED).expect("attached");
    let _ = black_box(now(hooks.on_request(&mut head, &mut facts)));
    hooks.on_upstream_request(forwarded, &facts);
    let mut status = StatusCode::OK;
    let mut response = ResponseHead { status: &mut status, fields: reply };
    let asked = Keep::Whole { max: 1 << 20, within: Some(Duration::from_millis(100)) };
    let keep = hooks.on_held_head(&response, asked, &facts);
    assert!(keep == asked, "the reply can get a tag");
    let held = Held::Whole { body, trailers: None };
    assert!(!matches!(now(hooks.on_held(&mut response, held, &facts)), HeldFlow::Respond(_)));
    let end = End {
        method: &Method::GET,
        version: Version::HTTP_11,
        status: Some(StatusCode::OK),
        ended: Ended::Ok,
        answered_by: AnsweredBy::Upstream,
        problem: None,
        reason: None,
        began: Monotonic(0),
        duration: Duration::ZERO,
        first_byte: None,
        attempts: &[],
        request_bytes: 0,
        response_bytes: 0,
    };
    now(hooks.on_end(&end, &facts, &mut AccessLine::unwanted()));
    status
}

fn plugin() -> ETag {
    let deps = Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::default(),
        route_names: Arc::from([String::from("unmatched")]),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([0; 32])),
        store: vestibule_plugin::StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    let records = || Arc::new(MemoryRecords::new(Arc::new(SystemClock::default()), 0));
    let locks = OnDemand::new(move || Arc::new(Locks::new(records())));
    let Ok(plugin) = ETag::build(Config::default(), &Routes::new(Vec::new()), locks, &deps) else {
        panic!("the defaults build")
    };
    plugin
}

fn fields(lines: &[(&'static str, &str)]) -> Fields {
    lines.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a field value")
}

fn now<T>(soon: Soon<'_, T>) -> T {
    match soon {
        Soon::Now(value) => value,
        Soon::Later(_) => panic!("this plugin waits for nothing"),
    }
}
