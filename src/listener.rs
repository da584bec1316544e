//! The listener: accepts connections, bounds their number, and serves exchanges on them until they end.
//!
//! The engine's own listener is not used: it binds late and panics when it cannot, has no bound on connections, no
//! deadline that spans a head, and no wrapper below its parser.

mod crowd;
pub mod descriptors;
mod frames;
mod head_clock;
mod http1;
mod http2;
mod live;
mod open_streams;
mod preface;
mod residents;
mod socket;
pub mod tls;
mod untold;

use crate::config::settings::Server;
use crate::downstream::App;
use crate::downstream::connection::Connection;
use crate::downstream::http1::{Bounds, First, Http1};
use crate::host::Host;
use crate::serve::worker;
use crowd::{Crowd, Full, Limits};
use futures::future::BoxFuture;
use head_clock::HeadClock;
use live::Live;
use open_streams::OpenStreams;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::{ALPN, IO, Ssl};
use preface::Spoken;
use residents::Residents;
use socket::Socket;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Connections the kernel keeps for us while we are busy accepting others.
const BACKLOG: u32 = 1024;
/// Bytes not yet on the wire from which the kernel takes no more; a client that takes so many in `idle_timeout` is
/// seen to take some.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;
/// Pause after the process ran out of file descriptors, so that others can close some.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, ready for an asynchronous runtime.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // Whatever the system's default is, `[::]` and `0.0.0.0` are two addresses and can be listened on together.
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Which limits on connections apply.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    /// Those of `[server]`, as they stand when a connection comes.
    AsConfigured,
    /// This many, whoever comes; one more takes the place of the one that has been idle longest.
    Fixed(usize),
}

/// Everything a connection needs.
pub struct Listener<A> {
    host: Arc<Host>,
    /// One for each worker, which keeps its idle upstream connections.
    apps: Box<[Arc<A>]>,
    room: Room,
    tls: Option<Arc<Acceptor>>,
    crowd: Arc<Crowd>,
    /// Connections that there are file descriptors for.
    descriptors: usize,
    /// Where nobody is refused.
    residents: Option<Arc<Residents>>,
    live: Live,
    /// `true` once the drain has begun.
    draining: watch::Receiver<bool>,
}

impl<A: App> Listener<A> {
    /// Serves `apps`: each worker its own, or all the same.
    pub fn new(
        host: Arc<Host>,
        apps: Vec<Arc<A>>,
        room: Room,
        tls: Option<Arc<Acceptor>>,
        draining: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            apps: apps.into(),
            room,
            tls,
            crowd: Arc::new(Crowd::default()),
            descriptors: descriptors::for_clients(descriptors::granted()),
            residents: match room {
                Room::AsConfigured => None,
                Room::Fixed(room) => Some(Residents::new(room)),
            },
            live: Live::default(),
            draining,
        })
    }

    /// The one of this worker.
    fn app(&self) -> &Arc<A> {
        &self.apps[worker::number() % self.apps.len()]
    }

    /// Ends what is still under way, whatever it is.
    pub fn cut_off(&self) {
        self.live.cut_off();
    }

    /// Connections open at this moment.
    pub fn open_connections(&self) -> usize {
        self.crowd.size()
    }

    /// Accepts until the drain begins.
    pub async fn accept(self: Arc<Self>, socket: TcpListener) {
        let mut draining = self.draining.clone();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = draining.wait_for(|draining| *draining) => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(target: "listener", error = %error, "accepting a connection failed");
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
    }

    /// Takes a connection in, or closes it at once when there are too many.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let pipeline = self.host.pipeline();
        let server = &pipeline.settings.server;
        let address = peer.ip().to_canonical();
        let per_client = match server.max_connections_per_client {
            0 => None,
            _ if pipeline.trust.holds(address) => None,
            each => Some(each),
        };
        let limits = match self.room {
            Room::Fixed(_) => Limits { all: usize::MAX, descriptors: usize::MAX, per_client: None },
            Room::AsConfigured => Limits { all: server.max_connections, descriptors: self.descriptors, per_client },
        };
        let place = match self.crowd.enter(pipeline.trust.key(address), limits) {
            Ok(place) => place,
            Err(Full::Connections) => return self.host.counts.shed_connections.inc(),
            Err(Full::Descriptors) => return self.host.counts.shed_descriptors.inc(),
        };

        tune(&stream);
        let bounds = bounds(server);
        let connection = Arc::new(Connection::new(address, self.tls.is_some()));
        connection.begin_idle(self.host.clock.now());
        let stay = self.residents.as_ref().map(|residents| residents.take_in(Arc::clone(&connection)));
        let listener = Arc::clone(self);
        self.live.spawn(async move {
            let _place = place;
            let served = listener.serve(Socket::new(stream, Arc::clone(&connection)), connection, bounds);
            match stay {
                None => served.await,
                Some(stay) => tokio::select! {
                    () = served => {}
                    () = stay.told_to_leave() => {}
                },
            }
        });
    }

    /// From the first byte to the last. What goes before the first request is boxed and gone by then: a connection lives on.
    async fn serve(&self, socket: Socket, connection: Arc<Connection>, bounds: Bounds) {
        match Box::pin(self.greet(socket, connection, bounds)).await {
            Some(Greeted::Http1(http1)) => http1::serve(self, http1).await,
            Some(Greeted::Http2(served)) => served.await,
            None => {}
        }
    }

    /// Makes a connection of TLS or in clear, and finds out what the client speaks; `None`: it has left, or took too long.
    async fn greet(&self, mut socket: Socket, connection: Arc<Connection>, bounds: Bounds) -> Option<Greeted<'_>> {
        let accepted = Instant::now();
        if let Some(acceptor) = &self.tls {
            // The handshake shares the deadline of the first head.
            let handshake = tokio::time::timeout_at(accepted + bounds.header_timeout, acceptor.tls_handshake(socket));
            let stream = handshake.await.ok()?.ok()?;
            return Some(if stream.selected_alpn_proto() == Some(ALPN::H2) {
                self.http2(stream, accepted, connection, bounds)
            } else {
                self.http1(stream, First::ByteSince(accepted), connection, bounds)
            });
        }
        if let Room::Fixed(_) = self.room {
            return Some(self.http1(socket, First::ByteSince(accepted), connection, bounds));
        }

        // In clear, the client's first bytes say what it speaks.
        let mut draining = self.draining.clone();
        let spoken = tokio::select! {
            biased;
            spoken = preface::recognise(&mut socket, accepted, bounds.header_timeout) => spoken,
            _ = draining.wait_for(|draining| *draining) => None,
        };
        Some(match spoken? {
            Spoken::Http1(began) => self.http1(socket, First::ByteAt(began), connection, bounds),
            Spoken::Http2(began) => self.http2(socket, began, connection, bounds),
        })
    }

    fn http1<S: IO + 'static>(
        &self,
        stream: S,
        first: First,
        connection: Arc<Connection>,
        bounds: Bounds,
    ) -> Greeted<'_> {
        let http1 = Http1::new(Box::new(stream), first, connection, bounds, Arc::clone(&self.host));
        Greeted::Http1(Box::new(http1))
    }

    /// The rest of the preface is due a `header_timeout` after `since`.
    fn http2<S: IO + 'static>(
        &self,
        stream: S,
        since: Instant,
        connection: Arc<Connection>,
        bounds: Bounds,
    ) -> Greeted<'_> {
        let open = Arc::new(OpenStreams::default());
        let host = Arc::clone(&self.host);
        let clocked = HeadClock::new(stream, bounds.header_timeout, connection.peer, host, Arc::clone(&open));
        Greeted::Http2(Box::pin(http2::serve(self, Box::new(clocked), open, connection, since, bounds)))
    }
}

/// A connection whose client has said what it speaks.
enum Greeted<'l> {
    Http1(Box<Http1>),
    Http2(BoxFuture<'l, ()>),
}

/// Sets what a client's socket does with bytes on their way out; one that refuses an option still works.
fn tune(stream: &TcpStream) {
    // Small answers must not wait for a delayed ACK.
    let _ = stream.set_nodelay(true);
    // Else megabytes may wait in the kernel, and a client that takes them slowly looks like one that takes nothing.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

fn bounds(server: &Server) -> Bounds {
    Bounds {
        header_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        max_header_bytes: server.max_header_bytes,
        min_body_rate: server.min_body_rate,
    }
}
