//! The master that sentinels name, followed for as long as anybody uses it.
//!
//! All sentinels are asked four times a second, and at once when one of them announces another master, or when the master
//! says that it must not be written to. Connections belong to a term: with it they end, whatever the old master answers.

mod mastership;

use super::connection::{Connection, Connector};
use super::failure::Failure;
use super::lane::{Dial, Lane};
use super::url::Address;
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use mastership::{Verdict, Vote};
use redis::{Value, cmd};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

pub(super) use mastership::Mastership;

/// Between two looks, where nothing calls for one: a master that is deposed in order is announced only once its replicas
/// follow another one, and named before.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two looks that something calls for.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Longest time of one look: sentinels answer from memory.
const LOOK_TIME: Duration = Duration::from_millis(500);
/// Between two attempts to listen to a sentinel.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// What a sentinel announces once another server is the master.
const SWITCHED: &str = "+switch-master";

/// The sentinels of one address, which all stores of a process follow together.
#[derive(Clone, Default)]
pub struct Followed(Arc<OnceLock<Arc<Sentinels>>>);

impl Followed {
    /// Those that are followed already, or these.
    pub(super) fn sentinels(&self, new: impl FnOnce() -> Sentinels) -> Arc<Sentinels> {
        Arc::clone(self.0.get_or_init(|| Arc::new(new())))
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Followed")
    }
}

/// Where the sentinels are, what they are asked, and what they said.
pub(super) struct Sentinels {
    all: Vec<Sentinel>,
    master: String,
    known: watch::Sender<Mastership>,
    wanted: Arc<Notify>,
    is_followed: AtomicBool,
}

impl Sentinels {
    /// Asks nothing yet.
    pub(super) fn new(addresses: &[Address], master: &str, by_name: Connector) -> Self {
        let anonymously = Connector { credentials: None, ..by_name.clone() };
        let connectors = Arc::new(Connectors { anonymously, by_name });
        let sentinel = |address: &Address| Sentinel::new(address.clone(), Arc::clone(&connectors));
        Self {
            all: addresses.iter().map(sentinel).collect(),
            master: master.to_owned(),
            known: watch::Sender::new(Mastership::unknown(Instant::now())),
            wanted: Arc::default(),
            is_followed: AtomicBool::new(false),
        }
    }

    /// For who must know that another server has become the master.
    pub(super) fn terms(&self) -> watch::Receiver<Mastership> {
        self.known.subscribe()
    }

    /// The number of the term.
    pub(super) fn term(&self) -> u64 {
        self.known.borrow().term
    }

    /// The master as far as it is known.
    pub(super) fn known(&self) -> Mastership {
        self.known.borrow().clone()
    }

    /// Something says that the master may be another one by now.
    pub(super) fn look(&self) {
        self.wanted.notify_one();
    }

    /// Asks for the master where none was ever named; fails when no sentinel answers.
    pub(super) async fn first_named(self: &Arc<Self>, deadline: Instant) -> Result<(), Failure> {
        if !self.is_followed.swap(true, Ordering::Relaxed) {
            self.follow();
        }
        if self.known.borrow().master.is_some() {
            return Ok(());
        }
        self.ask_all(deadline).await
    }

    /// A connection to the master, and the term with which it ends.
    pub(super) async fn open(
        self: &Arc<Self>,
        connector: &Connector,
        deadline: Instant,
    ) -> Result<(Connection, u64), Failure> {
        self.first_named(deadline).await?;
        let known = self.known();
        let Some(address) = &known.master else {
            return Err(Failure::Unreachable(format!("no sentinel knows a master {}", self.master)));
        };

        let opened = connector.open_until(address, known.term, self.known.subscribe()).await;
        let connection = opened.inspect_err(|_| self.look())?;
        // A sentinel may be early in naming one that has not become the master yet, and a master may have come back as a
        // replica.
        match connection.ask(&cmd("ROLE"), deadline).await {
            Ok(Value::Array(role)) if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => {
                Ok((connection, known.term))
            }
            Ok(_) => {
                self.look();
                Err(Failure::Unreachable(format!("{address}: it is not the master")))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks all sentinels at once and counts what they say; fails when none of them says anything.
    async fn ask_all(&self, deadline: Instant) -> Result<(), Failure> {
        let until = deadline.min(Instant::now() + LOOK_TIME);
        let asked = join_all(self.all.iter().map(|sentinel| sentinel.vote(&self.master, until))).await;
        let (mut votes, mut failed) = (Vec::new(), None);
        for answer in asked {
            match answer {
                Ok(vote) => votes.push(vote),
                Err(failure) => failed = Some(failure),
            }
        }
        if votes.is_empty() {
            return Err(failed.unwrap_or_else(|| Failure::Unreachable("there is no sentinel".to_owned())));
        }

        self.learn(&votes);
        Ok(())
    }

    fn learn(&self, votes: &[Vote]) {
        let now = Instant::now();
        let mut before = None;
        // Those who wait for another term are woken by another term alone.
        self.known.send_if_modified(|known| {
            let old = known.clone();
            let verdict = known.count(votes, self.all.len(), now);
            if verdict == Verdict::Deposed {
                before = Some(old.clone());
            }
            known.term != old.term
        });

        if let Some(before) = before {
            let after = self.known.borrow().master.clone();
            let text = |master: &Option<Address>| master.as_ref().map(ToString::to_string);
            tracing::warn!(
                target: "store",
                kind = "redis+sentinel",
                from = text(&before.master),
                to = text(&after),
                unsure_ms = u64::try_from((now - before.confirmed).as_millis()).unwrap_or(u64::MAX),
                "the sentinels name another master; connections to the old one are closed"
            );
        }
    }

    /// Looks again and again, and listens to each sentinel, until nobody uses it any more.
    fn follow(self: &Arc<Self>) {
        tokio::spawn(keep_looking(Arc::downgrade(self), Arc::clone(&self.wanted)));
        for sentinel in &self.all {
            let (address, connectors) = (sentinel.address.clone(), Arc::clone(&sentinel.connectors));
            let (sentinels, wanted) = (Arc::downgrade(self), Arc::clone(&self.wanted));
            tokio::spawn(keep_listening(Ear { sentinels, address, connectors, wanted }));
        }
    }
}

/// One sentinel.
struct Sentinel {
    address: Address,
    connectors: Arc<Connectors>,
    asked: Lane,
}

/// How sentinels are connected to.
struct Connectors {
    /// Most ask for no password, and refuse one that they do not know.
    anonymously: Connector,
    /// The others are believed to know that of the master.
    by_name: Connector,
}

impl Sentinel {
    fn new(address: Address, connectors: Arc<Connectors>) -> Self {
        let (to, by) = (address.clone(), Arc::clone(&connectors));
        let dial: Dial = Arc::new(move || {
            let (address, connectors) = (to.clone(), Arc::clone(&by));
            async move { connectors.open(&address).await }.boxed()
        });
        Self { address, connectors, asked: Lane::new(dial, LOOK_TIME) }
    }

    /// What it says of the master.
    async fn vote(&self, master: &str, until: Instant) -> Result<Vote, Failure> {
        let connection = self.asked.connection(until).await?;
        let (mut details, mut address) = (cmd("SENTINEL"), cmd("SENTINEL"));
        details.arg("master").arg(master);
        // During a failover it names the new master before the details do.
        address.arg("get-master-addr-by-name").arg(master);
        let asked = async { tokio::join!(biased; connection.ask(&address, until), connection.ask(&details, until)) };
        let (address, details) = asked.await;
        if let Err(failure) = address.as_ref().and(details.as_ref()) {
            self.asked.give_up(&connection);
            return Err(failure.clone());
        }

        let unknown = || Failure::Unreachable(format!("{}: it knows no master {master}", self.address));
        let (address, details) = (address?, details?);
        let number = |name| value_of(&details, name).and_then(|value| value.parse().ok());
        // While it fails over, the details are still those of the old master.
        let changes = value_of(&details, "flags").is_some_and(|flags| flags.contains("failover_in_progress"));
        let seen_for_ms = number("role-reported-time").filter(|_| !changes).unwrap_or(0);
        Ok(Vote {
            master: address_of(&address).ok_or_else(unknown)?,
            epoch: number("config-epoch").ok_or_else(unknown)?,
            seen_for: Duration::from_millis(seen_for_ms),
        })
    }
}

impl Connectors {
    async fn open(&self, address: &Address) -> Result<Connection, Failure> {
        let connection = self.anonymously.open(address).await?;
        match connection.ask(&cmd("PING"), Instant::now() + LOOK_TIME).await {
            Err(Failure::Said(why)) if why.starts_with("NOAUTH") => self.by_name.open(address).await,
            Err(failure) => Err(failure),
            Ok(_) => Ok(connection),
        }
    }
}

async fn keep_looking(sentinels: Weak<Sentinels>, wanted: Arc<Notify>) {
    loop {
        let _ = timeout(LOOK_EVERY, wanted.notified()).await;
        let Some(sentinels) = sentinels.upgrade() else { return };
        // That none says anything shows in how long ago the master was confirmed.
        let _ = sentinels.ask_all(Instant::now() + LOOK_TIME).await;
        drop(sentinels);
        sleep(LOOK_PAUSE).await;
    }
}

/// Listens to one sentinel: every announcement is a reason to look.
async fn keep_listening(ear: Ear) {
    while ear.is_wanted() {
        // One that cannot be listened to is still asked four times a second.
        let _ = ear.listen().await;
        sleep(LISTEN_PAUSE).await;
    }
}

/// What it takes to listen to one sentinel. It does not keep the others.
struct Ear {
    sentinels: Weak<Sentinels>,
    address: Address,
    connectors: Arc<Connectors>,
    wanted: Arc<Notify>,
}

impl Ear {
    fn is_wanted(&self) -> bool {
        self.sentinels.strong_count() > 0
    }

    async fn listen(&self) -> Result<(), Failure> {
        let Connectors { anonymously, by_name } = &*self.connectors;
        let mut announcements = match anonymously.subscribe(&self.address, SWITCHED).await {
            Err(Failure::Unreachable(why)) if why.contains("NOAUTH") => {
                by_name.subscribe(&self.address, SWITCHED).await?
            }
            subscribed => subscribed?,
        };
        // What was announced before is known only to who asks.
        self.wanted.notify_one();

        while self.is_wanted() {
            match timeout(LISTEN_PAUSE, announcements.next()).await {
                Ok(Some(_announced)) => self.wanted.notify_one(),
                Ok(None) => break,
                Err(_silent) => {}
            }
        }
        Ok(())
    }
}

fn address_of(named: &Value) -> Option<Address> {
    let Value::Array(parts) = named else { return None };
    let [Value::BulkString(host), Value::BulkString(port)] = &parts[..] else { return None };
    let port = std::str::from_utf8(port).ok()?.parse().ok().filter(|port| *port != 0)?;
    Some(Address { host: String::from_utf8(host.clone()).ok()?, port })
}

/// Of a list of names and values.
fn value_of<'a>(details: &'a Value, name: &str) -> Option<&'a str> {
    let Value::Array(parts) = details else { return None };
    let is_name = |part: &Value| matches!(part, Value::BulkString(found) if found == name.as_bytes());
    let at = parts.iter().step_by(2).position(is_name)?;
    let Some(Value::BulkString(value)) = parts.get(2 * at + 1) else { return None };
    std::str::from_utf8(value).ok()
}
