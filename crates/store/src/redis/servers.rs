//! The servers behind an address of a file, asked through whichever has the key, twice at most.

use super::bounded::ReplyBound;
use super::cluster::{Cluster, Member};
use super::connection::{Answer, Connector};
use super::failure::Failure;
use super::lane::Dial;
use super::node::{Node, Vetting};
use super::script::Call;
use super::sentinel::Sentinels;
use super::url::{Places, RedisUrl};
use crate::records::Outage;
use futures::FutureExt;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) enum Servers {
    /// One that is always the same, or the master that sentinels name.
    One(Arc<Node>),
    Cluster(Cluster),
}

impl Servers {
    /// Connects to nothing yet.
    pub(super) fn new(
        url: &RedisUrl,
        tls: Option<&Arc<ClientConfig>>,
        limit: Duration,
        vetting: Vetting,
        bound: &ReplyBound,
    ) -> Self {
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
                Self::Cluster(Cluster::new(seeds.clone(), Arc::new(connector(0)), limit, vetting))
            }
            Places::Sentinels { addresses, master } => {
                let sentinels = Arc::new(Sentinels {
                    addresses: addresses.clone(),
                    master: master.clone(),
                    anonymously: Connector { credentials: None, ..connector(0) },
                    to_master: connector(0),
                });
                let dial: Dial = Arc::new(move || {
                    let sentinels = Arc::clone(&sentinels);
                    async move {
                        let deadline = Instant::now() + limit;
                        let connection = sentinels.open(deadline).await?;
                        vetting.pass(&connection, deadline).await?;
                        Ok(connection)
                    }
                    .boxed()
                });
                Self::One(Arc::new(Node::new(&dial, limit)))
            }
        }
    }

    /// Runs `call` to its end, with another attempt where that may do better.
    pub(super) async fn run(&self, call: &Call, deadline: Instant) -> Result<Answer, Outage> {
        let failed = match self.first_attempt(call, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        // In a cluster, another node may have the keys of one that cannot be reached.
        let elsewhere = matches!((self, &failed.failure), (Self::Cluster(_), Failure::Unreachable(_)));
        if !failed.failure.may_pass() && !elsewhere {
            return Err(failed.failure.into_outage());
        }
        let doubt = failed.failure.leaves_doubt();
        self.second_attempt(call, failed, deadline).await.map_err(|failure| match failure.into_outage() {
            // That the second attempt was not heard says nothing of the first.
            Outage::Unavailable(why) if doubt => Outage::Unheard(why),
            outage => outage,
        })
    }

    async fn first_attempt(&self, call: &Call, deadline: Instant) -> Result<Answer, Failed> {
        match self {
            Self::One(node) => {
                node.run(call, false, deadline).await.map_err(|failure| Failed { failure, member: None })
            }
            Self::Cluster(cluster) => {
                let of = |member: Option<&Member>| {
                    let member = member.cloned();
                    |failure| Failed { failure, member }
                };
                let member = cluster.master_of(&call.key, deadline).await.map_err(of(None))?;
                let ran = member.node.run(call, false, deadline).await;
                if ran.as_ref().is_err_and(Failure::questions_the_map) {
                    cluster.outdate();
                }
                ran.map_err(of(Some(&member)))
            }
        }
    }

    async fn second_attempt(&self, call: &Call, failed: Failed, deadline: Instant) -> Result<Answer, Failure> {
        match (self, &failed.failure, &failed.member) {
            (Self::Cluster(cluster), Failure::Moved(redirect), Some(from)) => {
                cluster.follow(&call.key, redirect, from).node.run(call, redirect.once, deadline).await
            }
            _ => self.first_attempt(call, deadline).await.map_err(|failed| failed.failure),
        }
    }

    /// Connects to every server known.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<(), Failure> {
        match self {
            Self::One(node) => node.connect(deadline).await,
            Self::Cluster(cluster) => cluster.connect(deadline).await,
        }
    }

    /// Why they must not be used, as far as is known.
    pub(super) fn refusal(&self) -> Option<String> {
        match self {
            Self::One(node) => node.refusal(),
            Self::Cluster(cluster) => cluster.members().iter().find_map(|node| node.refusal()),
        }
    }
}

/// An attempt that failed, and who was asked.
struct Failed {
    failure: Failure,
    member: Option<Member>,
}
