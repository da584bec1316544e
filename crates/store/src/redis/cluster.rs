//! Nodes of a cluster, found by key.

use super::connection::Connector;
use super::failure::{Failure, Redirect};
use super::health::{Change, Health};
use super::node::{Node, Vetting};
use super::recent::{Recent, Rewritten};
use super::script::Call;
use super::slots::{self, SLOTS};
use super::url::Address;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{Value, cmd};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The map is asked for once in this time at most: else a node that is away would slow down what others have.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// While a node of the map fails, the others are asked this often who has taken over, whether anybody asks for its keys or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Nodes that are asked for the map together.
const ASKED_AT_ONCE: usize = 5;
/// How long other nodes are waited for once one has told the map.
const OTHERS: Duration = Duration::from_millis(100);

/// Knows its nodes by asking them, when it must.
pub(super) struct Cluster {
    seeds: Vec<Address>,
    connector: Arc<Connector>,
    limit: Duration,
    vetting: Vetting,
    map: Mutex<Map>,
    /// Held by the one who asks for the map.
    asking: tokio::sync::Mutex<()>,
    /// Somebody asks again and again.
    is_looked_for: AtomicBool,
    /// Of what cannot be asked, as nobody knows who has it.
    pub(super) lost: Health,
}

#[derive(Default)]
struct Map {
    nodes: BTreeMap<Address, Arc<Node>>,
    /// By slot; empty until the map is known.
    masters: Vec<Option<Member>>,
    outdated: bool,
    asked: Option<Instant>,
    /// Rises when slots get another master.
    version: u64,
    /// Nodes that failed lately, the last one last.
    failed: Vec<Address>,
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
        let (map, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        let (is_looked_for, lost) = (AtomicBool::new(false), Health::default());
        Self { seeds, connector, limit, vetting, map, asking, is_looked_for, lost }
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

    /// Asks for the map, unless somebody else has just done so.
    async fn learn(&self, slot: u16, deadline: Instant) -> Result<(), Failure> {
        let _asking = timeout_at(deadline, self.asking.lock()).await.map_err(|_elapsed| late())?;
        if self.known(slot).is_some() {
            return Ok(());
        }
        self.ask(deadline).await
    }

    /// Asks nodes for the map, and believes the one that knows of the latest change.
    async fn ask(&self, deadline: Instant) -> Result<(), Failure> {
        self.map.lock().asked = Some(Instant::now());

        let (mut newest, mut last) = (None, late());
        for members in self.candidates() {
            // One that does not answer must not take the time of those after it.
            let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
            let mut asked: FuturesUnordered<_> = members.iter().map(|member| view_of(member, until)).collect();
            let mut wait = until;
            while let Ok(Some(view)) = timeout_at(wait, asked.next()).await {
                match view {
                    Ok(view) => {
                        wait = wait.min(Instant::now() + OTHERS);
                        newest = newest.max(Some(view));
                    }
                    Err(failure) => last = failure,
                }
            }
            if let Some(View { ranges, .. }) = newest {
                self.draw(ranges);
                return Ok(());
            }
        }
        Err(last)
    }

    /// Nodes that may know the map, to be asked together and one group after the other: some of those that answered when
    /// they were last asked, all others, and those that the file names.
    fn candidates(&self) -> Vec<Vec<Member>> {
        let mut map = self.map.lock();
        let known = map.nodes.iter().map(|(address, node)| Member { address: address.clone(), node: Arc::clone(node) });
        let (mut failed, mut sound): (Vec<_>, Vec<_>) = known.partition(|member| map.failed.contains(&member.address));
        let rest = sound.split_off(sound.len().min(ASKED_AT_ONCE));
        failed.splice(..0, rest);
        let seeds: Vec<Member> = self.seeds.iter().map(|seed| self.member(&mut map, seed)).collect();
        let groups = [sound, failed, seeds];
        groups.into_iter().filter(|group| !group.is_empty()).collect()
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
        // Those that left are forgotten, with their connections; also those that the file names, which are looked for again
        // when nobody else answers.
        let stays = |address: &Address| ranges.iter().any(|range| range.master == *address);
        map.nodes.retain(|address, _| stays(address));
        map.failed.clear();

        let mut masters = vec![None; SLOTS.into()];
        for slots::Range { first, last, master } in ranges {
            let member = self.member(&mut map, &master);
            masters[first.into()..=last.into()].fill(Some(member));
        }
        let id = |member: &Option<Member>| member.as_ref().map(|member| member.node.id);
        if map.masters.is_empty() || map.masters.iter().map(id).ne(masters.iter().map(id)) {
            map.version += 1;
        }
        map.masters = masters;
        map.outdated = false;
        if map.masters.iter().all(Option::is_some) && self.lost.answered() == Change::Closed {
            tracing::info!(target: "store", kind = "redis+cluster", "every slot of the cluster has a node again");
        }
    }

    /// The map is asked for again before it is used again; of `failed` last.
    pub(super) fn outdate(self: &Arc<Self>, failed: Option<&Member>) {
        if !self.is_looked_for.swap(true, Ordering::AcqRel) {
            tokio::spawn(keep_looking(Arc::downgrade(self)));
        }
        let mut map = self.map.lock();
        map.outdated = true;
        if let Some(Member { address, .. }) = failed
            && !map.failed.contains(address)
        {
            map.failed.push(address.clone());
        }
    }

    /// Which node has `key`, as far as is known; 0 is none.
    pub(super) fn keeper(&self, key: &[u8]) -> u64 {
        self.known_master_of(key).map_or(0, |member| member.node.id)
    }

    /// Writes what was written lately to nodes that have taken over from others.
    pub(super) async fn bring_over(&self, recent: &Recent, deadline: Instant) -> Result<(), Failure> {
        let version = self.map.lock().version;
        let write = |call: Arc<Call>| async move {
            let Some(member) = self.known_master_of(&call.key) else {
                return Err(Failure::Away("no node of the cluster has its slot".to_owned()));
            };
            match member.node.run_here(&call, deadline).await {
                // One node that is away holds up nobody's keys but its own.
                Err(failure) if failure.questions_the_place() => Ok(Rewritten::NotYet),
                written => written.map(|()| Rewritten::Yes),
            }
        };
        recent.bring_over(version, deadline, |key| self.keeper(key), write).await
    }

    /// The node that `from` named for `key`.
    pub(super) fn follow(&self, key: &[u8], redirect: &Redirect, from: &Member) -> Member {
        let host = if redirect.host.is_empty() { from.address.host.clone() } else { redirect.host.clone() };
        let mut map = self.map.lock();
        let member = self.member(&mut map, &Address { host, port: redirect.port });
        if !redirect.once {
            map.outdated = true;
            map.version += 1;
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

fn late() -> Failure {
    Failure::Unreachable("no node of the cluster told its map in time".to_owned())
}

/// Asks for the map until every node that it names answers.
async fn keep_looking(cluster: Weak<Cluster>) {
    loop {
        sleep(LOOK_EVERY).await;
        let Some(cluster) = cluster.upgrade() else { return };
        // Whoever meets a failure from here on begins anew.
        cluster.is_looked_for.store(false, Ordering::Release);
        let is_sound = cluster.members().iter().all(|node| !node.is_down());
        if is_sound || cluster.is_looked_for.swap(true, Ordering::AcqRel) {
            return;
        }
        let _asking = cluster.asking.lock().await;
        // That nobody tells it shows in what is asked of its nodes.
        let _ = cluster.ask(Instant::now() + cluster.limit).await;
    }
}

/// A map, and of when. The newest is the largest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct View {
    /// `cluster_current_epoch`: it rises with every failover that a majority agreed on.
    epoch: u64,
    /// `true` while the node is in touch with the others.
    is_ok: bool,
    ranges: Vec<slots::Range>,
}

/// Asks a node for its map.
async fn view_of(member: &Member, until: Instant) -> Result<View, Failure> {
    let (mut map, mut state) = (cmd("CLUSTER"), cmd("CLUSTER"));
    let (ranges, state) =
        tokio::join!(biased; member.node.ask(map.arg("SLOTS"), until), member.node.ask(state.arg("INFO"), until));
    let ranges = slots::parse(&ranges?, &member.address.host).ok_or(Failure::Nonsense("CLUSTER SLOTS is no map"))?;

    // A user that may not ask for it sees all nodes alike.
    let state = match state {
        Ok(Value::BulkString(state)) => String::from_utf8_lossy(&state).into_owned(),
        _ => String::new(),
    };
    let value = |name: &str| state.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let epoch = value("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(View { epoch, is_ok: value("cluster_state") == Some("ok"), ranges })
}

impl Map {
    fn master(&self, slot: u16) -> Option<Member> {
        self.masters.get(usize::from(slot)).cloned().flatten()
    }
}
