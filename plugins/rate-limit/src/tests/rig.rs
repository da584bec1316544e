//! A proxy with nothing in it but this plugin and a memory store.

use crate::RateLimit;
use crate::config::{Config, Route};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{
    AccessLine, AdminCall, AdminReply, AnsweredBy, Build, BuildError, Claims, ClientAddress, Clock, Deps, End, Ended,
    Facts, Field, Fields, Flow, Monotonic, Plugin, Principal, Problem, RequestHead, Response, ResponseHead, RouteEntry,
    RouteId, Routes, Secret, Soon, TraceContext,
};
use vestibule_store::{MemoryQuotas, Quotas};

/// A clock that tests own. Its wall begins at 1,000,000 s.
#[derive(Default)]
pub(super) struct FakeClock(AtomicU64);

impl Clock for FakeClock {
    fn now(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::SeqCst))
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + Duration::from_nanos(self.now().0)
    }
}

/// The file's tables, as far as this plugin reads them.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rate_limit: Config,
    #[serde(default)]
    routes: Vec<FileRoute>,
}

#[derive(Deserialize)]
struct FileRoute {
    name: String,
    rate_limit: Option<Route>,
}

pub(super) struct Rig {
    pub(super) plugin: RateLimit,
    pub(super) meter: Arc<Registry>,
    clock: Arc<FakeClock>,
    store: Arc<dyn Quotas>,
}

/// What a client got.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) fields: Fields,
    pub(super) problem: Option<Problem>,
    /// The fields of the access line.
    pub(super) line: Vec<(&'static str, Field)>,
}

impl Reply {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.text(name)
    }
    pub(super) fn limit(&self) -> &str {
        self.field("ratelimit").expect("a RateLimit field")
    }
    pub(super) fn retry_after(&self) -> Option<u64> {
        self.field("retry-after").map(|text| text.parse().expect("seconds"))
    }
}

/// One request.
pub(super) struct Ask {
    route: RouteId,
    address: ClientAddress,
    /// Of a verified token, if there is a subject.
    claims: Claims,
    request: Fields,
    upstream: Fields,
    status: StatusCode,
}

impl Ask {
    pub(super) fn new() -> Self {
        Self {
            route: RouteId::UNMATCHED,
            address: ClientAddress::Ip { ip: "127.0.0.1".parse().expect("an address"), prefix: 32 },
            claims: Claims::default(),
            request: Fields::new(),
            upstream: Fields::new(),
            status: StatusCode::OK,
        }
    }
    /// On the `n`-th route of the file, from 1.
    pub(super) fn on(mut self, n: u16) -> Self {
        self.route = RouteId(n);
        self
    }
    pub(super) fn from(mut self, ip: &str, prefix: u8) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        self.address = ClientAddress::Ip { ip, prefix };
        self
    }
    pub(super) fn subject(mut self, subject: &str) -> Self {
        self.claims.insert("sub".to_owned(), subject.into());
        self
    }
    pub(super) fn tier(mut self, tier: &str) -> Self {
        self.claims.insert("tier".to_owned(), tier.into());
        self
    }
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.request.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }
    /// A field of the upstream's response.
    pub(super) fn upstream(mut self, name: &'static str, value: &'static str) -> Self {
        self.upstream.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }
    pub(super) fn answered(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).expect("a status");
        self
    }
}

impl Rig {
    pub(super) fn new(toml: &str) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store: Arc<dyn Quotas> = Arc::new(MemoryQuotas::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let meter = Arc::new(Registry::default());
        let plugin = build(toml, &clock, &store, &meter).expect("a good file");
        Self { plugin, meter, clock, store }
    }

    /// A rig with policy `p` in tier `anonymous`, and more of the file behind it.
    pub(super) fn with_p(more: &str) -> Self {
        Self::new(&format!("{P}{more}"))
    }

    pub(super) fn reload(&mut self, toml: &str) {
        self.plugin = build(toml, &self.clock, &self.store, &self.meter).expect("a good file");
    }

    pub(super) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(u64::try_from(time.as_nanos()).expect("not for ever"), Ordering::SeqCst);
    }

    pub(super) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(super) fn get(&self) -> Reply {
        self.ask(Ask::new())
    }

    /// Runs the hooks as the host does.
    pub(super) fn ask(&self, ask: Ask) -> Reply {
        let Ask { route, address, claims, mut request, mut upstream, status } = ask;
        let mut facts = Facts::new(route, address, TraceContext { trace_id: 1, span_id: 1, flags: 0 });
        if claims.contains_key("sub") {
            facts.set_principal(Principal::of_token(claims).into());
        }
        let mut head = RequestHead {
            method: &Method::GET,
            target: "/",
            path: "/",
            authority: "example.com",
            scheme: "http",
            version: Version::HTTP_11,
            body_length: None,
            fields: &mut request,
        };
        let Some(mut hooks) = self.plugin.attach(&head, route) else {
            return Reply { status, fields: upstream, problem: None, line: Vec::new() };
        };
        let (mut status, problem) = match now(hooks.on_request(&mut head, &mut facts)) {
            Flow::Continue => (status, None),
            Flow::Respond(response) => {
                let Response::Problem(problem) = *response else { panic!("refusals are problems") };
                upstream = problem.fields.iter().cloned().collect();
                (problem.status, Some(problem))
            }
            Flow::Hold(_) | Flow::Look(_) => panic!("nothing is held"),
        };
        hooks.on_response(&mut ResponseHead { status: &mut status, fields: &mut upstream }, &facts);
        let mut line = AccessLine::wanted();
        now(hooks.on_end(&end(status), &facts, &mut line));
        Reply { status, fields: upstream, problem, line: line.fields().to_vec() }
    }

    pub(super) fn admin(&self, method: &Method, segments: &[&str]) -> Option<AdminReply> {
        let segments: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
        self.plugin.admin(&AdminCall { method, segments: &segments, query: "" }).map(now)
    }

    pub(super) fn admin_json(&self, segments: &[&str]) -> serde_json::Value {
        match self.admin(&Method::GET, segments) {
            Some(AdminReply::Json(json)) => json,
            other => panic!("{other:?}"),
        }
    }
}

/// `p` = `10/min`, burst 10, key `address`, in tier `anonymous`.
pub(super) const P: &str = r#"
[rate_limit.policies.p]
limit = "10/min"
key = "address"
[rate_limit.tiers]
anonymous = ["p"]
"#;

/// Everything that is wrong with a file.
pub(super) fn errors(toml: &str) -> Vec<BuildError> {
    let clock = Arc::new(FakeClock::default());
    let store: Arc<dyn Quotas> = Arc::new(MemoryQuotas::new(Arc::clone(&clock) as Arc<dyn Clock>));
    match build(toml, &clock, &store, &Arc::new(Registry::default())) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_errors(),
    }
}

fn build(
    toml: &str,
    clock: &Arc<FakeClock>,
    store: &Arc<dyn Quotas>,
    meter: &Arc<Registry>,
) -> Result<RateLimit, vestibule_plugin::BuildErrors> {
    let file: File = toml::from_str(toml).unwrap_or_else(|error| panic!("{error}"));
    let mut names = vec!["unmatched".to_owned()];
    names.extend(file.routes.iter().map(|route| route.name.clone()));
    let entries = file.routes.into_iter().zip(1..).map(|(route, id)| RouteEntry {
        id: RouteId(id),
        path: format!("/{}", route.name),
        name: route.name,
        key: route.rate_limit,
    });
    let deps = Deps {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        meter: Arc::clone(meter),
        route_names: names.into(),
        upstreams: [].into(),
        secret: Arc::new(Secret::new([7; 32])),
        store: vestibule_plugin::StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    let plugin = RateLimit::build(file.rate_limit, &Routes::new(entries.collect()), Arc::clone(store), &deps)?;
    plugin.on_install(None);
    Ok(plugin)
}

fn now<T>(soon: Soon<'_, T>) -> T {
    match soon {
        Soon::Now(value) => value,
        Soon::Later(_) => panic!("memory does not wait"),
    }
}

fn end(status: StatusCode) -> End<'static> {
    End {
        method: &Method::GET,
        version: Version::HTTP_11,
        status: Some(status),
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
    }
}
