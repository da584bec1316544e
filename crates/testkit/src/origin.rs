//! A scripted origin: HTTP/1.1 on a raw socket.

mod plan;
mod received;
mod reply;
mod serve;
mod state;

pub use received::Received;
pub use reply::{Cut, Reply, Then};
pub use state::Counts;
pub(crate) use state::State;

use crate::certs::{Alpn, Certs};
use crate::task::AbortOnDrop;
use crate::wire::Wire;
use bytes::Bytes;
use serve::{Script, serve};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// An origin that answers as scripted and remembers every request. Stops when dropped.
#[derive(Debug)]
pub struct Origin {
    url: String,
    address: Option<SocketAddr>,
    state: Arc<State>,
    _task: AbortOnDrop,
    _dir: Option<TempDir>,
}

impl Origin {
    /// Answers everything with `status` and `body`. Needs a runtime, like all constructors.
    pub fn returning(status: u16, body: impl Into<Bytes>) -> Self {
        let reply = Reply::new(status).body(body);
        Self::replying(move |_| reply.clone())
    }

    /// Asks `choose` once a whole request, body included, is there.
    pub fn replying(choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::over_tcp(Script::AtEnd(Arc::new(choose)), None)
    }

    /// Asks `choose` once a request head is there, before any of its body is read.
    pub fn at_head(choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::over_tcp(Script::AtHead(Arc::new(choose)), None)
    }

    /// [`Origin::replying`] over TLS, HTTP/1.1 by ALPN, with the server certificate of `certs`.
    pub fn tls(certs: &Certs, choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let acceptor = TlsAcceptor::from(certs.server_config(&[Alpn::Http11]));
        Self::over_tcp(Script::AtEnd(Arc::new(choose)), Some(acceptor))
    }

    /// [`Origin::replying`] on a Unix socket.
    pub fn unix(choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory for the socket");
        let path = dir.path().join("origin.sock");
        let listener = UnixListener::bind(&path).expect("a Unix socket in a directory of our own");
        let url = format!("unix:{}", path.display());
        let origin = Self::start(Listener::Unix(listener), Script::AtEnd(Arc::new(choose)), url, None);
        Self { _dir: Some(dir), ..origin }
    }

    fn over_tcp(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let (listener, address) = listen();
        let scheme = if tls.is_some() { "https" } else { "http" };
        Self::start(Listener::Tcp(listener, tls), script, format!("{scheme}://{address}"), Some(address))
    }

    fn start(listener: Listener, script: Script, url: String, address: Option<SocketAddr>) -> Self {
        let state = Arc::new(State::default());
        let task = AbortOnDrop::spawn(accept(listener, script, Arc::clone(&state)));
        Self { url, address, state, _task: task, _dir: None }
    }

    /// As `[upstream] url` wants it, e.g. `http://127.0.0.1:40001` or `unix:/tmp/x/origin.sock`. The certificate of a
    /// TLS origin names `localhost`, which `server_name` has to say.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where it listens; panics for a Unix socket.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("an origin on TCP")
    }

    /// Complete request heads so far.
    pub fn hits(&self) -> usize {
        self.state.counts().hits
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state.counts().connections
    }

    /// Everything counted so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// The requests so far, in the order of their heads; the newest 20,000.
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests()
    }

    /// The newest request; panics when there is none.
    pub fn last(&self) -> Received {
        self.state.last().expect("a request at the origin")
    }

    /// Waits until `hits` request heads have come.
    pub async fn wait_hits(&self, hits: usize) {
        self.wait(&format!("{hits} request heads at the origin"), |counts| counts.hits >= hits).await;
    }

    /// Waits until the counts satisfy `until`; `what` names that in the panic of a missed deadline.
    pub async fn wait(&self, what: &str, until: impl FnMut(&Counts) -> bool) -> Counts {
        self.state.wait(what, until).await
    }
}

/// A listener on a port of its own.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let address = listener.local_addr().expect("a bound socket has an address");
    (TcpListener::from_std(listener).expect("a runtime to listen on"), address)
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

/// A connection before its handshake.
enum Accepted {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

impl Listener {
    async fn next(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, tls) => Ok(Accepted::Tcp(listener.accept().await?.0, tls.clone())),
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Accepted {
    async fn open(self) -> io::Result<Wire> {
        match self {
            Self::Tcp(stream, tls) => {
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Wire::new(stream)),
                    Some(tls) => Ok(Wire::new(tls.accept(stream).await?)),
                }
            }
            Self::Unix(stream) => Ok(Wire::new(stream)),
        }
    }
}

/// Serves each connection in a task of its own; all of them end with this future.
async fn accept(listener: Listener, script: Script, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok(accepted) = listener.next().await {
        while connections.try_join_next().is_some() {}
        state.count(|counts| (counts.connections, counts.open) = (counts.connections + 1, counts.open + 1));
        let number = state.counts().connections;
        let (state, script) = (Arc::clone(&state), script.clone());
        connections.spawn(async move {
            // A failed handshake is the other side's to report; here it is a connection without requests.
            if let Ok(wire) = accepted.open().await {
                serve(wire, number, &script, &state).await;
            }
            state.count(|counts| counts.open -= 1);
        });
    }
}
