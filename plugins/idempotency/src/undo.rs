//! Taking back a claim that the store may have granted when nobody heard it.

use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use vestibule_plugin::Soon;
use vestibule_store::Ledger;
use vestibule_store::records::{Hold, Released};

/// How long it is tried. What a store that stood still has not read by then was lost with its connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes a claim back when dropped, in the background if need be.
pub(crate) struct Undo(Option<(Arc<Ledger>, Hold)>);

impl Undo {
    pub(crate) fn new(ledger: &Arc<Ledger>, hold: Hold) -> Self {
        Self(Some((Arc::clone(ledger), hold)))
    }

    /// Takes a claim back that was heard and is not wanted; in the background only when the store fails.
    pub(crate) async fn now(ledger: &Arc<Ledger>, hold: Hold) {
        let undo = Self::new(ledger, hold);
        if ledger.records().release(hold).get().await.is_ok() {
            undo.disarm();
        }
    }

    /// The answer was heard.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some((ledger, hold)) = self.0.take() else { return };
        if let Soon::Now(Ok(_)) = ledger.records().release(hold) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let owed = ledger.owe();
            runtime.spawn(async move {
                take_back(ledger, hold).await;
                drop(owed);
            });
        }
    }
}

/// Twice: what was on its way over a connection that has broken may be read after what came over the next one.
async fn take_back(ledger: Arc<Ledger>, hold: Hold) {
    let until = Instant::now() + PATIENCE;
    let mut heard = 0;
    while heard < 2 && Instant::now() < until {
        match ledger.records().release(hold).get().await {
            // It is somebody else's by now.
            Ok(Released::Stale) => return,
            Ok(Released::Ok) => heard += 1,
            Err(_) => heard = 0,
        }
        sleep(PAUSE).await;
    }
    if heard < 2 {
        tracing::warn!(target: "idempotency", record = %hold.name,
            "the store was away for too long: it may hold a claim for a request that was never sent on");
    }
}
