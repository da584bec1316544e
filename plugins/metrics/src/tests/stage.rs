//! Exchanges without a socket.

use crate::{Config, Metrics};
use http::{Method, StatusCode, Version};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vestibule_plugin::meter::{Format, Registry};
use vestibule_plugin::{
    AccessLine, AnsweredBy, Attempt, AttemptResult, Build, BuildErrors, ClientAddress, Clock, Deps, End, Ended, Facts,
    Fields, Hooks, Monotonic, NoRoute, Plugin, RequestHead, RouteId, Routes, Secret, ServerName, Soon, TraceContext,
};

/// Wall time stands still at 1,700,000,000.25 s.
struct Still;

impl Clock for Still {
    fn now(&self) -> Monotonic {
        Monotonic::default()
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250)
    }
}

/// The plugin with the routes `unmatched`, `home` and `files`; the last has an upstream of its own.
pub(super) struct Stage {
    plugin: Metrics,
    pub(super) meter: Arc<Registry>,
}

/// What is told about the end of an exchange.
pub(super) struct Told {
    pub(super) method: &'static str,
    pub(super) status: Option<u16>,
    pub(super) route: u16,
    pub(super) attempts: Vec<AttemptResult>,
    pub(super) sampled: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self { method: "GET", status: Some(200), route: 1, attempts: Vec::new(), sampled: false }
    }
}

impl Stage {
    pub(super) fn new(table: &str) -> Self {
        Self::on(Arc::default(), table).expect("a good table")
    }

    /// With a registry that may have seen other configurations.
    pub(super) fn on(meter: Arc<Registry>, table: &str) -> Result<Self, BuildErrors> {
        let server = |address: &str, port| ServerName { address: address.to_owned(), port };
        let main = server("127.0.0.1", Some(3000));
        let deps = Deps {
            clock: Arc::new(Still),
            meter: Arc::clone(&meter),
            route_names: ["unmatched", "home", "files"].map(str::to_owned).into(),
            upstreams: [main.clone(), main, server("/run/files.sock", None)].into(),
            secret: Arc::new(Secret::new([0; 32])),
            store: vestibule_plugin::StoreTerms::default(),
            telemetry: vestibule_plugin::Telemetry::default(),
            ipv6_prefix: 64,
        };
        let config: Config = toml::from_str(table).expect("a table");
        let plugin = Metrics::build(config, &Routes::<NoRoute>::new(Vec::new()), (), &deps)?;
        Ok(Self { plugin, meter })
    }

    pub(super) fn install(&self) {
        self.plugin.on_install(None);
    }

    pub(super) fn attach(&self) -> Option<Box<dyn Hooks>> {
        let head = RequestHead {
            method: &Method::GET,
            target: "/",
            path: "/",
            authority: "example.com",
            scheme: "http",
            version: Version::HTTP_11,
            body_length: Some(0),
            fields: &mut Fields::new(),
        };
        self.plugin.attach(&head, RouteId(1))
    }

    /// One exchange of 80 ms with attempts of 60 ms each.
    pub(super) fn exchange(&self, told: Told) {
        if let Some(hooks) = self.attach() {
            end(hooks, told);
        }
    }

    pub(super) fn page(&self) -> String {
        self.meter.encode(Format::Text)
    }
}

pub(super) fn end(mut hooks: Box<dyn Hooks>, told: Told) {
    let trace = TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: u8::from(told.sampled) };
    let facts = Facts::new(RouteId(told.route), ClientAddress::Local, trace);
    let attempt = |result| Attempt {
        duration: Duration::from_millis(60),
        first_byte: matches!(result, AttemptResult::Status(_)).then_some(Duration::from_millis(20)),
        result,
    };
    let attempts: Vec<_> = told.attempts.into_iter().map(attempt).collect();
    let end = End {
        method: &Method::from_bytes(told.method.as_bytes()).expect("a token"),
        version: Version::HTTP_11,
        status: told.status.map(|code| StatusCode::from_u16(code).expect("a status")),
        ended: Ended::Ok,
        answered_by: AnsweredBy::Upstream,
        problem: None,
        reason: None,
        began: Monotonic::default(),
        duration: Duration::from_millis(80),
        first_byte: Some(Duration::from_millis(30)),
        attempts: &attempts,
        request_bytes: 0,
        response_bytes: 0,
    };
    assert!(matches!(hooks.on_end(&end, &facts, &mut AccessLine::unwanted()), Soon::Now(())));
}
