//! A serving process: sockets, listeners, signals, drain.

pub mod worker;

use crate::admin::{self, Admin};
use crate::config::{self, Generation, HostDeps, Source, Started};
use crate::edge::threats::Threats;
use crate::host::{Host, Lent};
use crate::listener::{self, Listener, Room};
use crate::pipeline::Pipeline;
use crate::proxy::Proxy;
use crate::reload::{self, Reloader};
use crate::stores::Stores;
use crate::telemetry::Log;
use crate::upstream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch as channel;

/// How often the drain looks whether everything has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long idle connections get to notice that the drain has begun.
const DRAIN_NOTICE: Duration = Duration::from_millis(50);
/// How long what is cut off gets to write down what became of it, in a store that may be slow, and in the log.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long plugins get to put away what they have in hand.
const LAST_DEEDS: Duration = Duration::from_secs(5);
/// How long the last log lines get to reach stderr.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A process that serves.
pub struct Server {
    host: Arc<Host>,
    proxy: Arc<Listener<Proxy>>,
    reloader: Arc<Reloader>,
    drain: channel::Sender<bool>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
}

impl Server {
    /// Binds every socket, then serves `generation`. What it cannot do, it says in a sentence. Needs a runtime.
    pub fn start(source: &Source, deps: Arc<HostDeps>, generation: Generation) -> Result<Self, String> {
        let lent = Lent { clock: Arc::clone(&deps.clock), meter: Arc::clone(&deps.meter) };
        let settings = generation.settings.clone();
        let started = Started::new(&generation);
        let tls = settings.server.tls.as_ref().map(listener::tls::acceptor).transpose()?;
        let sockets =
            settings.server.listen.iter().map(|address| bind("listen", *address)).collect::<Result<Vec<_>, _>>()?;
        let admin_socket = settings.server.admin.map(|address| bind("admin", address)).transpose()?;

        let log = Log::start(&lent.meter);
        log.configure(settings.log, settings.store.secret);
        reload::warn(&generation.warnings);
        let (granted, needed) = (listener::descriptors::granted(), listener::descriptors::needed(&settings));
        if granted < needed {
            tracing::warn!(
                target: "listener",
                granted,
                needed,
                "fewer file descriptors than the bounds of [server] need: raise the hard limit (`ulimit -Hn`, LimitNOFILE) \
                 or lower max_connections and max_requests"
            );
        }
        let threats = Arc::new(Threats::new(&lent.meter));
        let pipeline = Pipeline::new(1, generation, &[], &lent)?;
        pipeline.prepare(None)?;
        let host = Arc::new(Host::new(lent, log, threats, pipeline));

        let (drain, draining) = channel::channel(false);
        let app = Arc::new(Proxy::new(Arc::clone(&host)));
        let proxy = Listener::new(Arc::clone(&host), vec![app], Room::AsConfigured, tls, draining);
        let reloader = Arc::new(Reloader::new(Arc::clone(&host), deps, source.clone(), started));
        reloader.watch();
        let mut server = Self { proxy, reloader, drain, addresses: Vec::new(), admin_address: None, host };
        if let Some(Bound { socket, address }) = admin_socket {
            let socket = TcpListener::from_std(socket).map_err(|error| format!("cannot serve {address}: {error}"))?;
            server.serve_admin(socket, address, &settings.server);
        }
        tokio::spawn(upstream::probe(Arc::clone(&server.host)));
        let host = Arc::clone(&server.host);
        tokio::spawn(async move { host.connector.sweep().await });
        let host = Arc::clone(&server.host);
        tokio::spawn(Stores::sweep_for_ever(move || host.pipeline().stores.clone()));
        server.serve_proxy(sockets, &settings)?;
        Ok(server)
    }

    fn serve_admin(&mut self, socket: TcpListener, address: SocketAddr, settings: &config::settings::Server) {
        let token = settings.admin_token.clone();
        let reloader = Arc::clone(&self.reloader);
        let app = Admin::new(Arc::clone(&self.host), reloader, address, token);
        // The admin listener answers to the very end, so it never learns of the drain.
        let (keep, never) = channel::channel(false);
        let room = Room::Fixed(admin::MAX_CONNECTIONS);
        let listener = Listener::new(Arc::clone(&self.host), vec![Arc::new(app)], room, None, never);
        tokio::spawn(async move {
            let _keep = keep;
            listener.accept(socket).await;
        });
        self.admin_address = Some(address);
        tracing::info!(target: "listener", listener = "admin", addr = %address, "listening");
    }

    /// Starts the workers, each with all sockets: whoever is idle takes the next connection, and keeps it.
    fn serve_proxy(&mut self, sockets: Vec<Bound>, settings: &config::Settings) -> Result<(), String> {
        for number in 1..=settings.server.workers {
            let shared = sockets.iter().map(Bound::share).collect::<Result<Vec<_>, _>>();
            let shared = shared.map_err(|error| format!("cannot share a socket with a worker: {error}"))?;
            let runtime = worker::start(number, shared, Arc::clone(&self.proxy))
                .map_err(|error| format!("cannot start worker threads: {error}"))?;
            if number == 1 {
                // A connection to a store lives where it was opened. There it wakes no other thread for a request.
                let host = Arc::clone(&self.host);
                runtime.spawn(Stores::keep_contact(move || host.pipeline().stores.clone()));
            }
        }
        for Bound { address, .. } in sockets {
            self.addresses.push(address);
            tracing::info!(
                target: "listener",
                listener = "proxy",
                addr = %address,
                upstream = settings.upstream.url,
                version = crate::build::VERSION,
                "listening"
            );
        }
        Ok(())
    }

    /// Where it listens, ports filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where its admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Serves until SIGTERM or SIGINT; reloads at SIGHUP.
    pub async fn until_told_to_stop(&self, signals: &mut Signals) {
        while let Told::Reload = signals.next().await {
            // What was wrong is logged by the reload itself.
            drop(self.reloader.reload().await);
        }
    }

    /// Accepts nothing more and lets what is under way end, at most `drain_timeout` or until `interrupted`; the
    /// exchanges and outcomes that were left.
    pub async fn drain(self, interrupted: impl Future<Output = ()>) -> usize {
        self.host.is_draining.store(true, Ordering::Release);
        let in_flight = || self.host.in_flight.load(Ordering::Relaxed);
        let owed = || self.host.pipeline().stores.owed();
        tracing::info!(target: "listener", in_flight = in_flight(), "draining");
        // The listeners hold receivers, so somebody hears it.
        let _ = self.drain.send(true);
        let patience = self.host.pipeline().settings.server.drain_timeout;
        let ended = async {
            tokio::time::sleep(DRAIN_NOTICE).await;
            let busy = || in_flight() > 0 || self.proxy.open_connections() > 0 || owed() > 0;
            wait_while(busy, patience.saturating_sub(DRAIN_NOTICE)).await;
        };
        tokio::select! {
            () = ended => {}
            () = interrupted => {
                tracing::warn!(target: "listener", in_flight = in_flight(), "interrupted: waiting no longer");
            }
        }
        let left = in_flight();
        if left > 0 {
            self.cut_off().await;
        }
        self.host.pipeline().stop(LAST_DEEDS).await;
        if left > 0 {
            tracing::warn!(target: "listener", in_flight = left, "stopped before all was done");
        } else {
            tracing::info!(target: "listener", in_flight = left, "stopped");
        }
        let owed = owed();
        if owed > 0 {
            tracing::error!(target: "listener", owed, "stopped before all outcomes of keyed requests were stored");
        }
        self.host.log.flush(LAST_LINES);
        left + owed
    }

    /// Ends what is left, and waits a moment for its last words.
    async fn cut_off(&self) {
        self.host.cut_off.send_replace(true);
        self.proxy.cut_off();
        wait_while(|| self.host.in_flight.load(Ordering::Relaxed) > 0, LAST_WORDS).await;
    }
}

/// Waits until `busy` is over, at most `patience`. It looks now and then, so that a request pays for no notice of its end.
async fn wait_while(busy: impl Fn() -> bool, patience: Duration) {
    let began = Instant::now();
    while busy() && began.elapsed() < patience {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// What a signal asks for.
enum Told {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that an operator sends. From [`Signals::heed`] on none of them ends the process by itself, so it comes
/// before the first line that says the process is up.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over. Needs a runtime.
    pub fn heed() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Resolves when somebody at the terminal has waited long enough.
    pub async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }
}

/// A listening socket.
struct Bound {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Another handle on the same queue of connections.
    fn share(&self) -> std::io::Result<std::net::TcpListener> {
        self.socket.try_clone()
    }
}

/// `key` of `[server]` asked for it.
fn bind(key: &str, address: SocketAddr) -> Result<Bound, String> {
    let bound = listener::bind(address).and_then(|socket| Ok(Bound { address: socket.local_addr()?, socket }));
    bound.map_err(|error| format!("cannot listen on {address} ([server] {key}): {error}"))
}
