//! Records in Redis: one server, a cluster, or the master that sentinels name.
//!
//! Each operation is one script on one key, and Redis' clock alone decides what has run out. Nothing takes longer than
//! [`Settings::timeout`], whatever becomes of the connection.

mod bounded;
mod breaker;
pub(crate) mod buckets;
mod cluster;
mod connection;
mod failure;
pub mod fuzzing;
mod health;
mod lane;
mod last_answer;
mod node;
mod policy;
mod pulse;
mod question;
mod recent;
mod record;
mod script;
mod sentinel;
mod servers;
mod slots;
mod tls;
mod url;

pub use url::{BadUrl, RedisUrl};

use crate::records::{
    Begun, Claim, Completed, Forgotten, Hold, Keeping, Live, Name, Outage, Outcome, Records, Released, Renewed,
    Standing, reply_bound, stored_bound,
};
use bounded::ReplyBound;
use connection::Answer;
pub(crate) use failure::Failure;
use node::Vetting;
pub(crate) use question::{Asks, Question};
use recent::Recent;
use redis::Value;
use rustls::pki_types::CertificateDer;
use script::{Call, Kind, answers};
pub use sentinel::Followed;
use servers::{Asked, Servers};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use vestibule_plugin::meter::Gauge;
use vestibule_plugin::{Clock, Soon, SystemClock};

/// Which Redis, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub url: RedisUrl,
    /// What every key begins with.
    pub namespace: String,
    /// Longest time of any operation, connecting included.
    pub timeout: Duration,
    /// Authorities to trust in place of those of the web; of no meaning without TLS.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Without a word of any sentinel for so long, nothing is claimed that waits for replicas.
    pub sentinel_silence: Duration,
    /// Shared by all that is made of these settings.
    pub followed: Followed,
}

impl Settings {
    /// These, with what a file need not say.
    pub fn new(url: RedisUrl, namespace: impl Into<String>, timeout: Duration) -> Self {
        Self {
            url,
            namespace: namespace.into(),
            timeout,
            authorities: None,
            sentinel_silence: SENTINEL_SILENCE,
            followed: Followed::default(),
        }
    }
}

/// Unless configured.
pub const SENTINEL_SILENCE: Duration = Duration::from_secs(5);

/// What came of a first look at a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contact {
    /// It is there.
    Made,
    /// It is there and must not be used, for this reason.
    Refused(String),
    /// It cannot be reached, for this reason.
    None(String),
}

/// Records that all proxies of a fleet share.
pub struct RedisRecords {
    kind: &'static str,
    namespace: String,
    timeout: Duration,
    servers: Servers,
    bound: ReplyBound,
    /// Of a reply as it is stored.
    most_stored: AtomicU64,
    clock: SystemClock,
    /// Where another server may take over.
    recent: Option<Arc<Recent>>,
    sentinel_silence: Duration,
}

impl RedisRecords {
    /// Connects to nothing yet; that takes a runtime, and the first operation does it. Fails when an authority is not a
    /// certificate.
    pub fn new(settings: Settings) -> Result<Self, rustls::Error> {
        let Settings { url, namespace, timeout, authorities, sentinel_silence, followed } = settings;
        let tls = url.tls.then(|| tls::client(authorities.as_deref())).transpose()?;
        let bound = ReplyBound::default();
        let recent = url.may_be_taken_over().then(Arc::<Recent>::default);
        let servers = Servers::new(&url, tls.as_ref(), timeout, Vetting::Keeps, &bound, &followed, recent.as_ref());
        Ok(Self {
            kind: url.kind(),
            namespace,
            timeout,
            servers,
            most_stored: AtomicU64::new(bound.bytes() - (reply_bound(0) - stored_bound(0))),
            bound,
            clock: SystemClock::default(),
            recent,
            sentinel_silence,
        })
    }

    /// Connects, for at most [`Settings::timeout`].
    pub async fn first_contact(&self) -> Contact {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.servers.connect(deadline)).await {
            Ok(Ok(())) => {
                self.servers.made_contact();
                Contact::Made
            }
            Ok(Err(Failure::Refused(why))) => Contact::Refused(why),
            Ok(Err(failure)) => Contact::None(failure.into_outage().to_string()),
            Err(_elapsed) => Contact::None(Outage::Timeout.to_string()),
        }
    }

    /// Asks, whatever the breaker says.
    async fn ask(&self, call: &Call) -> Result<Answer, Outage> {
        self.ask_until(Instant::now() + self.timeout, call).await
    }

    async fn ask_until(&self, deadline: Instant, call: &Call) -> Result<Answer, Outage> {
        let settled_after = (call.kind == Kind::Claim && call.replicas > 0).then_some(self.sentinel_silence);
        let asked = Asked { call, recent: self.recent.as_deref(), settled_after, now: self.clock.now() };
        let Some(recent) = self.recent.as_ref().filter(|_| call.replicas > 0) else {
            return self.servers.run(&asked, deadline).await;
        };

        let keeper = self.servers.keeper(&call.key);
        // What was sent before this may be written behind it, for as long as it may take.
        let before = Instant::now().checked_sub(self.timeout);
        let answer = self.servers.run(&asked, deadline).await;
        if let Some(before) = before {
            let is_replicated = |answer: &Answer| answer.acknowledged >= Some(call.replicas);
            recent.waited_for(keeper, before, answer.as_ref().is_ok_and(is_replicated));
        }
        answer
    }

    /// `call` wrote nothing.
    fn wrote_nothing(&self, call: &Arc<Call>) {
        if let Some(recent) = &self.recent {
            recent.forget(call);
        }
    }

    async fn try_begin(&self, claim: &Claim) -> Result<Begun, Outage> {
        let deadline = Instant::now() + self.timeout;
        let call = Arc::new(Call::begin(&self.namespace, claim, self.most_stored.load(Ordering::Relaxed)));
        if !self.servers.admits(&call.key, self.clock.now()) {
            return Err(Outage::Unavailable(
                "it failed several times in a row; a probe a second is let through".into(),
            ));
        }

        let mut keeper = self.servers.keeper(&call.key);
        let mut granted_before = false;
        loop {
            let begun = match self.begin_until(deadline, claim, &call).await {
                // What was granted before may have been handed on to whoever has taken over.
                Err(outage) if granted_before => return Err(Outage::Unheard(outage.to_string())),
                begun => begun?,
            };
            if begun != Begun::Acquired {
                return Ok(begun);
            }
            // Only what was granted is written again elsewhere: another proxy may know more of what was not.
            if let Some(recent) = &self.recent {
                recent.note(&call, claim.hold.owner, keeper, claim.lease);
            }
            let now = self.servers.keeper(&call.key);
            if now == keeper {
                return Ok(begun);
            }
            // It was granted by a server that another one has replaced meanwhile, and is not known there.
            self.wrote_nothing(&call);
            (keeper, granted_before) = (now, true);
        }
    }

    async fn begin_until(&self, deadline: Instant, claim: &Claim, call: &Arc<Call>) -> Result<Begun, Outage> {
        let Answer { value, acknowledged } = self.ask_until(deadline, call).await?;
        let acknowledged = acknowledged.unwrap_or(0);
        match value {
            Value::Int(answers::ACQUIRED) if acknowledged < claim.replicas => {
                let wanted = claim.replicas;
                self.servers.look();
                // Were it not taken back now, it could still be there: that is a Timeout.
                match self.try_release(deadline, &claim.hold).await {
                    Ok(_) => Err(Outage::Replicas { wanted, acknowledged }),
                    Err(_) => Err(Outage::Timeout),
                }
            }
            Value::Int(answers::ACQUIRED) => Ok(Begun::Acquired),
            Value::Int(answers::MISMATCH) => Ok(Begun::Mismatch),
            Value::BulkString(record) => record::decode(record, &claim.hold.fingerprint)
                .ok_or_else(|| Outage::Unreadable("what came back is not a record of this request".into())),
            _ => Err(nonsense()),
        }
    }

    async fn try_release(&self, deadline: Instant, hold: &Hold) -> Result<Released, Outage> {
        let call = Call::release(&self.namespace, hold);
        if let Some(recent) = &self.recent {
            recent.undone(&call.key, hold.owner, self.servers.keeper(&call.key));
        }
        match self.ask_until(deadline, &call).await?.value {
            Value::Int(answers::OK) => Ok(Released::Ok),
            Value::Int(answers::STALE) => Ok(Released::Stale),
            _ => Err(nonsense()),
        }
    }

    async fn try_complete(&self, hold: Hold, outcome: Outcome, keep: Keeping) -> Result<Completed, Outage> {
        let call = Arc::new(Call::complete(&self.namespace, &hold, &outcome, keep));
        if let Some(recent) = &self.recent {
            recent.note(&call, hold.owner, self.servers.keeper(&call.key), recent::KEPT);
        }
        let written = self.ask(&call).await;
        let Answer { value, acknowledged } = written.map_err(|outage| match outage {
            // There is no room made for what was executed: it is tried again like after any other outage.
            Outage::Full(_) => Outage::Unavailable("maxmemory is reached".into()),
            outage => outage,
        })?;
        let acknowledged = acknowledged.unwrap_or(0);
        match value {
            Value::Int(answers::OK) if acknowledged < call.replicas => {
                self.servers.look();
                Ok(Completed::Lagging { replicas: acknowledged })
            }
            Value::Int(answers::OK) => Ok(Completed::Ok),
            Value::Int(answers::STALE) => {
                self.wrote_nothing(&call);
                Ok(Completed::Stale)
            }
            _ => Err(nonsense()),
        }
    }
}

fn nonsense() -> Outage {
    Outage::Unheard("the answer makes no sense".into())
}

impl Records for RedisRecords {
    fn begin<'a>(&'a self, claim: Claim) -> Soon<'a, Result<Begun, Outage>> {
        Soon::later(async move { self.try_begin(&claim).await })
    }

    fn renew<'a>(&'a self, hold: Hold, lease: Duration, ttl: Duration) -> Soon<'a, Result<Renewed, Outage>> {
        let call = Call::renew(&self.namespace, &hold, lease, ttl);
        Soon::later(async move {
            match self.ask(&call).await?.value {
                Value::Int(answers::OK) => {
                    if let Some(recent) = &self.recent {
                        recent.prolong(&call.key, lease);
                    }
                    Ok(Renewed::Ok)
                }
                Value::Int(answers::LOST) => Ok(Renewed::Lost),
                Value::Int(answers::STALE) => Ok(Renewed::Stale),
                _ => Err(nonsense()),
            }
        })
    }

    fn complete<'a>(&'a self, hold: Hold, outcome: Outcome, keep: Keeping) -> Soon<'a, Result<Completed, Outage>> {
        Soon::later(self.try_complete(hold, outcome, keep))
    }

    fn release<'a>(&'a self, hold: Hold) -> Soon<'a, Result<Released, Outage>> {
        Soon::later(async move { self.try_release(Instant::now() + self.timeout, &hold).await })
    }

    fn forget<'a>(&'a self, name: Name, live: Live) -> Soon<'a, Result<Forgotten, Outage>> {
        let call = Call::forget(&self.namespace, name, live);
        Soon::later(async move {
            match self.ask(&call).await?.value {
                Value::Int(answers::DELETED) => Ok(Forgotten::Deleted),
                Value::Int(answers::ABSENT) => Ok(Forgotten::Absent),
                Value::Int(answers::ALIVE) => Ok(Forgotten::Alive),
                _ => Err(nonsense()),
            }
        })
    }

    fn show(&self, _gauge: Gauge) {}

    fn expect(&self, max_body: u64) {
        self.bound.set(reply_bound(max_body));
        self.most_stored.store(stored_bound(max_body), Ordering::Relaxed);
    }

    fn standing(&self) -> Standing {
        let (up, breaker) = self.servers.standing();
        Standing { kind: self.kind, up, breaker, refused: self.servers.refusal() }
    }

    /// Redis does so itself.
    fn sweep(&self) {}
}

#[cfg(test)]
mod tests;
