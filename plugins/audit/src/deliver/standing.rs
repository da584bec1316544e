//! How a sink is doing, for `/status`, metrics and the log.

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use vestibule_chain::rfc3339;

/// How a sink is doing.
#[derive(Default)]
pub(crate) struct Standing {
    /// `seq` of the first event that it has not got.
    next_seq: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_ok_ms: Option<u64>,
    last_error: Option<String>,
    is_failing: bool,
}

impl Standing {
    /// It has everything before `next_seq`.
    pub(super) fn reached(&self, next_seq: u64) {
        self.next_seq.store(next_seq, Ordering::Relaxed);
    }

    /// A batch was taken. The first one after a failure is worth a line.
    pub(super) fn worked(&self, name: &str, now_ms: u64) {
        let mut state = self.state.lock();
        state.last_ok_ms = Some(now_ms);
        if std::mem::take(&mut state.is_failing) {
            tracing::info!(target: "audit", sink = name, "the sink takes events again");
        }
    }

    /// It was not. The first failure is worth a line.
    pub(super) fn failed(&self, name: &str, why: &str) {
        let mut state = self.state.lock();
        state.last_error = Some(why.to_owned());
        if !std::mem::replace(&mut state.is_failing, true) {
            tracing::warn!(target: "audit", sink = name, cause = why, "the sink takes no events; they wait in the log");
        }
    }

    /// One event was, and the sink goes on behind it: nothing waits, so this is no failure that could end.
    pub(super) fn refused(&self, why: String) {
        self.state.lock().last_error = Some(why);
    }

    /// Events of a log that ends before `next_seq` which it has not got.
    pub(crate) fn unsent(&self, next_seq: u64) -> u64 {
        next_seq.saturating_sub(self.next_seq.load(Ordering::Relaxed))
    }

    /// For `/status`.
    pub(crate) fn show(&self, name: &str, next_seq: u64) -> Value {
        let state = self.state.lock();
        json!({
            "name": name,
            "unsent": self.unsent(next_seq),
            "last_error": state.last_error,
            "last_ok": state.last_ok_ms.map(rfc3339),
        })
    }
}
