//! Getting a claim, or what is there instead: asked of the store, or learned from whoever asks it for this process.

use crate::undo::Undo;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use vestibule_plugin::Soon;
use vestibule_store::Ledger;
use vestibule_store::ledger::{Entry, Lead, News};
use vestibule_store::records::{Begun, Claim, Hold, Outage, Owner};

/// First pause of a poller; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause of a poller.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a caller has got.
pub(crate) enum Got {
    /// The claim, and the lead over those who wait for it.
    Claim(Hold, Option<Lead>),
    /// Somebody else's claim, or what came of it.
    Known(Begun),
}

/// Asks the store for `claim`, once.
pub(crate) async fn ask(ledger: &Arc<Ledger>, claim: Claim) -> Result<Got, Outage> {
    match begin(ledger, claim).await? {
        Begun::Acquired => Ok(Got::Claim(claim.hold, None)),
        known => Ok(Got::Known(known)),
    }
}

/// As [`ask`], and waits for another caller's execution; longest `patience`. Of all callers in this process one asks.
///
/// Meanwhile `body` is let go: one of all that wait is kept for them. It is back where the request goes on.
pub(crate) async fn wait(
    ledger: &Arc<Ledger>,
    claim: Claim,
    patience: Duration,
    body: &mut Bytes,
) -> Result<Got, Outage> {
    let until = Instant::now() + patience;
    loop {
        let mut follower = match ledger.lobby().enter(claim.hold.name, claim.hold.fingerprint, body) {
            Entry::Mismatch => return Ok(Got::Known(Begun::Mismatch)),
            Entry::Follow(follower) => follower,
            Entry::Lead(lead) => match begin(ledger, claim).await? {
                Begun::Acquired => return Ok(Got::Claim(claim.hold, Some(lead))),
                Begun::Busy { .. } => {
                    // This caller follows the poller from the first moment on, so that it does not see itself alone.
                    let entry = ledger.lobby().enter(claim.hold.name, claim.hold.fingerprint, body);
                    let Entry::Follow(follower) = entry else { continue };
                    tokio::spawn(poll(Arc::clone(ledger), claim, lead));
                    follower
                }
                known => {
                    lead.settle(known.clone());
                    return Ok(Got::Known(known));
                }
            },
        };
        *body = Bytes::new();
        let news = timeout_at(until, follower.news()).await;
        if let Ok(News::Settled(known)) = news {
            return Ok(Got::Known(known));
        }

        *body = follower.body();
        match news {
            Err(_) => return follower.doubt().map_or(Ok(Got::Known(Begun::Busy { trace_id: 0 })), Err),
            Ok(News::Offered) => {
                if let Some((lead, hold)) = follower.take() {
                    return Ok(Got::Claim(hold, Some(lead)));
                }
            }
            Ok(News::Vacant | News::None | News::Settled(_)) => {}
        }
    }
}

/// Asks again and again for all who wait in this process for an execution elsewhere, until none of them is left.
async fn poll(ledger: Arc<Ledger>, mut claim: Claim, lead: Lead) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = lead.forsaken() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        claim.hold.owner = Owner::draw();
        match begin(&ledger, claim).await {
            Ok(Begun::Busy { .. }) => lead.doubt(None),
            // It may be back before those who wait give up.
            Err(outage) => lead.doubt(Some(outage)),
            Ok(Begun::Acquired) => {
                if let Some((lead, hold)) = lead.offer(claim.hold).await {
                    drop(Undo::new(&ledger, hold));
                    drop(lead);
                }
                return;
            }
            Ok(known) => return lead.settle(known),
        }
    }
}

/// Asks the store. A claim that it may have granted unheard is taken back.
async fn begin(ledger: &Arc<Ledger>, claim: Claim) -> Result<Begun, Outage> {
    match ledger.records().begin(claim) {
        Soon::Now(found) => found,
        Soon::Later(found) => {
            let undo = Undo::new(ledger, claim.hold);
            let found = found.await;
            match found {
                Err(Outage::Timeout | Outage::Unheard(_)) => drop(undo),
                _ => undo.disarm(),
            }
            found
        }
    }
}
