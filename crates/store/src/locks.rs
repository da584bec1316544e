//! Locks that the proxies of a fleet share, on the records that they share.
//!
//! A lock is a claim that nobody completes: renewed while it is held, released by its owner alone, and free for the next
//! after a lease in which nobody renewed it. In one process those who wait stand in line, and only the first of them
//! asks the store.

use crate::Records;
use crate::records::{Abandoned, Begun, Claim, Fingerprint, Hold, Name, Outage, Owner, Payer, Released, Renewed};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use vestibule_plugin::Soon;

/// First pause before the store is asked again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a record stays after its lease, in which the next owner finds it instead of nothing.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// All who want a lock ask for the same.
const SAME: Fingerprint = Fingerprint([0; 32]);

/// All locks of one store.
pub struct Locks {
    records: Arc<dyn Records>,
    lines: Arc<Mutex<HashMap<Name, Line>>>,
}

/// Those of this process who want one lock, in the order they came.
type Line = Arc<tokio::sync::Mutex<()>>;

/// Why a lock was not had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotHad {
    /// Others had it for as long as it was waited for.
    Busy,
    /// The store failed.
    Outage(Outage),
}

/// A lock that is held until this is dropped.
pub struct Lock {
    held: Arc<Held>,
    renewal: Option<AbortHandle>,
    /// There is nothing to free any more.
    is_free: bool,
    /// The head of the line; the next one asks once this is gone.
    _place: Place,
}

struct Held {
    records: Arc<dyn Records>,
    hold: Hold,
    lease: Duration,
    lost: AtomicBool,
}

/// A place at the head of a line, which vanishes when nobody stands in it.
struct Place {
    guard: Option<OwnedMutexGuard<()>>,
    name: Name,
    lines: Arc<Mutex<HashMap<Name, Line>>>,
}

impl Locks {
    /// On this store.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records, lines: Arc::default() }
    }

    /// Takes the lock of this name, and waits for it at most `patience`. Nobody else has it as long as it is held, unless
    /// it could not be renewed for a `lease`.
    pub async fn take(&self, name: Name, trace_id: u128, lease: Duration, patience: Duration) -> Result<Lock, NotHad> {
        let until = Instant::now() + patience;
        let place = timeout_at(until, self.stand_in_line(name)).await.map_err(|_| NotHad::Busy)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let hold = Hold { name, fingerprint: SAME, owner: Owner::draw(), trace_id, payer: Payer::default() };
            match self.ask(hold, lease).await? {
                Begun::Acquired => return Ok(Lock::new(&self.records, hold, lease, place)),
                Begun::Busy { .. } | Begun::Uncertain { .. } => {}
                _ => {
                    let why = "a record that is no lock has the name of one";
                    return Err(NotHad::Outage(Outage::Unreadable(why.to_owned())));
                }
            }
            if Instant::now() + pause >= until {
                return Err(NotHad::Busy);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the store once. A lock that it may have granted unheard is given back.
    async fn ask(&self, hold: Hold, lease: Duration) -> Result<Begun, NotHad> {
        let claim = Claim { hold, lease, ttl: AFTERWARDS, abandoned: Abandoned::TakeOver, replicas: 0 };
        let begun = match self.records.begin(claim) {
            Soon::Now(begun) => begun,
            Soon::Later(begun) => {
                let mut unheard = Release(Some((Arc::clone(&self.records), hold)));
                let begun = begun.await;
                if !matches!(begun, Err(Outage::Timeout | Outage::Unheard(_))) {
                    unheard.0 = None;
                }
                begun
            }
        };
        begun.map_err(NotHad::Outage)
    }

    async fn stand_in_line(&self, name: Name) -> Place {
        let line = Arc::clone(self.lines.lock().entry(name).or_default());
        // Made first, so that the line vanishes as well when this is given up.
        let mut place = Place { guard: None, name, lines: Arc::clone(&self.lines) };
        place.guard = Some(line.lock_owned().await);
        place
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locks({} wanted)", self.lines.lock().len())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        self.guard = None;
        // The map has one, everybody in the line another.
        if lines.get(&self.name).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.name);
        }
    }
}

impl Lock {
    fn new(records: &Arc<dyn Records>, hold: Hold, lease: Duration, place: Place) -> Self {
        let held = Arc::new(Held { records: Arc::clone(records), hold, lease, lost: AtomicBool::new(false) });
        let renewal = Handle::try_current().ok().map(|runtime| runtime.spawn(renew(Arc::clone(&held))).abort_handle());
        Self { held, renewal, is_free: false, _place: place }
    }

    /// Whether nobody else can have it: it was not lost to another one, nor by the store.
    pub fn is_held(&self) -> bool {
        !self.held.lost.load(Ordering::Relaxed)
    }

    /// Neither renews nor frees it: nobody has it until its lease has run out. For a holder that may still be at work
    /// where nobody can see it.
    pub fn abandon(mut self) {
        self.is_free = true;
    }

    /// Frees it, and returns when the store has said so. Dropping it frees it as well.
    pub async fn free(mut self) {
        self.is_free = self.held.records.release(self.held.hold).get().await.is_ok();
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        if !self.is_free {
            drop(Release(Some((Arc::clone(&self.held.records), self.held.hold))));
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock({})", self.held.hold.name)
    }
}

/// Renews a lock every third of its lease, until this is aborted or the lock is lost.
async fn renew(held: Arc<Held>) {
    let mut renewed = Instant::now();
    loop {
        sleep(held.lease / 3).await;
        let asked = Instant::now();
        let why = match held.records.renew(held.hold, held.lease, AFTERWARDS).get().await {
            Ok(Renewed::Ok) => {
                renewed = asked;
                continue;
            }
            Ok(Renewed::Stale) => "somebody else has it".to_owned(),
            Ok(Renewed::Lost) => "the store does not know it any more".to_owned(),
            Err(outage) if renewed.elapsed() >= held.lease => outage.to_string(),
            Err(_) => continue,
        };
        held.lost.store(true, Ordering::Relaxed);
        tracing::warn!(
            target: "store",
            lock = %held.hold.name,
            trace_id = format_args!("{:032x}", held.hold.trace_id),
            cause = why,
            "a lock was lost while it was held: somebody else may write at the same time"
        );
        return;
    }
}

/// Frees a lock when dropped, in the background if need be. One try: a lock that is not freed is free after its lease.
struct Release(Option<(Arc<dyn Records>, Hold)>);

impl Drop for Release {
    fn drop(&mut self) {
        let Some((records, hold)) = self.0.take() else { return };
        if let Soon::Now(Ok(Released::Ok | Released::Stale)) = records.release(hold) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { records.release(hold).get().await.map(drop) });
        }
    }
}

#[cfg(test)]
mod tests;
