//! Buckets in Redis: which server has them, and what it is asked.
//!
//! A question about a bucket is sent once. One whose answer was lost may have been charged and is left so; a redirect is
//! followed, as it says that nothing happened.

use super::bounded::ReplyBound;
use super::cluster::Member;
use super::connection::Connection;
use super::failure::Failure;
use super::node::{Node, Vetting};
use super::pulse::Pulse;
use super::question::{Asks, Question};
use super::servers::Servers;
use super::{Settings, tls};
use futures::future::BoxFuture;
use redis::Value;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an answer is listened for after nobody waits for it any more.
const LATE: Duration = Duration::from_secs(2);

/// The servers that have them.
pub(crate) struct Buckets {
    kind: &'static str,
    namespace: String,
    servers: Servers,
    /// Of what cannot be asked as nobody knows who has it.
    lost: Arc<Pulse>,
}

/// Who has a key.
pub(crate) enum Site {
    Server(Arc<Node>),
    /// No server is known that has it.
    Nowhere(Arc<Pulse>),
}

/// A site that is not kept.
pub(crate) enum Faded {
    Server(Weak<Node>),
    Nowhere(Weak<Pulse>),
}

impl Faded {
    /// The site, if it is still there.
    pub(crate) fn get(&self) -> Option<Site> {
        match self {
            Self::Server(node) => node.upgrade().map(Site::Server),
            Self::Nowhere(pulse) => pulse.upgrade().map(Site::Nowhere),
        }
    }
}

impl Site {
    /// Does not keep it.
    pub(crate) fn fade(&self) -> Faded {
        match self {
            Self::Server(node) => Faded::Server(Arc::downgrade(node)),
            Self::Nowhere(pulse) => Faded::Nowhere(Arc::downgrade(pulse)),
        }
    }

    /// Whether it answered last time; `None`: nothing was asked yet, or nothing is missing any more.
    pub(crate) fn is_up(&self) -> Option<bool> {
        match self {
            Self::Server(node) => node.pulse.is_up(),
            Self::Nowhere(pulse) => pulse.is_open().then_some(false),
        }
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        match self {
            Self::Server(node) => &node.pulse,
            Self::Nowhere(pulse) => pulse,
        }
    }
}

/// A server that can be asked.
pub(crate) struct Reached {
    node: Arc<Node>,
    connection: Arc<Connection>,
    member: Option<Member>,
    asking: bool,
}

/// An answer that may come late.
pub(crate) type Answer = BoxFuture<'static, Result<Vec<Value>, Failure>>;

impl Buckets {
    /// Connects to nothing yet. Fails when an authority is not a certificate.
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        let Settings { url, namespace, timeout, authorities, followed, .. } = settings;
        let tls = url.tls.then(|| tls::client(authorities.as_deref())).transpose()?;
        Ok(Self {
            kind: url.kind(),
            namespace: namespace.clone(),
            servers: Servers::new(
                url,
                tls.as_ref(),
                *timeout,
                Vetting::Answers,
                &ReplyBound::default(),
                followed,
                None,
            ),
            lost: Arc::default(),
        })
    }

    /// `redis`, `redis+cluster` or `redis+sentinel`.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// The key of a bucket; those of one partition, named by `h`, are on one server.
    pub(crate) fn key(&self, h: &str, rest: &str) -> Vec<u8> {
        format!("{}:rl:{{{h}}}:{rest}", self.namespace).into_bytes()
    }

    /// A key that belongs to no partition.
    pub(crate) fn common_key(&self, rest: &str) -> Vec<u8> {
        format!("{}:rl:{rest}", self.namespace).into_bytes()
    }

    /// Who has `key`, as far as that is known.
    pub(crate) fn site(&self, key: &[u8]) -> Site {
        match &self.servers {
            Servers::One(node) | Servers::Named(node, _) => Site::Server(Arc::clone(node)),
            Servers::Cluster(cluster) => match cluster.known_master_of(key) {
                Some(member) => Site::Server(member.node),
                None => Site::Nowhere(Arc::clone(&self.lost)),
            },
        }
    }

    /// Every server known, and the place of what nobody has.
    pub(crate) fn sites(&self) -> Vec<Site> {
        match &self.servers {
            Servers::One(node) | Servers::Named(node, _) => vec![Site::Server(Arc::clone(node))],
            Servers::Cluster(cluster) => {
                let known = cluster.members().into_iter().map(Site::Server);
                known.chain([Site::Nowhere(Arc::clone(&self.lost))]).collect()
            }
        }
    }

    /// A connection to the server that has `key`.
    pub(crate) async fn reach(&self, key: &[u8], deadline: Instant) -> Result<Reached, Failure> {
        match &self.servers {
            Servers::One(node) | Servers::Named(node, _) => {
                self.connected(Arc::clone(node), None, false, deadline).await
            }
            Servers::Cluster(cluster) => {
                let member = cluster.master_of(key, deadline).await?;
                self.connected(Arc::clone(&member.node), Some(member), false, deadline).await
            }
        }
    }

    async fn connected(
        &self,
        node: Arc<Node>,
        member: Option<Member>,
        asking: bool,
        deadline: Instant,
    ) -> Result<Reached, Failure> {
        let connection = node.connection(deadline).await;
        if let Err(failure) = &connection {
            self.doubt(failure, member.as_ref());
        }
        Ok(Reached { connection: connection?, node, member, asking })
    }

    /// Learns from a failure: the keys may be elsewhere by now.
    fn doubt(&self, failure: &Failure, asked: Option<&Member>) {
        match &self.servers {
            Servers::Cluster(cluster) if failure.questions_the_place() => cluster.outdate(asked),
            Servers::Named(_, sentinels) if failure.questions_the_place() => sentinels.look(),
            _ => {}
        }
    }

    /// Asks, and waits until `deadline`. An answer that is late is given to `late`, which has been told that nobody waits.
    pub(crate) async fn ask(
        &self,
        reached: &Reached,
        question: Question,
        deadline: Instant,
        late: impl FnOnce(Vec<Value>) + Send + 'static,
    ) -> Result<Vec<Value>, Failure> {
        let mut answer = reached.put(Arc::new(question));
        match timeout_at(deadline, &mut answer).await {
            Ok(answer) => {
                if let Err(failure) = &answer {
                    self.doubt(failure, reached.member.as_ref());
                }
                answer
            }
            Err(_elapsed) => {
                reached.connection.miss();
                reached.node.heard::<()>(&reached.connection, &Err(Failure::Late));
                self.doubt(&Failure::Late, reached.member.as_ref());
                tokio::spawn(async move {
                    if let Ok(Ok(values)) = timeout(LATE, answer).await {
                        late(values);
                    }
                });
                Err(Failure::Late)
            }
        }
    }

    /// The server that another one named for `key` instead of answering; `None` when it did not.
    pub(crate) async fn follow(
        &self,
        key: &[u8],
        reached: &Reached,
        failure: &Failure,
        deadline: Instant,
    ) -> Option<Result<Reached, Failure>> {
        let (Servers::Cluster(cluster), Failure::Moved(redirect), Some(from)) =
            (&self.servers, failure, &reached.member)
        else {
            return None;
        };
        let member = cluster.follow(key, redirect, from);
        Some(self.connected(Arc::clone(&member.node), Some(member), redirect.once, deadline).await)
    }

    /// Writes something next to `key`, to see whether its server is back.
    pub(crate) async fn probe(&self, key: &[u8], deadline: Instant) -> Result<(), Failure> {
        let reached = self.reach(key, deadline).await?;
        let question = Question::new(Asks::Probe, vec![key.to_vec()], Vec::new());
        self.ask(&reached, question, deadline, drop).await.map(drop)
    }
}

impl Reached {
    /// Tells the connection from all others of this process.
    pub(crate) fn serial(&self) -> u64 {
        self.connection.serial()
    }

    pub(crate) fn site(&self) -> Site {
        Site::Server(Arc::clone(&self.node))
    }

    fn put(&self, question: Arc<Question>) -> Answer {
        let (node, connection, asking) = (Arc::clone(&self.node), Arc::clone(&self.connection), self.asking);
        Box::pin(async move {
            let answer = connection.put(&question, asking).await;
            node.heard(&connection, &answer);
            answer
        })
    }
}
