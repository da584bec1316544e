//! A cluster of three masters, with a replica each where that is asked for.

use super::client::Resp;
use super::server::{Redis, RedisSetup};
use crate::deadline::within_for;
use crate::relay::{Fault, Relay};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// First and last slot of each master.
const RANGES: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// Time without an answer after which a node takes another one for failed, in milliseconds.
const NODE_TIMEOUT_MS: &str = "2000";

/// Three masters, and as many replicas or none. All end when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// Masters as they were at first in the order of their slots, then their replicas in the same order.
    nodes: Vec<Redis>,
    /// By which nodes reach each other, where they can be cut off; in their order.
    buses: Vec<Relay>,
}

impl RedisCluster {
    /// Starts three masters without replicas and waits until each says that the cluster is whole.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in RANGES {
            nodes.push(setup().start().await);
        }
        Self { nodes, buses: Vec::new() }.joined().await
    }

    /// Starts three masters with a replica each, which can be cut off from each other, and waits until all is whole.
    pub async fn with_replicas() -> Self {
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for at in 0..2 * RANGES.len() {
            let node = setup().config("bind-source-addr", &source_of(at).to_string());
            let node = node.config("cluster-announce-ip", "127.0.0.1").start().await;
            let bus = Relay::to(SocketAddr::new(node.address().ip(), node.bus_port()));
            let port = bus.address().port().to_string();
            node.command(&["CONFIG", "SET", "cluster-announce-bus-port", &port]).await;
            nodes.push(node);
            buses.push(bus);
        }
        Self { nodes, buses }.joined().await
    }

    /// Has the nodes meet, the masters take their slots and the others follow them.
    async fn joined(self) -> Self {
        for (at, (node, (first, last))) in self.nodes.iter().zip(RANGES).enumerate() {
            assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await.text(), "OK");
            let epoch = (at + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let bus = self.buses.get(at).map_or_else(|| node.bus_port(), |bus| bus.address().port());
            let (port, bus) = (node.address().port().to_string(), bus.to_string());
            assert_eq!(self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await.text(), "OK");
        }

        let all = format!("cluster_known_nodes:{}\r", self.nodes.len());
        let whole = |info: &Resp| {
            let info = info.text();
            ["cluster_state:ok", "cluster_size:3", &all].iter().all(|said| info.contains(said))
        };
        for node in &self.nodes {
            node.wait("the cluster to be whole", &["CLUSTER", "INFO"], whole).await;
        }
        for (at, replica) in self.nodes.iter().enumerate().skip(RANGES.len()) {
            let master = self.id(at - RANGES.len()).await;
            replica.wait("the master to be known", &["CLUSTER", "REPLICATE", &master], |said| *said == ok()).await;
            let follows = |info: &Resp| info.text().contains("master_link_status:up");
            replica.wait("a replica to follow", &["INFO", "replication"], follows).await;
        }
        self
    }

    /// What `[store] url` says to use it.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The masters of the start, in the order of their slots, and their replicas.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The same.
    pub fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// The master of the start that has the lowest address.
    pub fn lowest(&self) -> usize {
        (0..RANGES.len()).min_by_key(|at| self.nodes[*at].address()).expect("three")
    }

    async fn id(&self, at: usize) -> String {
        self.nodes[at].command(&["CLUSTER", "MYID"]).await.text()
    }

    /// Cuts a master off from all other nodes, though not from their clients, and waits until its replica has taken over.
    pub async fn isolate(&self, at: usize) {
        for (bus, relay) in self.buses.iter().enumerate() {
            let fault = if bus == at { Fault::Stall } else { Fault::StallFrom(source_of(at)) };
            relay.set(fault).await;
        }
        self.taken_over(at).await;
    }

    /// Ends that.
    pub async fn reunite(&self) {
        for relay in &self.buses {
            relay.set(Fault::None).await;
        }
    }

    /// Has master and replica of a part change places in order, if they are ready for it.
    pub async fn try_swap(&self, part: usize) {
        for node in [part, RANGES.len() + part] {
            // Whoever is the master refuses.
            self.nodes[node].command(&["CLUSTER", "FAILOVER"]).await;
        }
    }

    /// Waits until the replica of this master has become one.
    pub async fn taken_over(&self, at: usize) {
        let replica = &self.nodes[RANGES.len() + at];
        let is_master = |info: &Resp| info.text().contains("role:master");
        replica.wait("the replica to take over", &["INFO", "replication"], is_master).await;
    }

    /// Moves so many slots with what is in them from one master to another, while both serve, as operators do: with
    /// `redis-cli`.
    pub async fn reshard(&self, slots: u32, from: usize, to: usize) {
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "reshard", &self.nodes[from].address().to_string(), "--cluster-yes"]);
        command.args(["--cluster-from", &self.id(from).await, "--cluster-to", &self.id(to).await]);
        command.args(["--cluster-slots", &slots.to_string()]).stdin(Stdio::null());
        let ran = within_for(Duration::from_secs(120), "redis-cli to move slots", command.output()).await;
        let output = ran.expect("redis-cli is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// A node that comes back has what it had.
fn setup() -> RedisSetup {
    Redis::setup().cluster().appendonly(true).config("cluster-node-timeout", NODE_TIMEOUT_MS)
}

/// What a node connects from.
fn source_of(at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(at + 1).expect("few nodes")))
}

fn ok() -> Resp {
    Resp::Simple("OK".to_owned())
}
