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
mod lane;
mod node;
mod policy;
mod pulse;
mod question;
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
use breaker::Breaker;
use connection::Answer;
pub(crate) use failure::Failure;
use node::Vetting;
use parking_lot::Mutex;
pub(crate) use question::{Asks, Question};
use redis::Value;
use rustls::pki_types::CertificateDer;
use script::{Call, answers};
use servers::Servers;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
}

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
    breaker: Mutex<Breaker>,
    up: AtomicBool,
}

impl RedisRecords {
    /// Connects to nothing yet; that takes a runtime, and the first operation does it. Fails when an authority is not a
    /// certificate.
    pub fn new(settings: Settings) -> Result<Self, rustls::Error> {
        let Settings { url, namespace, timeout, authorities } = settings;
        let tls = url.tls.then(|| tls::client(authorities.as_deref())).transpose()?;
        let bound = ReplyBound::default();
        Ok(Self {
            kind: url.kind(),
            namespace,
            timeout,
            servers: Servers::new(&url, tls.as_ref(), timeout, Vetting::Keeps, &bound),
            most_stored: AtomicU64::new(bound.bytes() - (reply_bound(0) - stored_bound(0))),
            bound,
            clock: SystemClock::default(),
            breaker: Mutex::default(),
            up: AtomicBool::new(false),
        })
    }

    /// Connects, for at most [`Settings::timeout`].
    pub async fn first_contact(&self) -> Contact {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.servers.connect(deadline)).await {
            Ok(Ok(())) => {
                self.up.store(true, Ordering::Relaxed);
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

    /// The same, and the breaker is told what came of it.
    async fn ask_until(&self, deadline: Instant, call: &Call) -> Result<Answer, Outage> {
        let answer = self.servers.run(call, deadline).await;
        let answers = match &answer {
            Ok(_) | Err(Outage::Full(_) | Outage::Unreadable(_) | Outage::Replicas { .. }) => true,
            Err(Outage::Timeout | Outage::Unheard(_) | Outage::Unavailable(_)) => false,
        };
        self.up.store(answers, Ordering::Relaxed);
        let mut breaker = self.breaker.lock();
        if answers {
            if breaker.succeeded() {
                tracing::info!(target: "store", kind = self.kind, "the store answers again");
            }
        } else if self.servers.refusal().is_none() && breaker.failed(self.clock.now()) {
            // One that is refused is looked at once a second as it is, and says why.
            let cause = answer.as_ref().err().map(ToString::to_string);
            tracing::warn!(target: "store", kind = self.kind, cause, "the store fails; claims are held back until it answers");
        }
        answer
    }

    async fn try_begin(&self, claim: &Claim) -> Result<Begun, Outage> {
        if !self.breaker.lock().admits(self.clock.now()) {
            return Err(Outage::Unavailable(
                "it failed several times in a row; a probe a second is let through".into(),
            ));
        }
        let deadline = Instant::now() + self.timeout;
        let call = Call::begin(&self.namespace, claim, self.most_stored.load(Ordering::Relaxed));
        let Answer { value, acknowledged } = self.ask_until(deadline, &call).await?;
        let acknowledged = acknowledged.unwrap_or(0);
        match value {
            Value::Int(answers::ACQUIRED) if acknowledged < claim.replicas => {
                let wanted = claim.replicas;
                // Were it not taken back now, it could still be there: that is a Timeout.
                match self.ask_until(deadline, &Call::release(&self.namespace, &claim.hold)).await {
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

    async fn try_complete(&self, call: Call) -> Result<Completed, Outage> {
        let Answer { value, acknowledged } = self.ask(&call).await.map_err(|outage| match outage {
            // There is no room made for what was executed: it is tried again like after any other outage.
            Outage::Full(_) => Outage::Unavailable("maxmemory is reached".into()),
            outage => outage,
        })?;
        let acknowledged = acknowledged.unwrap_or(0);
        match value {
            Value::Int(answers::OK) if acknowledged < call.replicas => {
                Ok(Completed::Lagging { replicas: acknowledged })
            }
            Value::Int(answers::OK) => Ok(Completed::Ok),
            Value::Int(answers::STALE) => Ok(Completed::Stale),
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
                Value::Int(answers::OK) => Ok(Renewed::Ok),
                Value::Int(answers::LOST) => Ok(Renewed::Lost),
                Value::Int(answers::STALE) => Ok(Renewed::Stale),
                _ => Err(nonsense()),
            }
        })
    }

    fn complete<'a>(&'a self, hold: Hold, outcome: Outcome, keep: Keeping) -> Soon<'a, Result<Completed, Outage>> {
        Soon::later(self.try_complete(Call::complete(&self.namespace, &hold, &outcome, keep)))
    }

    fn release<'a>(&'a self, hold: Hold) -> Soon<'a, Result<Released, Outage>> {
        let call = Call::release(&self.namespace, &hold);
        Soon::later(async move {
            match self.ask(&call).await?.value {
                Value::Int(answers::OK) => Ok(Released::Ok),
                Value::Int(answers::STALE) => Ok(Released::Stale),
                _ => Err(nonsense()),
            }
        })
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
        Standing {
            kind: self.kind,
            up: self.up.load(Ordering::Relaxed),
            breaker: self.breaker.lock().shown(),
            refused: self.servers.refusal(),
        }
    }

    /// Redis does so itself.
    fn sweep(&self) {}
}

#[cfg(test)]
mod tests;
