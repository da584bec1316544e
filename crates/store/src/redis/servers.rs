//! The servers behind an address of a file, asked through whichever has the key, twice at most.

use super::bounded::ReplyBound;
use super::cluster::{Cluster, Member};
use super::connection::{Answer, Connection, Connector};
use super::failure::Failure;
use super::health::{Change, Health};
use super::lane::Dial;
use super::node::{Node, Vetting};
use super::recent::{Recent, Rewritten};
use super::script::Call;
use super::sentinel::{Followed, Mastership, Sentinels};
use super::url::{Places, RedisUrl};
use crate::records::{Breaker, Outage};
use futures::FutureExt;
use rustls::ClientConfig;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use vestibule_plugin::Monotonic;

/// How long writes that wait for replicas wait after another server became the master: until every proxy has heard of it, and
/// has written there what it wrote lately.
const SETTLE: Duration = Duration::from_secs(1);

/// How often a new master is connected to where nobody asks it, until somebody does.
const CONNECTS: usize = 100;
/// Between two of them.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Longest time of one.
const CONNECT_TIME: Duration = Duration::from_secs(1);

pub(super) enum Servers {
    /// One that is always the same.
    One(Arc<Node>),
    /// The master that sentinels name.
    Named(Arc<Node>, Arc<Sentinels>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// Connects to nothing yet. What is noted in `recent` is written to a server that takes over before anything else is.
    pub(super) fn new(
        url: &RedisUrl,
        tls: Option<&Arc<ClientConfig>>,
        limit: Duration,
        vetting: Vetting,
        bound: &ReplyBound,
        followed: &Followed,
        recent: Option<&Arc<Recent>>,
    ) -> Self {
        // Each user of the servers has connections of its own, with a bound of its own.
        let connector = |database| Connector {
            credentials: url.credentials.clone(),
            database,
            tls: tls.cloned(),
            bound: bound.clone(),
        };

        match &url.places {
            Places::Server { address, database } => {
                Self::One(Arc::new(Node::at(address, &Arc::new(connector(*database)), limit, vetting)))
            }
            Places::Cluster(seeds) => {
                Self::Cluster(Arc::new(Cluster::new(seeds.clone(), Arc::new(connector(0)), limit, vetting)))
            }
            Places::Sentinels { addresses, master } => {
                let sentinels = followed.sentinels(|| Sentinels::new(addresses, master, connector(0)));
                let opening = Opening {
                    sentinels: Arc::clone(&sentinels),
                    connector: connector(0),
                    limit,
                    vetting,
                    recent: recent.cloned(),
                };
                let opening = Arc::new(opening);
                let dial: Dial = Arc::new(move || Arc::clone(&opening).open().boxed());
                Self::Named(Arc::new(Node::new(master.clone(), &dial, limit)), sentinels)
            }
        }
    }

    /// Runs `call` to its end, with another attempt where that may do better, and learns from what comes of it.
    pub(super) async fn run(&self, asked: &Asked<'_>, deadline: Instant) -> Result<Answer, Outage> {
        let (answer, node) = match self.first_attempt(asked, deadline).await {
            Ok((answer, node)) => (Ok(answer), Some(node)),
            Err(failed) => {
                let node = failed.node();
                // In a cluster, another node may have the keys of one that cannot be reached.
                let elsewhere = matches!((self, &failed.failure), (Self::Cluster(_), Failure::Unreachable(_)));
                if failed.failure.may_pass() || elsewhere {
                    self.second_attempt(asked, failed, deadline).await
                } else {
                    (Err(failed.failure.into_outage()), node)
                }
            }
        };
        self.heed(asked, node.as_ref(), &answer);
        answer
    }

    async fn second_attempt(
        &self,
        asked: &Asked<'_>,
        failed: Failed,
        deadline: Instant,
    ) -> (Result<Answer, Outage>, Option<Arc<Node>>) {
        let doubt = failed.failure.leaves_doubt();

        let again = match (self, &failed.failure, &failed.asked) {
            (Self::Cluster(cluster), Failure::Moved(redirect), Some(Place::Member(from))) => {
                let member = cluster.follow(&asked.call.key, redirect, from);
                let ran = member.node.run(asked.call, redirect.once, None, deadline).await;
                match ran {
                    Ok(answer) => Ok((answer, Arc::clone(&member.node))),
                    Err(failure) => Err(Failed { failure, asked: Some(Place::Member(member)) }),
                }
            }
            _ => self.first_attempt(asked, deadline).await,
        };

        match again {
            Ok((answer, node)) => (Ok(answer), Some(node)),
            Err(failed) => {
                let node = failed.node();
                let outage = match failed.failure.into_outage() {
                    // That the second attempt was not heard says nothing of the first.
                    Outage::Unavailable(why) if doubt => Outage::Unheard(why),
                    outage => outage,
                };
                (Err(outage), node)
            }
        }
    }

    async fn first_attempt(&self, asked: &Asked<'_>, deadline: Instant) -> Result<(Answer, Arc<Node>), Failed> {
        match self {
            Self::One(node) => Self::attempt(node, asked.call, None, deadline).await,
            Self::Named(node, sentinels) => {
                if asked.recent.is_some_and(Recent::is_first_use) {
                    tokio::spawn(keep_connected(Arc::downgrade(node), sentinels.terms()));
                }
                let term = match asked.settled_after {
                    Some(silence) => Some(Self::settle(sentinels, silence, deadline).await?),
                    None => None,
                };

                let ran = Self::attempt(node, asked.call, term, deadline).await;
                if ran.as_ref().is_err_and(|failed| failed.failure.questions_the_place()) {
                    sentinels.look();
                }
                ran
            }
            Self::Cluster(cluster) => {
                let nowhere = |failure| Failed { failure, asked: None };
                let member = cluster.master_of(&asked.call.key, deadline).await.map_err(nowhere)?;
                if let Some(recent) = asked.recent {
                    cluster.bring_over(recent, deadline).await.map_err(nowhere)?;
                }
                let ran = member.node.run(asked.call, false, None, deadline).await;
                if ran.as_ref().is_err_and(Failure::questions_the_place) {
                    cluster.outdate(Some(&member));
                }
                match ran {
                    Ok(answer) => Ok((answer, member.node)),
                    Err(failure) => Err(Failed { failure, asked: Some(Place::Member(member)) }),
                }
            }
        }
    }

    async fn attempt(
        node: &Arc<Node>,
        call: &Call,
        term: Option<u64>,
        deadline: Instant,
    ) -> Result<(Answer, Arc<Node>), Failed> {
        match node.run(call, false, term, deadline).await {
            Ok(answer) => Ok((answer, Arc::clone(node))),
            Err(failure) => Err(Failed { failure, asked: Some(Place::Node(Arc::clone(node))) }),
        }
    }

    /// Learns whether who has the key answers, and says so when that changes what becomes of claims.
    fn heed(&self, asked: &Asked<'_>, node: Option<&Arc<Node>>, answer: &Result<Answer, Outage>) {
        let (health, name) = match (node, self) {
            (Some(node), _) | (None, Self::One(node) | Self::Named(node, _)) => (&node.health, node.name()),
            (None, Self::Cluster(cluster)) => (&cluster.lost, "nobody"),
        };
        let cause = match answer {
            Ok(_) | Err(Outage::Full(_) | Outage::Unreadable(_) | Outage::Replicas { .. }) => None,
            Err(outage) => Some(outage.to_string()),
        };

        let kind = self.kind();
        match cause {
            None => {
                if health.answered() == Change::Closed {
                    tracing::info!(target: "store", kind, server = name, "the store answers again");
                }
            }
            // One that is refused is looked at once a second as it is, and says why.
            Some(_) if node.is_some_and(|node| node.refusal().is_some()) => health.is_refused(),
            Some(cause) => {
                if health.failed(asked.now) == Change::Opened {
                    tracing::warn!(
                        target: "store", kind, server = name, cause,
                        "the store fails; claims are held back until it answers"
                    );
                }
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::One(_) => "redis",
            Self::Named(..) => "redis+sentinel",
            Self::Cluster(_) => "redis+cluster",
        }
    }

    /// Whether a claim of `key` may be asked for.
    pub(super) fn admits(&self, key: &[u8], now: Monotonic) -> bool {
        match self {
            Self::One(node) | Self::Named(node, _) => node.health.admits(now),
            Self::Cluster(cluster) => match cluster.known_master_of(key) {
                Some(member) => member.node.health.admits(now),
                None => cluster.lost.admits(now),
            },
        }
    }

    /// Waits until a claim that waits for replicas may be asked for, and gives the term in which it may: the master is known to
    /// be the master, and long enough.
    async fn settle(sentinels: &Arc<Sentinels>, silence: Duration, deadline: Instant) -> Result<u64, Failed> {
        let unsure = |why| Failed { failure: Failure::Unreachable(why), asked: None };
        sentinels.first_named(deadline).await.map_err(|failure| Failed { failure, asked: None })?;
        let known = sentinels.known();
        let silent = known.confirmed.elapsed();
        if silent >= silence {
            let seconds = silent.as_secs();
            return Err(unsure(format!("no sentinel has named the master for {seconds} s")));
        }

        let settled = known.since + SETTLE;
        if settled > deadline {
            return Err(unsure("another server has just become the master".to_owned()));
        }
        sleep_until(settled).await;
        Ok(known.term)
    }

    /// Something says that the master may be another one by now.
    pub(super) fn look(&self) {
        if let Self::Named(_, sentinels) = self {
            sentinels.look();
        }
    }

    /// Which server has `key`, as far as is known; another number when another one has taken over.
    pub(super) fn keeper(&self, key: &[u8]) -> u64 {
        match self {
            Self::One(_) => 0,
            Self::Named(_, sentinels) => sentinels.term(),
            Self::Cluster(cluster) => cluster.keeper(key),
        }
    }

    /// Connects to every server known.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<(), Failure> {
        match self {
            Self::One(node) | Self::Named(node, _) => node.connect(deadline).await,
            Self::Cluster(cluster) => cluster.connect(deadline).await,
        }
    }

    /// They could be connected to.
    pub(super) fn made_contact(&self) {
        for node in self.nodes() {
            node.health.answered();
        }
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        match self {
            Self::One(node) | Self::Named(node, _) => vec![Arc::clone(node)],
            Self::Cluster(cluster) => cluster.members(),
        }
    }

    /// Why they must not be used, as far as is known.
    pub(super) fn refusal(&self) -> Option<String> {
        self.nodes().iter().find_map(|node| node.refusal())
    }

    /// Whether all that were asked answered last time, and at least one did; and the worst of what becomes of claims.
    pub(super) fn standing(&self) -> (bool, Breaker) {
        let nodes = self.nodes();
        let lost = if let Self::Cluster(cluster) = self { Some(&cluster.lost) } else { None };
        let all: Vec<&Health> = nodes.iter().map(|node| &node.health).chain(lost).collect();
        let answers: Vec<bool> = all.iter().filter_map(|health| health.is_up()).collect();
        let worst = all.iter().map(|health| health.shown()).max().unwrap_or(Breaker::Closed);
        (!answers.is_empty() && answers.iter().all(|up| *up), worst)
    }
}

/// A call, and what goes with it.
pub(super) struct Asked<'a> {
    pub(super) call: &'a Call,
    pub(super) recent: Option<&'a Recent>,
    /// Of a claim that waits for replicas: how long sentinels may have been silent.
    pub(super) settled_after: Option<Duration>,
    pub(super) now: Monotonic,
}

/// An attempt that failed, and who was asked.
struct Failed {
    failure: Failure,
    asked: Option<Place>,
}

enum Place {
    Node(Arc<Node>),
    Member(Member),
}

impl Failed {
    fn node(&self) -> Option<Arc<Node>> {
        self.asked.as_ref().map(|place| match place {
            Place::Node(node) | Place::Member(Member { node, .. }) => Arc::clone(node),
        })
    }
}

/// Connects to each master as soon as it is named, so that what was written lately is there before anybody asks for it,
/// also where nobody asks here.
async fn keep_connected(node: Weak<Node>, mut terms: watch::Receiver<Mastership>) {
    while terms.changed().await.is_ok() {
        for _ in 0..CONNECTS {
            let Some(node) = node.upgrade() else { return };
            if node.reconnect(Instant::now() + CONNECT_TIME).await.is_ok() {
                break;
            }
            sleep(CONNECT_PAUSE).await;
        }
    }
}

/// How a connection to the master is opened.
struct Opening {
    sentinels: Arc<Sentinels>,
    connector: Connector,
    limit: Duration,
    vetting: Vetting,
    recent: Option<Arc<Recent>>,
}

impl Opening {
    async fn open(self: Arc<Self>) -> Result<Connection, Failure> {
        let deadline = Instant::now() + self.limit;
        let (connection, term) = self.sentinels.open(&self.connector, deadline).await?;
        self.vetting.pass(&connection, deadline).await?;

        if let Some(recent) = &self.recent {
            let write = |call: Arc<Call>| {
                let connection = &connection;
                async move { connection.run(&call, 0, false, deadline).await.map(|_answer| Rewritten::Yes) }
            };
            recent.bring_over(term, deadline, |_| term, write).await?;
        }
        Ok(connection)
    }
}
