//! A host in miniature: calls the hooks of one exchange in the order of the contract.

use crate::{Config, ETag, RouteKey};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::meter::{Desc, Registry};
use vestibule_plugin::{
    AccessLine, AnsweredBy, Build, BuildErrors, ClientAddress, Deps, End, Ended, Facts, Field, Fields, Flow, Held,
    HeldFlow, Hold, Hooks, Keep, Monotonic, Plugin, RequestHead, ResponseHead, RouteEntry, RouteId, Routes, Secret,
    Soon, SystemClock, TraceContext, WhyFlowing,
};
use vestibule_store::{Locks, MemoryRecords, OnDemand};

pub(super) struct Proxy {
    plugin: ETag,
    meter: Arc<Registry>,
}

/// Route 1 has `key`.
pub(super) fn build(config: Config, key: Option<RouteKey>) -> Result<Proxy, BuildErrors> {
    let meter = Arc::new(Registry::default());
    let deps = Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::clone(&meter),
        route_names: Arc::from(["unmatched".to_owned(), "one".to_owned()]),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([7; 32])),
        store: vestibule_plugin::StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    let routes = Routes::new(vec![RouteEntry { id: RouteId(1), name: "one".into(), path: "/".into(), key }]);
    Ok(Proxy { plugin: ETag::build(config, &routes, locks(), &deps)?, meter })
}

fn locks() -> OnDemand<Locks> {
    let records = MemoryRecords::new(Arc::new(SystemClock::default()), 1 << 20);
    let locks = Arc::new(Locks::new(Arc::new(records)));
    OnDemand::new(move || Arc::clone(&locks))
}

pub(super) fn proxy() -> Proxy {
    from_toml("")
}

pub(super) fn from_toml(table: &str) -> Proxy {
    let Ok(proxy) = build(toml::from_str(table).expect("a table"), None) else { panic!("{table} does not build") };
    proxy
}

impl Proxy {
    pub(super) fn attach(&self, method: &Method, route: RouteId, fields: &mut Fields) -> Option<Box<dyn Hooks>> {
        self.plugin.attach(&request_head(method, fields), route)
    }

    /// One exchange on route 1: the upstream replies `reply`, whatever it sees.
    pub(super) fn send(&self, request: Request, reply: Reply) -> Exchange {
        let Request { method, mut fields } = request;
        let mut hooks = self.attach(&method, RouteId(1), &mut fields).expect("attached");
        let mut facts = facts();

        let flow = now(hooks.on_request(&mut request_head(&method, &mut fields), &mut facts));
        let Flow::Hold(Hold { request_body: None, response: asked, .. }) = flow else { panic!("reads are held") };
        let mut seen = fields.clone();
        hooks.on_upstream_request(&mut seen, &facts);
        // A second attempt starts from the client's head and must come to the same.
        let mut seen_again = fields.clone();
        hooks.on_upstream_request(&mut seen_again, &facts);
        assert_eq!(seen, seen_again);

        let Reply { mut status, mut fields, body, trailers, fate } = reply;
        let keep = {
            let head = ResponseHead { status: &mut status, fields: &mut fields };
            hooks.on_held_head(&head, asked, &facts)
        };
        let held = match (keep, fate) {
            (Keep::Nothing, Fate::AsAsked) => Held::Flowing(WhyFlowing::NotKept),
            (_, Fate::Flows(why)) => Held::Flowing(why),
            (Keep::Whole { max, .. }, Fate::AsAsked) if body.len() > max => Held::Flowing(WhyFlowing::TooLarge),
            (_, Fate::AsAsked | Fate::HeldForAnother) => Held::Whole { body: &body, trailers: trailers.as_ref() },
        };
        let sent_body = {
            let mut head = ResponseHead { status: &mut status, fields: &mut fields };
            match now(hooks.on_held(&mut head, held, &facts)) {
                HeldFlow::Continue => Some(body.clone()),
                HeldFlow::DropBody => None,
                HeldFlow::Respond(_) => panic!("this plugin does not replace replies"),
            }
        };
        let line = end(&mut *hooks, &method, &facts);
        let outcome = match line.fields() {
            [("etag", Field::Text(outcome))] => outcome.clone().into_owned(),
            other => panic!("one field was expected: {other:?}"),
        };
        Exchange { status, fields, body: sent_body, seen, keep, outcome }
    }

    pub(super) fn counted(&self, outcome: &str) -> u64 {
        let desc = Desc { name: "vestibule_etag_responses_total", help: "", labels: &["outcome"] };
        self.meter.counter(desc).with(&[outcome]).get()
    }
}

pub(super) fn end(hooks: &mut dyn Hooks, method: &Method, facts: &Facts) -> AccessLine {
    let mut line = AccessLine::wanted();
    let end = End {
        method,
        version: Version::HTTP_11,
        status: None,
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
    now(hooks.on_end(&end, facts, &mut line));
    line
}

/// What came of an exchange.
pub(super) struct Exchange {
    pub(super) status: StatusCode,
    pub(super) fields: Fields,
    /// `None`: dropped.
    pub(super) body: Option<Bytes>,
    /// What the upstream saw.
    pub(super) seen: Fields,
    /// What was asked for at the head.
    pub(super) keep: Keep,
    pub(super) outcome: String,
}

impl Exchange {
    pub(super) fn etag(&self) -> Option<&str> {
        self.fields.text(http::header::ETAG)
    }
}

pub(super) struct Request {
    method: Method,
    fields: Fields,
}

pub(super) fn get() -> Request {
    Request { method: Method::GET, fields: Fields::new() }
}

pub(super) fn head() -> Request {
    Request { method: Method::HEAD, fields: Fields::new() }
}

impl Request {
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        self
    }
}

#[derive(Clone)]
pub(super) struct Reply {
    status: StatusCode,
    fields: Fields,
    body: Bytes,
    trailers: Option<HeaderMap>,
    fate: Fate,
}

/// What becomes of the body on its way.
#[derive(Clone, Copy)]
enum Fate {
    AsAsked,
    Flows(WhyFlowing),
    HeldForAnother,
}

pub(super) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let status = StatusCode::from_u16(status).expect("a status");
    Reply { status, fields: Fields::new(), body: body.into(), trailers: None, fate: Fate::AsAsked }
}

pub(super) fn ok(body: impl Into<Bytes>) -> Reply {
    reply(200, body)
}

impl Reply {
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        self
    }

    pub(super) fn trailers(mut self) -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"));
        self.trailers = Some(trailers);
        self
    }

    pub(super) fn flowing(mut self, why: WhyFlowing) -> Self {
        self.fate = Fate::Flows(why);
        self
    }

    pub(super) fn held_for_another(mut self) -> Self {
        self.fate = Fate::HeldForAnother;
        self
    }
}

fn request_head<'a>(method: &'a Method, fields: &'a mut Fields) -> RequestHead<'a> {
    RequestHead {
        method,
        target: "/orders/7?full=1",
        path: "/orders/7",
        authority: "shop.example.com",
        scheme: "https",
        version: Version::HTTP_11,
        body_length: Some(0),
        fields,
    }
}

pub(super) fn facts() -> Facts {
    let address = ClientAddress::Ip { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix: 32 };
    Facts::new(RouteId(1), address, TraceContext { trace_id: 1, span_id: 1, flags: 0 })
}

fn now<T>(soon: Soon<'_, T>) -> T {
    match soon {
        Soon::Now(value) => value,
        Soon::Later(_) => panic!("this plugin waits for nothing"),
    }
}
