//! Nodes of a cluster, found by key.

use super::connection::Connector;
use super::failure::{Failure, Redirect};
use super::node::{Node, Vetting};
use super::slots::{self, SLOTS};
use super::url::Address;
use parking_lot::Mutex;
use redis::cmd;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The map is asked for once in this time at most: else a node that is away would slow down what others have.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Knows its nodes by asking them, when it must.
pub(super) struct Cluster {
    seeds: Vec<Address>,
    connector: Arc<Connector>,
    limit: Duration,
    vetting: Vetting,
    map: Mutex<Map>,
    /// Held by the one who asks for the map.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Map {
    nodes: BTreeMap<Address, Arc<Node>>,
    /// By slot; empty until the map is known.
    masters: Vec<Option<Member>>,
    outdated: bool,
    asked: Option<Instant>,
}

/// A node and where it is.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) address: Address,
    pub(super) node: Arc<Node>,
}

impl Cluster {
    /// Asks nothing yet.
    pub(super) fn new(seeds: Vec<Address>, connector: Arc<Connector>, limit: Duration, vetting: Vetting) -> Self {
        Self { seeds, connector, limit, vetting, map: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The master that has `key`.
    pub(super) async fn master_of(&self, key: &[u8], deadline: Instant) -> Result<Member, Failure> {
        let slot = slots::slot(key);
        if let Some(member) = self.known(slot) {
            return Ok(member);
        }
        let learned = self.learn(slot, deadline).await;
        // An old map is better than none.
        let known = self.map.lock().master(slot);
        let none = || Failure::Away(format!("no node of the cluster has the slot {slot}"));
        known.ok_or_else(|| learned.err().unwrap_or_else(none))
    }

    /// The master that has `key`, as far as that is known.
    pub(super) fn known_master_of(&self, key: &[u8]) -> Option<Member> {
        self.map.lock().master(slots::slot(key))
    }

    fn known(&self, slot: u16) -> Option<Member> {
        let map = self.map.lock();
        map.master(slot).filter(|_| !map.outdated || map.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY))
    }

    /// Asks one node after the other for the map, unless somebody else has just done so.
    async fn learn(&self, slot: u16, deadline: Instant) -> Result<(), Failure> {
        let late = || Failure::Unreachable("no node of the cluster told its map in time".to_owned());
        let _asking = timeout_at(deadline, self.asking.lock()).await.map_err(|_elapsed| late())?;
        if self.known(slot).is_some() {
            return Ok(());
        }
        self.map.lock().asked = Some(Instant::now());
        let candidates = self.candidates();
        let mut last = late();
        for (asked, member) in candidates.iter().enumerate() {
            // One that does not answer must not take the time of those after it.
            let left = deadline.saturating_duration_since(Instant::now());
            let until = Instant::now() + left / u32::try_from(candidates.len() - asked).unwrap_or(1);
            let answer = member.node.ask(cmd("CLUSTER").arg("SLOTS"), until).await;
            let parsed = answer.and_then(|answer| {
                slots::parse(&answer, &member.address.host).ok_or(Failure::Nonsense("CLUSTER SLOTS is no map"))
            });
            match parsed {
                Ok(ranges) => {
                    self.draw(ranges);
                    return Ok(());
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Nodes that may know the map.
    fn candidates(&self) -> Vec<Member> {
        let mut map = self.map.lock();
        for seed in &self.seeds {
            self.member(&mut map, seed);
        }
        map.nodes.iter().map(|(address, node)| Member { address: address.clone(), node: Arc::clone(node) }).collect()
    }

    fn member(&self, map: &mut Map, address: &Address) -> Member {
        let node = map
            .nodes
            .entry(address.clone())
            .or_insert_with(|| Arc::new(Node::at(address, &self.connector, self.limit, self.vetting)));
        Member { address: address.clone(), node: Arc::clone(node) }
    }

    fn draw(&self, ranges: Vec<slots::Range>) {
        let mut map = self.map.lock();
        // Those that left are forgotten, with their connections.
        let stays =
            |address: &Address| self.seeds.contains(address) || ranges.iter().any(|range| range.master == *address);
        map.nodes.retain(|address, _| stays(address));
        let mut masters = vec![None; SLOTS.into()];
        for slots::Range { first, last, master } in ranges {
            let member = self.member(&mut map, &master);
            masters[first.into()..=last.into()].fill(Some(member));
        }
        map.masters = masters;
        map.outdated = false;
    }

    /// The map is asked for again before it is used again.
    pub(super) fn outdate(&self) {
        self.map.lock().outdated = true;
    }

    /// The node that `from` named for `key`.
    pub(super) fn follow(&self, key: &[u8], redirect: &Redirect, from: &Member) -> Member {
        let host = if redirect.host.is_empty() { from.address.host.clone() } else { redirect.host.clone() };
        let mut map = self.map.lock();
        let member = self.member(&mut map, &Address { host, port: redirect.port });
        if !redirect.once {
            map.outdated = true;
            if let Some(master) = map.masters.get_mut(usize::from(slots::slot(key))) {
                *master = Some(member.clone());
            }
        }
        member
    }

    /// Connects to every master; the first failure there was.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<(), Failure> {
        self.master_of(b"", deadline).await?;
        let connecting = self.members().into_iter().map(|node| async move { node.connect(deadline).await });
        let connected = futures::future::join_all(connecting).await;
        // A refusal says more than a node that is away.
        let refused = connected.iter().find(|connected| matches!(connected, Err(Failure::Refused(_)))).cloned();
        refused.unwrap_or_else(|| connected.into_iter().collect())
    }

    /// Every node known.
    pub(super) fn members(&self) -> Vec<Arc<Node>> {
        self.map.lock().nodes.values().cloned().collect()
    }
}

impl Map {
    fn master(&self, slot: u16) -> Option<Member> {
        self.masters.get(usize::from(slot)).cloned().flatten()
    }
}
