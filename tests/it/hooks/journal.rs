//! What was called, in order.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;
use vestibule_testkit::within;

/// A call on a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Attach,
    Request,
    Body,
    Forward,
    Send,
    Failed,
    UpstreamRequest,
    HeldHead,
    Held,
    Response,
    End,
}

/// One call: whom, what, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub plugin: &'static str,
    pub call: Call,
    /// Of [`Call::End`]: `ended answered_by status`. Of [`Call::Body`]: the length.
    pub note: String,
}

/// All calls on all plugins of one server. Clones are the same journal.
#[derive(Clone, Default)]
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Journal {
    pub fn record(&self, plugin: &'static str, call: Call, note: String) {
        self.entries.lock().push(Entry { plugin, call, note });
        self.changed.send_replace(());
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }

    /// Forgets what an exchange that only prepared the ground has left.
    pub fn clear(&self) {
        self.entries.lock().clear();
    }

    /// The plugins on which `call` was made, in order.
    pub fn who(&self, call: Call) -> Vec<&'static str> {
        self.entries.lock().iter().filter(|entry| entry.call == call).map(|entry| entry.plugin).collect()
    }

    /// What was noted at the first such call.
    pub fn note(&self, plugin: &str, call: Call) -> String {
        let entries = self.entries.lock();
        let found = entries.iter().find(|entry| entry.plugin == plugin && entry.call == call);
        found.map(|entry| entry.note.clone()).unwrap_or_default()
    }

    /// Waits until `plugin` got `call`.
    pub async fn wait(&self, plugin: &str, call: Call) {
        let mut changed = self.changed.subscribe();
        within(&format!("{call:?} of {plugin}"), async {
            while !self.entries.lock().iter().any(|entry| entry.plugin == plugin && entry.call == call) {
                changed.changed().await.expect("the sender lives in self");
            }
        })
        .await;
    }

    /// Waits until every plugin that is attached has learnt the end.
    pub async fn wait_ends(&self) {
        let mut changed = self.changed.subscribe();
        within("the end of every attached hook", async {
            loop {
                let attached = self.who(Call::Attach);
                let ended = self.who(Call::End);
                if !attached.is_empty() && attached.iter().all(|name| ended.contains(name)) {
                    return;
                }
                changed.changed().await.expect("the sender lives in self");
            }
        })
        .await;
    }
}
