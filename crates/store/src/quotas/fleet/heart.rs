//! What goes on without requests: the heartbeat, and looking after servers that failed.

use super::{Fleet, hidden, random_name};
use crate::redis::buckets::{Faded, Site};
use crate::redis::{Asks, Failure, Question};
use crate::timings::{Came, Operation};
use redis::Value;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A proxy that said nothing for this long is not counted.
const FRESH: Duration = Duration::from_secs(3);
/// How long what all proxies share is kept after the last of them, in seconds.
const KEPT_S: &str = "60";
/// Text whose keyed hash makes a secret known without saying it.
const CHECKED: &str = "vestibule: proxies of one secret";
/// Most proxies that are believed to be there.
const MAX_PROXIES: u64 = 1_000_000;

impl Fleet {
    /// Says that this process lives, counts those that do and those that cannot share anything with it, and looks whether the
    /// store was emptied.
    pub(super) async fn beat(self: &Arc<Self>) {
        let id = format!("{}:{}", self.id, hidden(&self.secret, CHECKED)).into_bytes();
        // Another one each time: a store that was emptied must not get the mark again that it had before.
        let mark = random_name().into_bytes();
        let fresh = FRESH.as_millis().to_string().into_bytes();
        let (peers, born) = tokio::join!(
            self.common(Asks::Peers, "peers", vec![id, fresh, KEPT_S.into()]),
            self.common(Asks::Born, "born", vec![mark, KEPT_S.into()]),
        );
        if let Ok(counts) = &peers
            && let [Some(proxies), Some(strangers)] = [0, 1].map(|at| counts.get(at).and_then(count))
        {
            self.proxies.store(proxies.clamp(1, MAX_PROXIES), Ordering::Relaxed);
            self.show_proxies();
            self.met(strangers.min(MAX_PROXIES));
        }
        if let Some(Value::BulkString(mark)) = born.ok().and_then(|values| values.into_iter().next()) {
            let before = self.born.lock().replace(mark.clone());
            if before.is_some_and(|before| before != mark) {
                self.epoch.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(target: "store", "the store was emptied; what proxies know of debts is carried over");
            }
        }
    }

    /// So many proxies use the store under this namespace with another secret.
    fn met(&self, strangers: u64) {
        let before = self.strangers.swap(strangers, Ordering::Relaxed);
        if before == 0 && strangers > 0 {
            tracing::error!(
                target: "store",
                kind = self.buckets.kind(),
                strangers,
                "proxies with another secret_file use this store and namespace: they share no key and no limit with this one, and \
                 a request that is repeated there is executed again; give all proxies of a fleet one secret_file"
            );
        } else if before > 0 && strangers == 0 {
            tracing::info!(target: "store", kind = self.buckets.kind(), "all proxies of this store have one secret_file again");
        }
    }

    /// Asks about a key that belongs to no partition.
    async fn common(self: &Arc<Self>, asks: Asks, rest: &str, args: Vec<Vec<u8>>) -> Result<Vec<Value>, Failure> {
        let key = self.buckets.common_key(rest);
        if self.buckets.site(&key).pulse().is_open() {
            return Err(Failure::Away("it is not asked at present".to_owned()));
        }
        let started = self.clock.now();
        let answer = self.once(&key, Question::new(asks, vec![key.clone()], args)).await;
        let came = match &answer {
            Ok(_) => Came::Ok,
            Err(Failure::Late) => Came::Timeout,
            Err(_) => Came::Error,
        };
        self.timings.observe(Operation::QuotaPeers, came, self.clock.now() - started);
        answer
    }

    /// Asks something once, outside of a request, and learns from what comes of it.
    pub(super) async fn once(self: &Arc<Self>, key: &[u8], question: Question) -> Result<Vec<Value>, Failure> {
        let deadline = Instant::now() + self.patience;
        let site = self.buckets.site(key);
        let reached = self.buckets.reach(key, deadline).await;
        let reached = reached.inspect_err(|failure| self.failed(&site, &String::from_utf8_lossy(key), failure))?;
        let answer = self.buckets.ask(&reached, question, deadline, drop).await;
        match &answer {
            Ok(_) => self.succeeded(&reached.site()),
            Err(failure) => self.failed(&reached.site(), &String::from_utf8_lossy(key), failure),
        }
        answer
    }

    /// A server answered.
    pub(super) fn succeeded(&self, site: &Site) {
        if site.pulse().succeeded(self.clock.now()) {
            tracing::info!(target: "store", kind = self.buckets.kind(), "the store of limits answers again");
        }
    }

    /// A server failed with what belongs to `near`, a key or the name of a partition.
    pub(super) fn failed(self: &Arc<Self>, site: &Site, near: &str, failure: &Failure) {
        if let Failure::Unreadable(why) = failure {
            // It answers, and what lies under one key says nothing of the others.
            if self.unreadable.is_due(self.clock.now()) {
                tracing::error!(
                    target: "store",
                    kind = self.buckets.kind(),
                    bucket = near,
                    cause = %why,
                    "a bucket cannot be read; until it is reset or gone, its policies do as their on_store_error says"
                );
            }
            return self.succeeded(site);
        }
        if !site.pulse().failed(self.clock.now()) {
            return;
        }
        let cause = failure.clone().into_outage().to_string();
        tracing::warn!(
            target: "store",
            kind = self.buckets.kind(),
            cause,
            "the store of limits fails; each policy does as its on_store_error says until it answers"
        );
        // Next to the keys it failed with, so that the same server has it.
        let key = self.buckets.key(near, "probe");
        tokio::spawn(look_after(Arc::downgrade(self), site.fade(), key));
    }
}

fn count(value: &Value) -> Option<u64> {
    let Value::BulkString(count) = value else { return None };
    std::str::from_utf8(count).ok()?.parse().ok()
}

/// Probes a server until it answers, or is not used any more.
async fn look_after(fleet: Weak<Fleet>, site: Faded, key: Vec<u8>) {
    loop {
        let Some(pause) = site.get().and_then(|site| site.pulse().pause()) else { return };
        sleep(pause).await;
        let (Some(fleet), Some(site)) = (fleet.upgrade(), site.get()) else { return };
        site.pulse().probe();
        // Another server may have the key by now: then this one has nothing to be asked for, until it has some again.
        if fleet.buckets.probe(&key, Instant::now() + fleet.timeout()).await.is_ok() {
            fleet.succeeded(&site);
        }
    }
}
