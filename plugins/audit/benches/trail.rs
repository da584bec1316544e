//! What an audited request costs: both of its records, from the hooks to the disk.
//!
//! `cargo bench -p vestibule-audit`; EXCHANGES=n for another number than 500,000. The log is written in a directory of the
//! system's temporary files, so the disk is whatever that is.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_audit::Audit;
use vestibule_audit::config::{Config, Route};
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{
    AccessLine, AnsweredBy, Build, ClientAddress, Deps, End, Ended, Facts, Fields, Monotonic, Plugin, RequestHead,
    RouteEntry, RouteId, Routes, Secret, StoreTerms, SystemClock, TraceContext,
};

const TRACE: TraceContext = TraceContext { trace_id: 0xfeed, span_id: 1, flags: 3 };

fn main() {
    let exchanges: u64 = std::env::var("EXCHANGES").ok().and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("audit");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let meter = Arc::new(Registry::default());
    let audit = build(&path.display().to_string(), &meter);
    runtime.block_on(async {
        audit.prepare(None).expect("a log");
        audit.on_install(None);
    });

    let (cpu, began) = (cpu_time(), Instant::now());
    let mut resident = vec![resident_kib()];
    for at in 1..=exchanges {
        exchange(&runtime, &audit);
        if at.is_multiple_of(exchanges.div_ceil(4)) {
            resident.push(resident_kib());
        }
        // The queue is bounded; a proxy that is faster than its disk loses events, a bench must not.
        while at.is_multiple_of(1000) && at * 2 > written(&audit) + 20_000 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    while written(&audit) < exchanges * 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (spent, took) = (cpu_time() - cpu, began.elapsed());
    let status = audit.status().expect("a log");
    let events = exchanges * 2;
    let each_us = spent.as_secs_f64() * 1e6 / events as f64;
    println!("{events} events of {exchanges} exchanges, {} lost", status["lost"]);
    println!("  CPU      {each_us:.2} us an event: {:.0} events/s on one core", 1e6 / each_us);
    println!("  wall     {:.0} events/s", events as f64 / took.as_secs_f64());
    println!("  fsyncs   {:.0} a second", fsyncs(&meter) / took.as_secs_f64());
    println!("  resident {resident:?} KiB at the start and after each quarter");
}

fn build(dir: &str, meter: &Arc<Registry>) -> Audit {
    let config: Config = toml::from_str(&format!("dir = '{dir}'\n")).expect("a table");
    let key = Some(Route { action: "orders.{method}".into(), resource: "order:{id}".into() });
    let entry = RouteEntry { id: RouteId(1), name: "orders".into(), path: "/orders/{id}".into(), key };
    let deps = Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::clone(meter),
        route_names: ["unmatched".to_owned(), "orders".to_owned()].into(),
        upstreams: [].into(),
        secret: Arc::new(Secret::new([1; 32])),
        store: StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    Audit::build(config, &Routes::new(vec![entry]), None, &deps).expect("valid")
}

/// One POST, as the host has the plugin see it.
fn exchange(runtime: &tokio::runtime::Runtime, audit: &Audit) {
    let mut fields = Fields::new();
    fields.set(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    fields.set(HeaderName::from_static("accept"), HeaderValue::from_static("application/json"));
    let head = RequestHead {
        method: &Method::POST,
        target: "/orders/1042?page=2",
        path: "/orders/1042",
        authority: "localhost",
        scheme: "http",
        version: Version::HTTP_11,
        body_length: Some(64),
        fields: &mut fields,
    };
    let facts = Facts::new(RouteId(1), ClientAddress::of([203, 0, 113, 7].into(), 64), TRACE);
    let mut hooks = audit.attach(&head, RouteId(1)).expect("an audited route");
    hooks.on_upload(&Bytes::from_static(b"{}"));
    let _ = runtime.block_on(hooks.on_forward(&facts).get());
    let end = End {
        method: &Method::POST,
        version: Version::HTTP_11,
        status: Some(StatusCode::CREATED),
        ended: Ended::Ok,
        answered_by: AnsweredBy::Upstream,
        problem: None,
        reason: None,
        began: Monotonic(0),
        duration: Duration::from_millis(3),
        first_byte: None,
        attempts: &[],
        request_bytes: 64,
        response_bytes: 128,
    };
    runtime.block_on(hooks.on_end(&end, &facts, &mut AccessLine::unwanted()).get());
}

/// Records on disk, the head of the first segment aside.
fn written(audit: &Audit) -> u64 {
    audit.status().and_then(|status| status["seq"].as_u64()).unwrap_or(0)
}

fn fsyncs(meter: &Registry) -> f64 {
    let text = meter.encode(vestibule_plugin::meter::negotiate(None));
    let line = text.lines().find(|line| line.starts_with("vestibule_audit_write_duration_seconds_count"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// Of this process, in user and system.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind = stat.rsplit(')').next().expect("a name in brackets");
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
    // The kernel counts in hundredths on every usual architecture.
    Duration::from_millis(ticks * 10)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
