//! A scripted HTTP/2 origin: cleartext with prior knowledge, or TLS with ALPN `h2`.

mod away;
mod reply;
mod serve;

pub use reply::H2Reply;
pub(crate) use serve::map as header_map;

use crate::certs::{Alpn, Certs};
use crate::origin::{Counts, Received, State, listen};
use crate::task::AbortOnDrop;
use crate::wire::Io;
use serve::{Script, serve};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What is below HTTP/2.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// TCP, with prior knowledge.
    Cleartext,
    /// TLS with the server certificate of these.
    Tls(&'a Certs),
}

/// An HTTP/2 origin that answers as scripted and remembers every request. Stops when dropped.
#[derive(Debug)]
pub struct H2Origin {
    url: String,
    address: SocketAddr,
    state: Arc<State>,
    _task: AbortOnDrop,
}

impl H2Origin {
    /// Asks `choose` once a whole request, body and trailers included, is there. Needs a runtime.
    pub fn replying(over: Over<'_>, choose: impl Fn(&Received) -> H2Reply + Send + Sync + 'static) -> Self {
        Self::start(over, 0, Script::AtEnd(Arc::new(choose)))
    }

    /// Asks `choose` once a request head is there; the body is read meanwhile.
    pub fn at_head(over: Over<'_>, choose: impl Fn(&Received) -> H2Reply + Send + Sync + 'static) -> Self {
        Self::start(over, 0, Script::AtHead(Arc::new(choose)))
    }

    /// Says REFUSED_STREAM to the heads that `refuses` names, before their bodies have come; asks `choose` once any other
    /// request is there.
    pub fn picky(
        over: Over<'_>,
        refuses: impl Fn(&Received) -> bool + Send + Sync + 'static,
        choose: impl Fn(&Received) -> H2Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(over, 0, Script::Picky { refuses: Arc::new(refuses), choose: Arc::new(choose) })
    }

    /// The first `connections` answer every stream with a GOAWAY below it: it was not processed (RFC 9113
    /// section 6.8). Such a request is a hit without a method. Later connections are served by `choose`.
    pub fn going_away(
        over: Over<'_>,
        connections: usize,
        choose: impl Fn(&Received) -> H2Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(over, connections, Script::AtEnd(Arc::new(choose)))
    }

    fn start(over: Over<'_>, away: usize, script: Script) -> Self {
        let (listener, address) = listen();
        let (scheme, tls) = match over {
            Over::Cleartext => ("h2c", None),
            Over::Tls(certs) => ("https", Some(TlsAcceptor::from(certs.server_config(&[Alpn::H2])))),
        };
        let state = Arc::new(State::default());
        let task = AbortOnDrop::spawn(accept(listener, tls, away, script, Arc::clone(&state)));
        Self { url: format!("{scheme}://{address}"), address, state, _task: task }
    }

    /// As `[upstream] url` wants it: `h2c://…` or `https://…`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Request heads so far.
    pub fn hits(&self) -> usize {
        self.state.counts().hits
    }

    /// Everything counted so far; `aborted` counts streams.
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

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, away: usize, script: Script, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        state.count(|counts| (counts.connections, counts.open) = (counts.connections + 1, counts.open + 1));
        let number = state.counts().connections;
        let (tls, script, state) = (tls.clone(), script.clone(), Arc::clone(&state));
        connections.spawn(async move {
            // How a connection fails is what the other side is tested for; here it only ends.
            match open(stream, tls).await {
                Ok(io) if number <= away => drop(away::refuse_all(io, number, &state).await),
                Ok(io) => serve(io, number, &script, &state).await,
                Err(_) => {}
            }
            state.count(|counts| counts.open -= 1);
        });
    }
}

async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Io>> {
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.accept(stream).await?),
    })
}
