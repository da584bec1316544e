//! A cluster of three masters.

use super::client::Resp;
use super::server::Redis;

/// First and last slot of each master.
const RANGES: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// Three masters without replicas. All end when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each says that the cluster is whole.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for (first, last) in RANGES {
            let node = Redis::setup().cluster().config("cluster-node-timeout", "2000").start().await;
            assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await.text(), "OK");
            nodes.push(node);
        }
        for (at, node) in nodes.iter().enumerate() {
            let epoch = (at + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
        for node in &nodes[1..] {
            let (port, bus) = (node.address().port().to_string(), node.bus_port().to_string());
            assert_eq!(nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await.text(), "OK");
        }
        for node in &nodes {
            let whole =
                |info: &Resp| info.text().contains("cluster_state:ok") && info.text().contains("cluster_size:3");
            node.wait("the cluster to be whole", &["CLUSTER", "INFO"], whole).await;
        }
        Self { nodes }
    }

    /// What `[store] url` says to use it.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// In the order of their slots.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// In the order of their slots.
    pub fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }
}
