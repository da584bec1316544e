//! The process: what all exchanges and all configurations share.

use crate::connections::Connections;
use crate::edge::threats::{Threat, Threats};
use crate::memory_budget::MemoryBudget;
use crate::pipeline::Pipeline;
use crate::telemetry::Log;
use arc_swap::ArcSwap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;
use tokio::sync::watch;
use vestibule_plugin::meter::{Counter, Desc, Gauge, Registry};
use vestibule_plugin::{ClientAddress, Clock, Event, Notice, RouteId};

/// What a configuration borrows from the process when it is made ready.
#[derive(Clone)]
pub struct Lent {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub meter: Arc<Registry>,
}

/// The process.
pub struct Host {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub meter: Arc<Registry>,
    /// Where log lines go.
    pub log: Log,
    /// What the edge blocked.
    pub threats: Arc<Threats>,
    /// Bounds all bodies kept in memory.
    pub memory: Arc<MemoryBudget>,
    /// Connections to upstreams.
    pub connector: Connections,
    /// Said once a minute: somebody inside forwards for others and is not trusted.
    pub unheard_proxy: Notice,
    /// The drain has waited long enough, and what is left is cut off.
    pub cut_off: watch::Sender<bool>,
    /// The drain has begun: connections close after the response under way.
    pub is_draining: AtomicBool,
    /// Exchanges under way.
    pub in_flight: AtomicUsize,
    /// Counts of the host's own.
    pub counts: Counts,
    /// When the process began to serve.
    pub started: Instant,
    pipeline: ArcSwap<Pipeline>,
    /// Once a minute: why requests are refused for want of a store.
    pub store_outage: Notice,
}

/// `vestibule_server_shed_total` and the configuration metrics.
pub struct Counts {
    /// Connections closed at once.
    pub shed_connections: Counter,
    /// Connections closed at once, since file descriptors are kept for others.
    pub shed_descriptors: Counter,
    /// Requests answered 503 at once.
    pub shed_requests: Counter,
    /// Requests answered 503 because memory for bodies was used up.
    pub shed_memory: Counter,
    /// The generation that serves.
    pub generation: Gauge,
    /// 1 when the last reload was taken.
    pub last_reload_ok: Gauge,
    /// Reloads taken.
    pub reloads_ok: Counter,
    /// Reloads refused.
    pub reloads_failed: Counter,
}

impl Counts {
    fn new(meter: &Registry) -> Self {
        let shed = meter.counter(Desc {
            name: "vestibule_server_shed_total",
            help: "Connections and requests turned away because a limit was reached, by reason.",
            labels: &["reason"],
        });
        let shed = shed.closed("reason", &["connections", "descriptors", "memory", "requests"]);
        let reloads = meter.counter(Desc {
            name: "vestibule_config_reloads_total",
            help: "Reloads of the configuration, by outcome.",
            labels: &["outcome"],
        });
        let reloads = reloads.closed("outcome", &["ok", "failed"]);
        let gauge = |name, help| meter.gauge(Desc { name, help, labels: &[] }).with(&[]);
        Self {
            shed_connections: shed.with(&["connections"]),
            shed_descriptors: shed.with(&["descriptors"]),
            shed_requests: shed.with(&["requests"]),
            shed_memory: shed.with(&["memory"]),
            generation: gauge("vestibule_config_generation", "The configuration that serves, counted from 1."),
            last_reload_ok: gauge(
                "vestibule_config_last_reload_successful",
                "Whether the last reload was taken: 1, or 0 when it was refused.",
            ),
            reloads_ok: reloads.with(&["ok"]),
            reloads_failed: reloads.with(&["failed"]),
        }
    }
}

impl Host {
    /// A process that serves `pipeline`.
    pub fn new(lent: Lent, log: Log, threats: Arc<Threats>, pipeline: Pipeline) -> Self {
        let counts = Counts::new(&lent.meter);
        counts.generation.set(pipeline.number() as i64);
        counts.last_reload_ok.set(1);
        pipeline.install(None);
        pipeline.tell(&Event::Started(pipeline.running()));
        let max_held = pipeline.settings.server.max_held;
        let memory = MemoryBudget::new(max_held, counts.shed_memory.clone(), &lent.meter);
        let connector = Connections::new(pipeline.settings.upstream.idle_connections, pipeline.settings.server.workers);
        let build = lent.meter.gauge(Desc {
            name: "vestibule_build_info",
            help: "Always 1; its labels say what runs.",
            labels: &["version", "revision"],
        });
        build.with(&[crate::build::VERSION, crate::build::REVISION]).set(1);
        Self {
            clock: lent.clock,
            meter: lent.meter,
            log,
            threats,
            memory,
            connector,
            unheard_proxy: Notice::default(),
            cut_off: watch::Sender::new(false),
            is_draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            store_outage: Notice::default(),
            counts,
            started: Instant::now(),
            pipeline: ArcSwap::from_pointee(pipeline),
        }
    }

    /// The configuration of this moment.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.load_full()
    }

    /// Serves `pipeline` from the next exchange on.
    pub fn install(&self, pipeline: Pipeline) {
        self.counts.generation.set(pipeline.number() as i64);
        self.memory.resize(pipeline.settings.server.max_held);
        pipeline.install(Some(&self.pipeline.load()));
        let pipeline = Arc::new(pipeline);
        let before = self.pipeline.swap(Arc::clone(&pipeline));
        let reloaded = Event::Reloaded(pipeline.running());
        pipeline.tell(&reloaded);
        // Those that are off from now on learn of nothing later.
        before.tell_those_without(&pipeline, &reloaded);
    }

    /// Counts and logs a head from `peer` that was refused before it became an exchange.
    pub fn refuse_head(&self, threat: Threat, peer: IpAddr) {
        self.threats.blocked(threat);
        self.log.refused_head(threat.as_str());
        let pipeline = self.pipeline();
        let client = ClientAddress::of(peer, pipeline.settings.server.ipv6_prefix);
        pipeline.tell(&Event::Blocked { kind: threat.as_str(), route: RouteId::UNMATCHED, client });
    }

    /// What a new configuration borrows.
    pub fn lent(&self) -> Lent {
        Lent { clock: Arc::clone(&self.clock), meter: Arc::clone(&self.meter) }
    }
}
