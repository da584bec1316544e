//! Keys from an address: fetched by a thread of their own, so that nobody who has a usable key ever waits for them.

use crate::fetch::{self, Failed, Fetched};
use crate::jwk::{KeySet, Skipped};
use crate::metrics::{Metrics, Refresh};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use vestibule_plugin::{Clock, Monotonic};

/// Most requests that wait for a fetch.
const MAX_WAITING: usize = 1_000;
/// However short an answer says it lives.
const LEAST_MAX_AGE: Duration = Duration::from_secs(60);
/// The first retry after a failure; each further one takes twice as long.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait for a retry while there are keys, and while there are none.
const RETRY_MOST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// Where keys come from, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub(crate) url: String,
    pub(crate) refresh: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_stale: Duration,
    pub(crate) authorities: Option<Vec<CertificateDer<'static>>>,
}

/// The keys of an address, for as long as somebody holds this.
pub(crate) struct Remote {
    terms: Terms,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    set: ArcSwapOption<KeySet>,
    fetching: Mutex<Fetching>,
    /// Counts fetches that ended.
    ended: watch::Sender<u64>,
    /// Calls for a fetch; the thread ends when this does.
    wanted: mpsc::Sender<()>,
}

#[derive(Default)]
struct Fetching {
    under_way: bool,
    ended_at: Option<Monotonic>,
    succeeded_at: Option<Monotonic>,
    /// Since the last success.
    failures: u32,
    waiting: usize,
    skipped: Vec<Skipped>,
}

/// What a request for new keys comes to.
pub(crate) enum Asked {
    /// A fetch is under way; wait for its end.
    Wait(Waiting),
    /// There are others by now; look again.
    Changed,
    /// The last one is too recent.
    Suppressed,
    /// Too many wait already, or nothing is under way.
    Unavailable,
}

/// A request that waits.
pub(crate) struct Waiting {
    remote: Arc<Remote>,
    ended: watch::Receiver<u64>,
}

impl Waiting {
    /// Waits for the end of the fetch, which its own time bounds.
    pub(crate) async fn end(mut self) {
        // The sender lives as long as the keys do, which this holds.
        let _ = self.ended.changed().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.remote.fetching.lock().waiting -= 1;
    }
}

impl Remote {
    /// Begins to fetch, in a thread that ends when the last handle is dropped.
    pub(crate) fn start(terms: Terms, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Result<Arc<Self>, String> {
        let client = vestibule_outbound::client(terms.authorities.as_deref(), None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (remote, asks) = Self::new(terms, clock, metrics);
        let weak = Arc::downgrade(&remote);
        std::thread::Builder::new()
            .name("jwks".to_owned())
            .spawn(move || runtime.block_on(keep_fetching(weak, client, asks)))
            .map_err(|error| error.to_string())?;
        Ok(remote)
    }

    /// Without its thread, which hears there what is asked for.
    fn new(terms: Terms, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> (Arc<Self>, mpsc::Receiver<()>) {
        let (wanted, asks) = mpsc::channel(1);
        let remote = Arc::new(Self {
            terms,
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
            set: ArcSwapOption::empty(),
            // Whoever comes before the thread has begun waits for it as well.
            fetching: Mutex::new(Fetching { under_way: true, ..Fetching::default() }),
            ended: watch::Sender::new(0),
            wanted,
        });
        (remote, asks)
    }

    /// Whether these are the keys that `terms` mean.
    pub(crate) fn is_of(&self, terms: &Terms) -> bool {
        self.terms == *terms
    }

    /// The keys in use; `None`: none were fetched yet, or too long ago.
    pub(crate) fn set(&self) -> Option<Arc<KeySet>> {
        self.set.load_full()
    }

    /// Whether there were keys at some time.
    pub(crate) fn has_served(&self) -> bool {
        self.fetching.lock().succeeded_at.is_some()
    }

    /// Asks for new keys, because a token names one that is not among `seen`.
    pub(crate) fn refetch(self: &Arc<Self>, seen: &Arc<KeySet>) -> Asked {
        let mut fetching = self.fetching.lock();
        if self.set.load().as_ref().is_some_and(|set| !Arc::ptr_eq(set, seen)) {
            return Asked::Changed;
        }
        if !fetching.under_way {
            let now = self.clock.now();
            if fetching.ended_at.is_some_and(|ended| now.since(ended) < self.terms.cooldown) {
                self.metrics.refreshed(Refresh::Suppressed);
                return Asked::Suppressed;
            }
            fetching.under_way = true;
            // There is room: a fetch that begins takes out what was asked before.
            let _ = self.wanted.try_send(());
        }
        self.wait(&mut fetching)
    }

    /// Waits for the fetch that is under way, because there were no keys.
    pub(crate) fn await_first(self: &Arc<Self>) -> Asked {
        let mut fetching = self.fetching.lock();
        // They may have come after the caller looked and before the lock was free.
        if self.set.load().is_some() {
            return Asked::Changed;
        }
        // Of those that come after a failure, nobody knows how many will fail.
        let first = fetching.under_way && fetching.ended_at.is_none();
        if first { self.wait(&mut fetching) } else { Asked::Unavailable }
    }

    fn wait(self: &Arc<Self>, fetching: &mut Fetching) -> Asked {
        if fetching.waiting >= MAX_WAITING {
            return Asked::Unavailable;
        }
        fetching.waiting += 1;
        Asked::Wait(Waiting { remote: Arc::clone(self), ended: self.ended.subscribe() })
    }

    /// A fetch begins: it is the one that was asked for.
    fn begin(&self, asks: &mut mpsc::Receiver<()>) {
        let mut fetching = self.fetching.lock();
        fetching.under_way = true;
        while asks.try_recv().is_ok() {}
    }

    /// A fetch has ended; how long until the next one.
    fn end(&self, fetched: Fetched) -> Duration {
        let now = self.clock.now();
        let mut fetching = self.fetching.lock();
        let next = match fetched {
            Ok((read, max_age)) => {
                self.metrics.refreshed(Refresh::Ok);
                self.metrics.show_keys(read.set.len(), Some(self.clock.wall()));
                self.set.store(Some(Arc::new(read.set)));
                self.report(&mut fetching, read.skipped);
                (fetching.succeeded_at, fetching.failures) = (Some(now), 0);
                let jittered = self.terms.refresh.mul_f64(rand::random_range(0.9..=1.1));
                max_age.map_or(jittered, |max_age| jittered.min(max_age.max(LEAST_MAX_AGE)))
            }
            Err(failed) => self.failed(&mut fetching, &failed, now),
        };
        fetching.under_way = false;
        fetching.ended_at = Some(now);
        self.ended.send_modify(|ended| *ended += 1);
        next
    }

    fn failed(&self, fetching: &mut Fetching, failed: &Failed, now: Monotonic) -> Duration {
        self.metrics.refreshed(match failed {
            Failed::Error(_) => Refresh::Error,
            Failed::Invalid(_) => Refresh::Invalid,
        });
        let left = fetching.succeeded_at.map(|at| self.terms.max_stale.saturating_sub(now.since(at)));
        if left == Some(Duration::ZERO) && self.set.swap(None).is_some() {
            self.metrics.show_keys(0, None);
            tracing::error!(target: "auth", max_stale = ?self.terms.max_stale,
                "no keys: the last ones are too old, and no others came");
        }
        if fetching.failures == 0 {
            let keys = self.set.load().as_ref().map_or(0, |set| set.len());
            tracing::warn!(target: "auth", cause = failed.why(), keys, "keys were not fetched; tried again");
        }
        let most = if self.set.load().is_some() { RETRY_MOST.0 } else { RETRY_MOST.1 };
        let doubled = RETRY.saturating_mul(1 << fetching.failures.min(8)).min(most);
        fetching.failures = fetching.failures.saturating_add(1);
        let next = doubled.mul_f64(rand::random_range(0.8..=1.2));
        // The end of what is left of the old keys is not overslept.
        left.filter(|left| !left.is_zero()).map_or(next, |left| next.min(left))
    }

    /// Says what changed for the worse or the better.
    fn report(&self, fetching: &mut Fetching, skipped: Vec<Skipped>) {
        if fetching.failures > 0 {
            tracing::info!(target: "auth", "keys were fetched again");
        }
        if skipped == fetching.skipped {
            return;
        }
        for Skipped { key_id, why, is_private } in &skipped {
            if *is_private {
                tracing::error!(target: "auth", kid = key_id, why, "a key of the set is left out: it is no secret any more");
            } else {
                tracing::warn!(target: "auth", kid = key_id, why, "a key of the set is left out");
            }
        }
        fetching.skipped = skipped;
    }
}

async fn keep_fetching(remote: Weak<Remote>, client: Client, mut asks: mpsc::Receiver<()>) {
    loop {
        let Some(this) = remote.upgrade() else { return };
        this.begin(&mut asks);
        let (url, within) = (this.terms.url.clone(), this.terms.timeout);
        drop(this);
        let fetched = fetch::fetch(&client, &url, within).await;
        let Some(this) = remote.upgrade() else { return };
        let next = this.end(fetched);
        drop(this);
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            asked = asks.recv() => if asked.is_none() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::ReadSet;
    use crate::key::Material;
    use vestibule_plugin::SystemClock;
    use vestibule_plugin::meter::Registry;

    fn remote() -> Arc<Remote> {
        let second = Duration::from_secs(1);
        let terms = Terms {
            url: "https://127.0.0.1:1/keys".to_owned(),
            refresh: second,
            cooldown: second,
            timeout: second,
            max_stale: second,
            authorities: None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Remote::new(terms, &clock, &Arc::new(Metrics::new(&Registry::default()))).0
    }

    fn keys() -> ReadSet {
        let set = KeySet::of(Material::secret(&[7; 32]).expect("a secret"));
        ReadSet { set, skipped: Vec::new() }
    }

    #[test]
    fn who_comes_with_the_first_keys_is_sent_to_look_again() {
        let remote = remote();
        assert!(matches!(remote.await_first(), Asked::Wait(_)));
        remote.end(Ok((keys(), None)));
        assert!(matches!(remote.await_first(), Asked::Changed));
    }

    #[test]
    fn nobody_waits_for_keys_that_failed_to_come() {
        let remote = remote();
        remote.end(Err(Failed::Error("nobody there".to_owned())));
        assert!(matches!(remote.await_first(), Asked::Unavailable));
    }
}
