//! A signal from the test to a script: go on.

use std::sync::Arc;
use tokio::sync::watch;

/// Closed until somebody opens it; then open for good. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns once the gate is open; has no deadline of its own, since scripts may wait for ever.
    pub async fn opened(&self) {
        let mut seen = self.open.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = seen.wait_for(|open| *open).await;
    }
}
