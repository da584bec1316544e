//! A TCP relay that breaks what passes through it.

use crate::origin::listen;
use crate::task::AbortOnDrop;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the relay does with bytes. A change takes effect at once, on open connections too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each read in either direction goes on this much later.
    Delay(Duration),
    /// Each read in either direction goes on byte by byte, with this pause behind each.
    Trickle(Duration),
    /// Connections are taken and bytes are kept back until the fault is lifted.
    Stall,
    /// The same of connections from this address alone: whoever uses it is cut off, and nobody else.
    StallFrom(IpAddr),
    /// Bytes from this address are kept back; those to it pass. It is told everything, and nobody hears it.
    MuteFrom(IpAddr),
    /// Connections are taken, and what passes in either direction is gone for good.
    Blackhole,
    /// Of what comes back from the target on a connection, the next piece is gone; what follows passes.
    SwallowResponse,
    /// A connection is reset once this many bytes went towards the target.
    CutRequest(u64),
    /// A connection is reset once this many bytes came back from the target.
    CutResponse(u64),
    /// Open connections are reset; new ones are reset when they are accepted.
    Reset,
    /// Open connections are reset; connecting is refused by the system.
    Refuse,
}

/// Relays to one target. Stops when dropped, with all its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    accepted: watch::Receiver<usize>,
    /// The newest fault the accepting side has taken note of.
    heeded: watch::Receiver<Fault>,
    _task: AbortOnDrop,
}

impl Relay {
    /// To `target`, without a fault. Needs a runtime.
    pub fn to(target: SocketAddr) -> Self {
        let (listener, address) = listen();
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let (count, accepted) = watch::channel(0);
        let (heed, heeded) = watch::channel(Fault::None);
        let task = AbortOnDrop::spawn(run(listener, address, target, fault.subscribe(), count, heed));
        Self { address, fault, accepted, heeded, _task: task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Changes the fault; once this returns, new connections meet it.
    pub async fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        let mut heeded = self.heeded.clone();
        let heeds = heeded.wait_for(|heeded| *heeded == fault);
        crate::within("the relay to take note of its fault", heeds).await.expect("a running relay");
    }
}

async fn run(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    count: watch::Sender<usize>,
    heed: watch::Sender<Fault>,
) {
    let mut listener = Some(listener);
    // A bound socket that does not listen keeps the port ours while the system refuses connections to it.
    let mut reserved = None;
    let mut connections = JoinSet::new();
    loop {
        let now = *fault.borrow_and_update();
        match (now, &listener) {
            (Fault::Refuse, Some(_)) => {
                listener = None;
                reserved = Some(bind(address).expect("a port that was ours a moment ago"));
            }
            (Fault::Refuse, None) | (_, Some(_)) => {}
            (_, None) => {
                let socket = reserved.take().expect("the port is reserved while nothing listens");
                listener = Some(socket.listen(1024).expect("a bound socket can listen"));
            }
        }

        heed.send_replace(now);
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };

        tokio::select! {
            accepted = accept => {
                let Ok((client, peer)) = accepted else { continue };
                count.send_modify(|count| *count += 1);
                while connections.try_join_next().is_some() {}
                connections.spawn(relay(client, peer.ip(), target, fault.clone()));
            }
            changed = fault.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Relays one connection until both sides have ended it, or one side or a fault breaks it.
async fn relay(
    mut client: TcpStream,
    peer: IpAddr,
    target: SocketAddr,
    mut fault: watch::Receiver<Fault>,
) -> io::Result<()> {
    if resets(*fault.borrow_and_update()) {
        return client.set_zero_linger();
    }
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;

    let relayed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = pump(from_client, to_server, Direction::Request, peer, fault.clone());
        let responses = pump(from_server, to_client, Direction::Response, peer, fault.clone());
        tokio::select! {
            ended = async { tokio::try_join!(requests, responses) } => ended.map(drop),
            _ = fault.wait_for(|fault| resets(*fault)) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };

    if relayed.is_err() {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    relayed
}

fn resets(fault: Fault) -> bool {
    matches!(fault, Fault::Reset | Fault::Refuse)
}

fn stalls(fault: Fault, direction: Direction, peer: IpAddr) -> bool {
    let is_muted = direction == Direction::Request && fault == Fault::MuteFrom(peer);
    fault == Fault::Stall || fault == Fault::StallFrom(peer) || is_muted
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// One direction, up to its end; an error when the connection has to be reset.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    peer: IpAddr,
    mut fault: watch::Receiver<Fault>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut sent = 0;
    let mut swallowed = false;

    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }

        let mut piece = &buffer[..read];
        let mut waited = Duration::ZERO;
        let mut is_cut = false;

        loop {
            let now = *fault.borrow_and_update();
            match (now, direction) {
                (now, direction) if stalls(now, direction, peer) => {
                    if fault.changed().await.is_err() {
                        return Ok(());
                    }
                }
                (Fault::Blackhole, _) => {
                    piece = &[];
                    break;
                }
                (Fault::SwallowResponse, Direction::Response) if !swallowed => {
                    swallowed = true;
                    piece = &[];
                    break;
                }
                (Fault::Trickle(pause), _) if piece.len() > 1 => {
                    to.write_all(&piece[..1]).await?;
                    sent += 1;
                    piece = &piece[1..];
                    tokio::time::sleep(pause).await;
                    continue;
                }
                (Fault::Delay(delay), _) if waited < delay => {
                    tokio::time::sleep(delay).await;
                    waited = delay;
                }
                (Fault::CutRequest(limit), Direction::Request) | (Fault::CutResponse(limit), Direction::Response) => {
                    let left = usize::try_from(limit.saturating_sub(sent)).unwrap_or(usize::MAX);
                    is_cut = left < piece.len();
                    piece = &piece[..piece.len().min(left)];
                    break;
                }
                _ => break,
            }
        }

        to.write_all(piece).await?;
        sent += piece.len() as u64;
        if is_cut || cut_is_due(*fault.borrow(), direction, sent) {
            to.flush().await?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

fn cut_is_due(fault: Fault, direction: Direction, sent: u64) -> bool {
    match fault {
        Fault::CutRequest(limit) => direction == Direction::Request && sent >= limit,
        Fault::CutResponse(limit) => direction == Direction::Response && sent >= limit,
        _ => false,
    }
}
