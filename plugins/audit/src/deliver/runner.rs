//! One sink's delivery: read what it has not got, give it, remember that it has it. At least once, in order.

use super::cursor::Cursor;
use super::reader::{self, Item, MOST_EVENTS};
use super::standing::Standing;
use super::target::{Refusal, Target};
use crate::log::Log;
use crate::log::board::Durable;
use crate::log::loss::own;
use crate::metrics::Metrics;
use serde_json::json;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use vestibule_chain::millis;
use vestibule_plugin::Clock;

/// How long a receiver of batches waits for more to come.
const GATHER: Duration = Duration::from_millis(200);
/// How often a cursor is saved at most.
const SAVE: Duration = Duration::from_secs(1);
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// What delivers to one sink.
pub(crate) struct Runner {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) log: Weak<Log>,
    pub(super) dir: PathBuf,
    pub(super) followed: watch::Receiver<Durable>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) standing: Arc<Standing>,
    pub(super) file: PathBuf,
    pub(super) cursor: Cursor,
    pub(super) saved: Instant,
}

impl Runner {
    /// Until the log is closed and everything is delivered, or it is stopped.
    pub(super) async fn run(mut self) {
        let mut is_dirty = false;
        loop {
            let until = match self.wait(is_dirty).await {
                Waited::More(until) => until,
                Waited::Quiet => {
                    is_dirty = !self.save().await;
                    continue;
                }
                Waited::Over => break,
            };
            let (dir, cursor) = (self.dir.clone(), self.cursor);
            let read = tokio::task::spawn_blocking(move || reader::read(&dir, cursor, until.at)).await;
            let batch = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(batch) => batch,
                Err(error) => {
                    self.standing.failed(&self.name, &format!("the log cannot be read: {error}"));
                    if let Ok((cursor, Some(_))) = reader::resume(&self.dir, Some(self.cursor), until.at) {
                        self.arrive(cursor);
                        continue;
                    }
                    tokio::time::sleep(PAUSE.1).await;
                    continue;
                }
            };
            self.give(&batch.items).await;
            self.arrive(batch.end);
            is_dirty = true;
            if self.saved.elapsed() >= SAVE {
                is_dirty = !self.save().await;
            }
        }
        if is_dirty {
            self.save().await;
        }
    }

    /// Until there is more than was delivered.
    async fn wait(&mut self, is_dirty: bool) -> Waited {
        let next = self.cursor.0.next_seq;
        let more = self.followed.wait_for(|durable| durable.at.next_seq > next || durable.over);
        let durable = match is_dirty {
            // A cursor is on disk soon after the last delivery.
            true => match tokio::time::timeout(SAVE, more).await {
                Ok(durable) => durable,
                Err(_elapsed) => return Waited::Quiet,
            },
            false => more.await,
        };
        // An error means that the log is gone.
        let Ok(durable) = durable.map(|durable| *durable) else { return Waited::Over };
        if durable.at.next_seq <= next {
            return Waited::Over;
        }
        if !self.target.gathers() || durable.over || durable.at.next_seq - next >= MOST_EVENTS as u64 {
            return Waited::More(durable);
        }
        let enough = |durable: &Durable| durable.over || durable.at.next_seq - next >= MOST_EVENTS as u64;
        let gathered = tokio::time::timeout(GATHER, self.followed.wait_for(enough)).await;
        drop(gathered);
        Waited::More(*self.followed.borrow())
    }

    /// Gives events until each is taken, or refused for good. Boxed, as it halves what is refused.
    fn give<'a>(&'a mut self, items: &'a [Item]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let mut failures = 0;
            loop {
                match self.target.deliver(items).await {
                    Ok(()) => {
                        self.metrics.delivered(items.len() as u64);
                        return self.standing.worked(&self.name, millis(self.clock.wall()));
                    }
                    Err(Refusal::Later(wait, why)) => {
                        self.metrics.retried(items.len() as u64);
                        self.standing.failed(&self.name, &why);
                        // One that may be asked again at once is not asked without a pause all the same.
                        tokio::time::sleep(pause(failures).max(wait.unwrap_or_default())).await;
                        failures += 1;
                    }
                    Err(Refusal::Never(status)) => {
                        let [refused] = items else { break };
                        return self.reject(refused, status);
                    }
                }
            }
            // One of them is bad; the others are not.
            let (first, second) = items.split_at(items.len() / 2);
            self.give(first).await;
            self.give(second).await;
        })
    }

    /// An event that its receiver will never take.
    fn reject(&self, item: &Item, status: u16) {
        self.metrics.rejected();
        self.standing.refused(format!("an event was refused for good: {status}"));
        let event_id = item.text("id");
        tracing::error!(target: "audit", sink = self.name, status, event_id, "an audit event was refused for good");
        if item.text("type").ends_with(".audit.rejected") {
            return;
        }
        if let Some(log) = self.log.upgrade() {
            let metadata = json!({ "event_id": event_id, "sink": self.name, "status": status });
            log.push(own("audit.rejected", millis(self.clock.wall()), metadata));
        }
    }

    fn arrive(&mut self, at: Cursor) {
        self.cursor = at;
        self.standing.reached(self.cursor.0.next_seq);
    }

    /// Whether the cursor is on disk.
    async fn save(&mut self) -> bool {
        self.saved = Instant::now();
        let (cursor, file) = (self.cursor, self.file.clone());
        let saved = tokio::task::spawn_blocking(move || cursor.save(&file)).await;
        match saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                if let Some(log) = self.log.upgrade() {
                    // A segment may go only once this would be known after a crash.
                    log.board().needs(&self.name, self.cursor.0.segment);
                }
                true
            }
            Err(error) => {
                self.standing.failed(&self.name, &format!("the cursor cannot be saved: {error}"));
                false
            }
        }
    }
}

/// What came of waiting.
enum Waited {
    /// There is more to deliver.
    More(Durable),
    /// Nothing for a while, and a cursor that is not on disk.
    Quiet,
    /// Nothing more will come.
    Over,
}

/// Doubling, with full jitter.
fn pause(failures: u32) -> Duration {
    let most = PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1);
    most.mul_f64(fastrand::f64())
}
