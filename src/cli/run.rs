//! `vestibule run`: serve until told to stop, then drain.

use crate::admin::{self, Admin};
use crate::config::{self, Colour, Generation, HostDeps, Source};
use crate::edge::threats::Threats;
use crate::host::{Host, Lent};
use crate::listener::{self, Listener, Room};
use crate::pipeline::Pipeline;
use crate::proxy::Proxy;
use crate::reload::{self, Reloader};
use crate::telemetry::Log;
use crate::{upstream, watch};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;
use vestibule_plugin::meter::{Registry, process};
use vestibule_plugin::{Clock, SystemClock};

/// How often the drain looks whether everything has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long idle connections get to notice that the drain has begun.
const DRAIN_NOTICE: Duration = Duration::from_millis(50);
/// How long the last log lines get to reach stderr.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Serves the configuration of `source`.
pub fn run(source: Source) -> ExitCode {
    // The only failure is that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let meter = Arc::new(Registry::default());
    process::register(&meter);
    let deps = Arc::new(HostDeps::new(Arc::clone(&clock), Arc::clone(&meter)));
    let generation = match config::load(&source, &deps) {
        Ok(generation) => generation,
        Err(errors) => {
            eprint!("{}", errors.render(Colour::for_stderr()));
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(generation.settings.server.workers)
        .thread_name("worker")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start worker threads: {error}")),
    };
    let served = runtime.block_on(serve(source, deps, generation, Lent { clock, meter }));
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => refuse(&why),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

async fn serve(source: Source, deps: Arc<HostDeps>, generation: Generation, lent: Lent) -> Result<(), String> {
    let settings = generation.settings.clone();
    // Every socket is bound before anything is said to be ready.
    let tls = settings.server.tls.as_ref().map(listener::tls::acceptor).transpose()?;
    let sockets = settings.server.listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
    let admin_socket = settings.server.admin.map(bind).transpose()?;

    let log = Log::start(&lent.meter);
    log.configure(settings.log, settings.store.secret);
    reload::warn(&generation.warnings);
    let threats = Arc::new(Threats::new(&lent.meter));
    let pipeline = Pipeline::new(1, generation, &[], &lent)?;
    let host = Arc::new(Host::new(lent, log.clone(), threats, pipeline));

    let (drain, draining) = channel::channel(false);
    let mut app = HttpProxy::new(Proxy { host: Arc::clone(&host) }, Arc::new(engine(&settings.server, &settings)));
    app.handle_init_modules();
    let proxy = Listener::new(Arc::clone(&host), Arc::new(app), Room::AsConfigured, tls, draining.clone());
    let reloader = Arc::new(Reloader::new(Arc::clone(&host), deps, source.clone()));
    let is_draining = Arc::new(AtomicBool::new(false));
    if let Some((socket, address)) = admin_socket {
        let token = settings.server.admin_token.clone();
        let app = Admin::new(Arc::clone(&host), Arc::clone(&reloader), address, token, Arc::clone(&is_draining));
        // The admin listener answers to the very end, so it never learns of the drain.
        let (keep, never) = channel::channel(false);
        let room = Room::Fixed(admin::MAX_CONNECTIONS);
        let listener = Listener::new(Arc::clone(&host), Arc::new(app), room, None, never);
        tokio::spawn(async move {
            let _keep = keep;
            listener.accept(socket).await;
        });
        tracing::info!(target: "listener", listener = "admin", addr = %address, "listening");
    }
    tokio::spawn(upstream::probe(Arc::clone(&host)));
    let _watching = watch::start(&source, &reloader, settings.server.watch);
    for (socket, address) in sockets {
        tokio::spawn(Arc::clone(&proxy).accept(socket));
        tracing::info!(
            target: "listener",
            listener = "proxy",
            addr = %address,
            upstream = settings.upstream.url,
            version = crate::build::VERSION,
            "listening"
        );
    }
    until_told_to_stop(&reloader).await.map_err(|error| format!("cannot wait for signals: {error}"))?;

    is_draining.store(true, Ordering::Relaxed);
    tracing::info!(target: "listener", in_flight = host.in_flight.load(Ordering::Relaxed), "draining");
    // The receivers live as long as the listeners, which outlive this.
    let _ = drain.send(true);
    let left = drained(&host, &proxy, host.pipeline().settings.server.drain_timeout).await;
    tracing::info!(target: "listener", in_flight = left, "stopped");
    log.flush(LAST_LINES);
    Ok(())
}

fn bind(address: std::net::SocketAddr) -> Result<(TcpListener, std::net::SocketAddr), String> {
    let bound = listener::bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    match bound {
        Ok((address, socket)) => Ok((socket, address)),
        Err(error) => Err(format!("cannot listen on {address}: {error}")),
    }
}

fn engine(server: &config::settings::Server, settings: &config::Settings) -> ServerConf {
    ServerConf {
        threads: server.workers,
        // The engine multiplies by its threads; the setting counts connections in all.
        upstream_keepalive_pool_size: settings.upstream.idle_connections.div_ceil(server.workers.max(1)),
        max_retries: crate::proxy::MAX_ATTEMPTS,
        ..ServerConf::default()
    }
}

/// Returns at SIGTERM or SIGINT; reloads at SIGHUP.
async fn until_told_to_stop(reloader: &Arc<Reloader>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                // What was wrong is logged by the reload itself.
                let _ = reloader.reload().await;
            }
        }
    }
}

/// Waits until no exchange and no connection is left, at most `patience`; the exchanges that were.
async fn drained(host: &Host, proxy: &Listener<HttpProxy<Proxy>>, patience: Duration) -> usize {
    let began = Instant::now();
    tokio::time::sleep(DRAIN_NOTICE).await;
    loop {
        let left = host.in_flight.load(Ordering::Relaxed);
        if (left == 0 && proxy.open_connections() == 0) || began.elapsed() >= patience {
            return left;
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}
