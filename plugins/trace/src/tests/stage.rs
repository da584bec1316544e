//! An exchange without a socket: a caller's fields in, the upstream's and the client's fields out.

use crate::{Config, Trace};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use vestibule_plugin::meter::{Format, Registry};
use vestibule_plugin::{
    Build, BuildErrors, ClientAddress, Deps, Facts, Fields, Flow, Hooks, NoRoute, Plugin, RequestHead, ResponseHead,
    RouteId, Routes, Secret, Soon, SystemClock, TraceContext,
};

/// The context the host draws for every exchange here.
pub(super) const DRAWN: TraceContext =
    TraceContext { trace_id: 0xd1d2_d3d4_d5d6_d7d8_0011_2233_4455_6677, span_id: 0x5e5e_5e5e_5e5e_5e5e, flags: 0 };

/// The plugin as a `[trace]` table makes it.
pub(super) struct Stage {
    plugin: Trace,
    meter: Arc<Registry>,
}

impl Stage {
    pub(super) fn try_new(table: &str) -> Result<Self, BuildErrors> {
        let config: Config = toml::from_str(table).expect("a table");
        let meter = Arc::new(Registry::default());
        let deps = Deps {
            clock: Arc::new(SystemClock::default()),
            meter: Arc::clone(&meter),
            route_names: ["unmatched".to_owned()].into(),
            upstreams: Arc::default(),
            secret: Arc::new(Secret::new([0; 32])),
            store: vestibule_plugin::StoreTerms::default(),
            telemetry: vestibule_plugin::Telemetry::default(),
            ipv6_prefix: 64,
        };
        let plugin = Trace::build(config, &Routes::<NoRoute>::new(Vec::new()), (), &deps)?;
        Ok(Self { plugin, meter })
    }

    pub(super) fn new(table: &str) -> Self {
        Self::try_new(table).expect("a good table")
    }

    /// Runs one exchange up to the first attempt.
    pub(super) fn exchange(&self, sent: &[(&str, &[u8])]) -> Exchange {
        self.exchange_drawn(sent, DRAWN)
    }

    pub(super) fn exchange_drawn(&self, sent: &[(&str, &[u8])], drawn: TraceContext) -> Exchange {
        let mut fields = Fields::new();
        for (name, value) in sent {
            let name: HeaderName = name.parse().expect("a field name");
            fields.append(name, HeaderValue::from_bytes(value).expect("a field value"));
        }
        let address = ClientAddress::Ip { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix: 32 };
        let mut facts = Facts::new(RouteId::UNMATCHED, address, drawn);
        let mut head = RequestHead {
            method: &Method::GET,
            target: "/",
            path: "/",
            authority: "example.com",
            scheme: "http",
            version: Version::HTTP_11,
            body_length: Some(0),
            fields: &mut fields,
        };
        let mut hooks = self.plugin.attach(&head, RouteId::UNMATCHED);
        if let Some(hooks) = &mut hooks {
            assert!(matches!(hooks.on_request(&mut head, &mut facts), Soon::Now(Flow::Continue)));
        }
        let mut exchange = Exchange { hooks, facts, sent: fields, upstream: Fields::new() };
        exchange.attempt();
        exchange
    }

    /// The outcomes counted so far, in order of their names, as `name=n`.
    pub(super) fn outcomes(&self) -> Vec<String> {
        let page = self.meter.encode(Format::Text);
        let start = "vestibule_trace_contexts_total{outcome=\"";
        page.lines()
            .filter_map(|line| line.strip_prefix(start)?.split_once("\"} "))
            .filter(|(_, count)| *count != "0")
            .map(|(outcome, count)| format!("{outcome}={count}"))
            .collect()
    }
}

pub(super) struct Exchange {
    hooks: Option<Box<dyn Hooks>>,
    pub(super) facts: Facts,
    sent: Fields,
    pub(super) upstream: Fields,
}

impl Exchange {
    /// Another attempt on the upstream, from a fresh copy of the client's head.
    pub(super) fn attempt(&mut self) {
        self.upstream = self.sent.clone();
        if let Some(hooks) = &mut self.hooks {
            hooks.on_upstream_request(&mut self.upstream, &self.facts);
        }
    }

    /// The only line of a field at the upstream.
    pub(super) fn saw(&self, name: &str) -> Option<&str> {
        let lines: Vec<_> = self.upstream.lines(name).collect();
        assert!(lines.len() < 2, "{name}: {lines:?}");
        self.upstream.text(name)
    }

    pub(super) fn traceparent(&self) -> crate::traceparent::TraceParent {
        let value = self.saw("traceparent").expect("a traceparent").as_bytes();
        let parent = crate::traceparent::TraceParent::parse(value).expect("a valid one");
        assert_eq!(&parent.write()[..], value, "of version 00");
        parent
    }

    /// The client's fields after the upstream answered with these.
    pub(super) fn response(&mut self, mut fields: Fields) -> Fields {
        let mut status = StatusCode::OK;
        if let Some(hooks) = &mut self.hooks {
            hooks.on_response(&mut ResponseHead { status: &mut status, fields: &mut fields }, &self.facts);
        }
        fields
    }
}
