//! A master and its replicas, watched by sentinels.

use super::client::Resp;
use super::server::{LOOK_AGAIN, Redis, RedisSetup};
use crate::deadline::within_for;
use crate::relay::{Fault, Relay};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How the master is called.
const MASTER: &str = "testkit";

/// Time without an answer after which a sentinel takes a server for down, in milliseconds.
const DOWN_AFTER_MS: &str = "1000";

/// What servers and sentinels connect from, unlike their clients.
const AMONG_THEMSELVES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A master, replicas and sentinels. All end when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: Vec<Redis>,
    /// By which everybody knows the servers, where they can be cut off; in their order.
    relays: Vec<Relay>,
    sentinels: Vec<Redis>,
}

impl RedisSentinels {
    /// A master, a replica and two sentinels of which one is enough to fail over.
    pub async fn start() -> Self {
        Self::of(1, 2, 1).await
    }

    /// Starts them and waits until each sentinel knows all others; `quorum` of them take a server for down.
    pub async fn of(replicas: usize, count: usize, quorum: usize) -> Self {
        let servers = servers(1 + replicas).await;
        Self { servers, relays: Vec::new(), sentinels: Vec::new() }.watched(count, quorum).await
    }

    /// The same with servers that can be cut off from each other.
    pub async fn that_can_part(replicas: usize, count: usize, quorum: usize) -> Self {
        let servers = servers(1 + replicas).await;
        let relays: Vec<Relay> = servers.iter().map(|server| Relay::to(server.address())).collect();
        for (server, relay) in servers.iter().zip(&relays) {
            let port = relay.address().port().to_string();
            server.command(&["CONFIG", "SET", "replica-announce-port", &port]).await;
        }
        Self { servers, relays, sentinels: Vec::new() }.watched(count, quorum).await
    }

    /// Has all servers follow the first one, and starts sentinels that know everybody.
    async fn watched(mut self, count: usize, quorum: usize) -> Self {
        let port = self.address(0).port().to_string();
        for replica in &self.servers[1..] {
            replica.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        }
        for replica in &self.servers[1..] {
            let follows = |info: &Resp| info.text().contains("master_link_status:up");
            replica.wait("a replica to follow", &["INFO", "replication"], follows).await;
        }

        for _ in 0..count {
            let sentinel = among_themselves().sentinel().config("sentinel", "announce-ip 127.0.0.1");
            let sentinel = sentinel.config("sentinel", &format!("monitor {MASTER} 127.0.0.1 {port} {quorum}"));
            let sentinel = sentinel.config("sentinel", &format!("down-after-milliseconds {MASTER} {DOWN_AFTER_MS}"));
            let sentinel = sentinel.config("sentinel", &format!("failover-timeout {MASTER} 5000"));
            self.sentinels.push(sentinel.start().await);
        }
        for sentinel in &self.sentinels {
            for (field, others) in [("num-slaves", self.servers.len() - 1), ("num-other-sentinels", count - 1)] {
                let knows = |master: &Resp| value_of(master, field) == Some(others.to_string());
                sentinel.wait("a sentinel to know the others", &["SENTINEL", "MASTER", MASTER], knows).await;
            }
        }
        self
    }

    /// Where everybody finds a server.
    fn address(&self, at: usize) -> SocketAddr {
        self.relays.get(at).map_or_else(|| self.servers[at].address(), Relay::address)
    }

    /// What `[store] url` says to use them.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        format!("redis+sentinel://{}/{MASTER}", addresses.join(","))
    }

    /// The master, and those that are its replicas or were the master.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Has another server become the master while the old one lives, and gives its port as soon as a sentinel names it.
    pub async fn depose(&self) -> u16 {
        let before = self.named(0).await;
        let told = self.sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]).await;
        assert_eq!(told.text(), "OK");
        self.another_than(before).await
    }

    /// Kills the master, and waits until a sentinel names another one, which they have agreed on by themselves.
    pub async fn lose_master(&mut self) {
        let before = self.named(0).await;
        if let Some(at) = self.server_at(before) {
            self.servers[at].kill().await;
        }
        self.another_than(before).await;
    }

    /// Halts the master, and waits likewise. It takes itself for the master when it goes on.
    pub async fn freeze_master(&self) -> &Redis {
        let before = self.named(0).await;
        let at = self.server_at(before).expect("one of the servers");
        self.servers[at].stop();
        self.another_than(before).await;
        &self.servers[at]
    }

    /// Cuts the master off from replicas and sentinels, though not from their clients, and waits likewise; gives the relay
    /// that does it.
    pub async fn cut_off_master(&self) -> &Relay {
        let (before, relay) = self.way_to_master().await;
        relay.set(Fault::StallFrom(AMONG_THEMSELVES)).await;
        self.another_than(before).await;
        relay
    }

    /// The same, but that for so long the replicas get everything first, and nobody hears them; and that the sentinels take so
    /// long to notice.
    pub async fn cut_off_unheard(&self, unheard: Duration, unnoticed: Duration) -> &Relay {
        let (before, relay) = self.way_to_master().await;
        self.set("down-after-milliseconds", "60000").await;
        relay.set(Fault::MuteFrom(AMONG_THEMSELVES)).await;
        tokio::time::sleep(unheard).await;
        relay.set(Fault::StallFrom(AMONG_THEMSELVES)).await;
        tokio::time::sleep(unnoticed).await;
        self.set("down-after-milliseconds", DOWN_AFTER_MS).await;
        self.another_than(before).await;
        relay
    }

    /// Has all sentinels take another setting for the master.
    async fn set(&self, name: &str, value: &str) {
        for sentinel in &self.sentinels {
            let told = sentinel.command(&["SENTINEL", "SET", MASTER, name, value]).await;
            assert_eq!(told.text(), "OK");
        }
    }

    /// The port of the master, and the relay by which the others know it.
    async fn way_to_master(&self) -> (u16, &Relay) {
        let port = self.named(0).await;
        let at = self.server_at(port).expect("one of the servers");
        (port, self.relays.get(at).expect("servers that can part"))
    }

    /// Waits until a sentinel names another master.
    async fn another_than(&self, before: u16) -> u16 {
        // An election that nobody wins is repeated after ten seconds.
        let named = async {
            loop {
                let now = self.named(0).await;
                if now != before {
                    return now;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within_for(Duration::from_secs(60), "a sentinel to name another master", named).await
    }

    fn server_at(&self, port: u16) -> Option<usize> {
        (0..self.servers.len()).find(|at| self.address(*at).port() == port)
    }

    /// The same, as far as the sentinels are ready for it.
    pub async fn try_depose(&self) -> bool {
        self.sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]).await == Resp::Simple("OK".to_owned())
    }

    /// The server that a sentinel names, as far as it lives.
    pub async fn master(&self) -> Option<&Redis> {
        let port = self.named(0).await;
        self.server_at(port).map(|at| &self.servers[at])
    }

    /// The port of the master that a sentinel names.
    pub async fn named(&self, sentinel: usize) -> u16 {
        let named = self.sentinels[sentinel].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await;
        named.parts().last().expect("an address").text().parse().expect("a port")
    }

    /// Kills the master and waits until the replica is the master and every sentinel says so.
    pub async fn fail_over(&mut self) {
        self.servers[0].kill().await;
        let port = self.address(1).port().to_string();
        // Told to, a sentinel waits neither for the master to count as down nor for the other to agree.
        let begun = |told: &Resp| match told {
            Resp::Error(why) => why.starts_with("INPROG"),
            told => told.text() == "OK",
        };
        self.sentinels[0].wait("the failover to begin", &["SENTINEL", "FAILOVER", MASTER], begun).await;
        for sentinel in &self.sentinels {
            let names_it = |named: &Resp| named.parts().last().map(Resp::text).as_deref() == Some(&port);
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
            sentinel.wait("a sentinel to name the new master", &question, names_it).await;
        }
        let is_master = |info: &Resp| info.text().contains("role:master");
        self.servers[1].wait("the replica to be the master", &["INFO", "replication"], is_master).await;
        self.servers.swap(0, 1);
    }
}

async fn servers(count: usize) -> Vec<Redis> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(among_themselves().start().await);
    }
    servers
}

fn among_themselves() -> RedisSetup {
    // They would be looked for where they come from.
    let source = AMONG_THEMSELVES.to_string();
    Redis::setup().config("bind-source-addr", &source).config("replica-announce-ip", "127.0.0.1")
}

/// Of a list of names and values.
fn value_of(answer: &Resp, name: &str) -> Option<String> {
    let parts = answer.parts();
    let at = parts.iter().step_by(2).position(|part| part.text() == name)?;
    Some(parts.get(at * 2 + 1)?.text())
}
