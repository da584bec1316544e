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

    /// The server that was the master, and the one that was its replica, when they started.
    pub fn servers(&self) -> &[Redis; 2] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Makes the replica the master and waits until every sentinel says so and the former master follows it.
    pub async fn fail_over(&mut self) {
        let [former, next] = &self.servers;
        let (port, told) =
            (next.address().port().to_string(), self.sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]));
        assert_eq!(told.await.text(), "OK");
        for sentinel in &self.sentinels {
            let names_it = |named: &Resp| named.parts().last().map(Resp::text).as_deref() == Some(&port);
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
            sentinel.wait("a sentinel to name the new master", &question, names_it).await;
        }
        let is = |role: &'static str| move |info: &Resp| info.text().contains(role);
        next.wait("the replica to be the master", &["INFO", "replication"], is("role:master")).await;
        former.wait("the former master to follow", &["INFO", "replication"], is("role:slave")).await;
        self.servers.swap(0, 1);
    }
}

/// Of a list of names and values.
fn value_of(answer: &Resp, name: &str) -> Option<String> {
    let parts = answer.parts();
    let at = parts.iter().step_by(2).position(|part| part.text() == name)?;
    Some(parts.get(at * 2 + 1)?.text())
}
