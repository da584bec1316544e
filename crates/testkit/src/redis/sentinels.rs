//! A master and a replica, watched by sentinels.

use super::client::Resp;
use super::server::Redis;

/// How the master is called.
const MASTER: &str = "testkit";

/// Time without an answer after which a sentinel takes a server for down, in milliseconds.
const DOWN_AFTER_MS: &str = "1000";

/// A master, a replica and two sentinels of which one is enough to fail over. All end when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: [Redis; 2],
    sentinels: Vec<Redis>,
}

impl RedisSentinels {
    /// Starts them and waits until each sentinel knows all others.
    pub async fn start() -> Self {
        let master = Redis::start().await;
        let replica = Redis::setup().replica_of(&master).start().await;
        let mut sentinels = Vec::new();
        for _ in 0..2 {
            let monitored = format!("monitor {MASTER} 127.0.0.1 {} 1", master.address().port());
            let sentinel = Redis::setup().sentinel().config("sentinel", &monitored);
            let sentinel = sentinel.config("sentinel", &format!("down-after-milliseconds {MASTER} {DOWN_AFTER_MS}"));
            sentinels.push(sentinel.config("sentinel", &format!("failover-timeout {MASTER} 5000")).start().await);
        }
        let started = Self { servers: [master, replica], sentinels };
        for sentinel in &started.sentinels {
            for field in ["num-slaves", "num-other-sentinels"] {
                let knows_one = |master: &Resp| value_of(master, field).as_deref() == Some("1");
                sentinel.wait("a sentinel to know the others", &["SENTINEL", "MASTER", MASTER], knows_one).await;
            }
        }
        let follows = |info: &Resp| info.text().contains("master_link_status:up");
        started.servers[1].wait("the replica to follow", &["INFO", "replication"], follows).await;
        started
    }

    /// What `[store] url` says to use them.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        format!("redis+sentinel://{}/{MASTER}", addresses.join(","))
    }

    /// The master, and the one that is its replica or was the master.
    pub fn servers(&self) -> &[Redis; 2] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
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
