//! What the plugin adds to a page, and what a report costs without its way through the proxy. `cargo bench -p vestibule-csp`.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use vestibule_csp::Csp;
use vestibule_csp::config::Config;
use vestibule_plugin::{
    Build, ClientAddress, Deps, Facts, Fields, Flow, HeldRequest, Plugin, RequestHead, ResponseHead, RouteId, Routes,
    Secret, Soon, StoreTerms, SystemClock, TraceContext,
};

const ROUNDS: u32 = 100_000;
const REPORT: &str = r#"{"type":"csp-violation","age":12,"url":"https://app.example.com/orders/17","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36","body":{"blockedURL":"https://cdn.example.net/images/banner.png?size=large","columnNumber":14,"disposition":"report","documentURL":"https://app.example.com/orders/17","effectiveDirective":"img-src","lineNumber":120,"originalPolicy":"default-src 'self'; img-src 'self' data:; object-src 'none'; report-uri /_vestibule/reports; report-to vestibule-csp","referrer":"https://app.example.com/","sample":"","sourceFile":"https://app.example.com/static/app.js","statusCode":200}}"#;

fn main() {
    let plugin = plugin();
    let html =
        fields(&[("content-type", "text/html; charset=utf-8"), ("cache-control", "no-cache"), ("vary", "cookie")]);
    let json = fields(&[("content-type", "application/json"), ("cache-control", "no-cache"), ("vary", "cookie")]);
    let mut endpoints = html.clone();
    endpoints.set(
        HeaderName::from_static("reporting-endpoints"),
        HeaderValue::from_static("default=\"/own\", other=\"/more\""),
    );
    for (name, reply) in [("a page", html), ("a page with endpoints", endpoints), ("no page", json)] {
        let mut copies: Vec<_> = (0..ROUNDS).map(|_| (Fields::new(), reply.clone())).collect();
        let start = Instant::now();
        for (request, reply) in &mut copies {
            page(&plugin, request, reply);
        }
        println!("{name:24} {:?}", start.elapsed() / ROUNDS);
    }
    for size in [1, 20] {
        let body = Bytes::from(format!("[{}]", vec![REPORT; size].join(",")));
        let rounds = ROUNDS / size as u32;
        let start = Instant::now();
        for _ in 0..rounds {
            reports(&plugin, &body);
        }
        println!("{:24} {:?}", format!("a report of {size}"), start.elapsed() / rounds / size as u32);
    }
}

fn page(plugin: &Csp, request: &mut Fields, reply: &mut Fields) {
    let facts = facts(RouteId::UNMATCHED);
    let head = head(&Method::GET, request);
    let mut hooks = plugin.attach(&head, RouteId::UNMATCHED).expect("attached");
    let mut status = StatusCode::OK;
    hooks.on_response(&mut ResponseHead { status: &mut status, fields: reply }, &facts);
    black_box(status);
}

fn reports(plugin: &Csp, body: &Bytes) {
    let mut fields = fields(&[("content-type", "application/reports+json")]);
    let mut facts = facts(RouteId(1));
    let mut head = head(&Method::POST, &mut fields);
    let mut hooks = plugin.attach(&head, RouteId(1)).expect("attached");
    assert!(matches!(hooks.on_request(&mut head, &mut facts), Soon::Now(Flow::Hold(_))));
    let request = HeldRequest { body: &mut body.clone(), room: &mut () };
    assert!(matches!(black_box(hooks.on_request_body(request, &mut facts)), Soon::Now(Flow::Respond(_))));
}

fn facts(route: RouteId) -> Facts {
    Facts::new(route, ClientAddress::Local, TraceContext { trace_id: 1, span_id: 1, flags: 0 })
}

fn head<'a>(method: &'a Method, fields: &'a mut Fields) -> RequestHead<'a> {
    RequestHead {
        method,
        target: "/",
        path: "/",
        authority: "app.example.com",
        scheme: "https",
        version: Version::HTTP_11,
        body_length: None,
        fields,
    }
}

fn fields(all: &[(&'static str, &'static str)]) -> Fields {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn plugin() -> Csp {
    let deps = Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::default(),
        route_names: Arc::from(["unmatched", "csp-reports"].map(str::to_owned)),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([0; 32])),
        store: StoreTerms::default(),
        ipv6_prefix: 64,
        telemetry: Default::default(),
    };
    let config = Config {
        policy: "default-src 'self'; img-src 'self' data:; object-src 'none'".to_owned(),
        reports: true,
        rate: "1000000000/min".parse().expect("a rate"),
        sinks: Vec::new(),
        ..Config::default()
    };
    let Ok(plugin) = Csp::build(config, &Routes::new(Vec::new()), None, &deps) else { panic!("a sound configuration") };
    plugin.prepare(None).expect("it starts");
    plugin.on_install(None);
    plugin
}
