//! Delivery: every event of the log to every sink, at least once and in order.
//!
//! Sinks read the segments, never memory, each with a [`cursor`] of its own; a [`runner`] gives what [`reader`] finds to a
//! [`target`]. A sink that is dead costs nobody else anything: it is a task that sleeps.

pub(crate) mod cursor;
mod otlp;
pub(crate) mod reader;
mod runner;
pub(crate) mod spec;
mod standing;
mod syslog;
pub(crate) mod target;

use crate::log::Log;
use crate::metrics::Metrics;
use cursor::Cursor;
use parking_lot::Mutex;
use runner::Runner;
use serde_json::Value;
use spec::SinkSpec;
use standing::Standing;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::Target;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use vestibule_chain::layout;
use vestibule_plugin::Clock;

/// How long sinks get to take the last events of a log.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

/// The sinks of a log, whatever configuration serves.
#[derive(Default)]
pub(crate) struct Delivery {
    running: Mutex<BTreeMap<String, Running>>,
}

/// A sink that is delivered to.
struct Running {
    spec: SinkSpec,
    /// Differs when the token does.
    token: Option<String>,
    standing: Arc<Standing>,
    task: JoinHandle<()>,
}

/// A sink as a configuration wants it.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) spec: SinkSpec,
    pub(crate) token: Option<String>,
    pub(crate) target: Target,
}

impl Delivery {
    /// Delivers to these from now on and to no others; those that are as they were go on. Needs a runtime.
    pub(crate) fn serve(&self, log: &Arc<Log>, wanted: Vec<Wanted>, clock: &Arc<dyn Clock>, metrics: &Metrics) {
        let mut running = self.running.lock();
        let stays = |name: &String, now: &Running| {
            wanted.iter().any(|sink| sink.name == *name && sink.spec == now.spec && sink.token == now.token)
        };
        running.retain(|name, now| {
            let stays = stays(name, now);
            if !stays {
                now.task.abort();
            }
            stays
        });
        log.board().sinks(wanted.iter().map(|sink| &*sink.name));
        for sink in wanted {
            if !running.contains_key(&sink.name) {
                let name = sink.name.clone();
                running.insert(name, start(log, sink, clock, metrics));
            }
        }
    }

    /// For `/status`.
    pub(crate) fn show(&self, next_seq: u64) -> Vec<Value> {
        self.running.lock().iter().map(|(name, sink)| sink.standing.show(name, next_seq)).collect()
    }

    /// Waits until every sink has everything, or has had its time.
    pub(crate) async fn end(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        end(running).await;
    }
}

impl Drop for Delivery {
    /// A reload took the log away: what is in it is still delivered, unless a sink is dead.
    fn drop(&mut self) {
        let running = std::mem::take(self.running.get_mut());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(end(running));
        } else {
            running.values().for_each(|sink| sink.task.abort());
        }
    }
}

async fn end(running: BTreeMap<String, Running>) {
    let until = Instant::now() + LAST_DELIVERIES;
    for mut sink in running.into_values() {
        let left = until.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, &mut sink.task).await.is_err() {
            sink.task.abort();
        }
    }
}

fn start(log: &Arc<Log>, sink: Wanted, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Running {
    let Wanted { name, spec, token, target } = sink;
    let file = log.path().join(layout::CURSORS).join(spec.cursor_file());
    let at = log.board().at().at;
    let saved = Cursor::load(&file).unwrap_or_default();
    let standing = Arc::new(Standing::default());
    let cursor = match reader::resume(log.path(), saved, at) {
        Ok((cursor, None)) => cursor,
        Ok((cursor, Some(why))) => {
            tracing::error!(target: "audit", sink = name, cause = why, "the sink begins at the oldest segment");
            cursor
        }
        Err(error) => {
            standing.failed(&name, &error.to_string());
            saved.unwrap_or(Cursor::at_segment(at.segment))
        }
    };
    standing.reached(cursor.0.next_seq);
    log.board().needs(&name, cursor.0.segment);
    let (shown, board) = (Arc::downgrade(&standing), Arc::downgrade(log.board()));
    metrics.show_unsent(&name, move || {
        let (standing, board) = (shown.upgrade()?, board.upgrade()?);
        Some(standing.unsent(board.at().at.next_seq) as f64)
    });
    let runner = Runner {
        name,
        target,
        log: Arc::downgrade(log),
        dir: log.path().to_owned(),
        followed: log.followed(),
        clock: Arc::clone(clock),
        metrics: metrics.clone(),
        standing: Arc::clone(&standing),
        file,
        cursor,
        saved: Instant::now(),
    };
    Running { spec, token, standing, task: tokio::spawn(runner.run()) }
}

/// Removes the cursors of sinks that are configured no more. At the start alone: until then a reload may bring one back.
pub(crate) fn forget_others(log: &Log, sinks: &[SinkSpec]) {
    let kept: Vec<String> = sinks.iter().map(SinkSpec::cursor_file).collect();
    let entries = std::fs::read_dir(log.path().join(layout::CURSORS)).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| kept.iter().any(|kept| kept == name)) {
            // One that stays is read by nobody but `audit verify`, which it does not mislead.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
