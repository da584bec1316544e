//! A master and its replicas, watched by sentinels.

use super::client::Resp;
use super::server::Redis;
use crate::deadline::within_for;

/// How the master is called.
const MASTER: &str = "testkit";

/// Time without an answer after which a sentinel takes a server for down, in milliseconds.
const DOWN_AFTER_MS: &str = "1000";

/// A master, replicas and sentinels. All end when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinels {
    /// A master, a replica and two sentinels of which one is enough to fail over.
    pub async fn start() -> Self {
        Self::of(1, 2, 1).await
    }

    /// Starts them and waits until each sentinel knows all others; `quorum` of them take a server for down.
    pub async fn of(replicas: usize, count: usize, quorum: usize) -> Self {
        let master = Redis::start().await;
        let mut servers = Vec::new();
        for _ in 0..replicas {
            servers.push(Redis::setup().replica_of(&master).start().await);
        }
        servers.insert(0, master);
        let mut sentinels = Vec::new();
        for _ in 0..count {
            let monitored = format!("monitor {MASTER} 127.0.0.1 {} {quorum}", servers[0].address().port());
            let sentinel = Redis::setup().sentinel().config("sentinel", &monitored);
            let sentinel = sentinel.config("sentinel", &format!("down-after-milliseconds {MASTER} {DOWN_AFTER_MS}"));
            sentinels.push(sentinel.config("sentinel", &format!("failover-timeout {MASTER} 5000")).start().await);
        }
        let started = Self { servers, sentinels };
        for sentinel in &started.sentinels {
            for (field, others) in [("num-slaves", replicas), ("num-other-sentinels", count - 1)] {
                let knows = |master: &Resp| value_of(master, field) == Some(others.to_string());
                sentinel.wait("a sentinel to know the others", &["SENTINEL", "MASTER", MASTER], knows).await;
            }
        }
        for replica in &started.servers[1..] {
            let follows = |info: &Resp| info.text().contains("master_link_status:up");
            replica.wait("a replica to follow", &["INFO", "replication"], follows).await;
        }
        started
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
        loop {
            let now = self.named(0).await;
            if now != before {
                return now;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Kills the master, and waits until a sentinel names another one, which they have agreed on by themselves.
    pub async fn lose_master(&mut self) {
        let before = self.named(0).await;
        for server in &mut self.servers {
            if server.address().port() == before {
                server.kill().await;
            }
        }
        // An election that nobody wins is repeated after ten seconds.
        let named = async {
            while self.named(0).await == before {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        within_for(std::time::Duration::from_secs(60), "a sentinel to name the new master", named).await;
    }

    /// The same, as far as the sentinels are ready for it.
    pub async fn try_depose(&self) -> bool {
        self.sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]).await.text() == "OK"
    }

    /// The server that a sentinel names, as far as it lives.
    pub async fn master(&self) -> Option<&Redis> {
        let port = self.named(0).await;
        self.servers.iter().find(|server| server.address().port() == port)
    }

    /// The servers.
    pub fn servers_mut(&mut self) -> &mut [Redis] {
        &mut self.servers
    }

    /// The port of the master that a sentinel names.
    pub async fn named(&self, sentinel: usize) -> u16 {
        let named = self.sentinels[sentinel].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await;
        named.parts().last().expect("an address").text().parse().expect("a port")
    }

    /// Kills the master and waits until the replica is the master and every sentinel says so.
    pub async fn fail_over(&mut self) {
        self.servers[0].kill().await;
        let port = self.servers[1].address().port().to_string();
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

/// Of a list of names and values.
fn value_of(answer: &Resp, name: &str) -> Option<String> {
    let parts = answer.parts();
    let at = parts.iter().step_by(2).position(|part| part.text() == name)?;
    Some(parts.get(at * 2 + 1)?.text())
}
