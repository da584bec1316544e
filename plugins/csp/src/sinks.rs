//! Where records go. Each sink has its own queue and task, so that a dead one costs the others nothing.

mod file;
mod http;
mod log;

pub(crate) use self::file::{check as check_file, folder as folder_of, foresee as foresee_file};
pub(crate) use self::http::{Endpoint, Token};

use crate::metrics::{Fate, Kind, Metrics};
use crate::record::Record;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use vestibule_store::Streams;
use vestibule_store::streams::{Entry, Stream};

/// Records that wait for a sink; beyond it the oldest go.
const MAX_WAITING: usize = 10_000;
/// Records that are delivered together.
const BATCH: usize = 100;
/// How often they are.
const EVERY: Duration = Duration::from_secs(1);
/// What waits for a sink that a reload has removed gets this long.
const LAST_CALL: Duration = Duration::from_secs(2);
/// The stream of the store, behind its namespace.
const STREAM: Stream<'static> = Stream { suffix: "csp", keeps: 100_000 };

/// Where records go.
#[derive(Clone)]
pub(crate) enum Sink {
    /// Lines of the log.
    Log,
    /// JSON Lines in a file.
    File(PathBuf),
    /// Arrays, posted.
    Http(Endpoint),
    /// A stream of the store.
    Store(Arc<dyn Streams>),
}

impl PartialEq for Sink {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Log, Self::Log) => true,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Http(one), Self::Http(other)) => one == other,
            (Self::Store(one), Self::Store(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Sink {
    fn kind(&self) -> Kind {
        match self {
            Self::Log => Kind::Log,
            Self::File(_) => Kind::File,
            Self::Http(_) => Kind::Http,
            Self::Store(_) => Kind::Store,
        }
    }

    /// Delivers a batch, or says why it could not be.
    async fn deliver(&self, batch: &[Arc<Record>]) -> Result<(), String> {
        match self {
            Self::Log => log::write(batch),
            Self::File(path) => {
                let (path, lines) = (path.clone(), lines(batch)?);
                // A disk that hangs holds up this sink alone.
                let appended = tokio::task::spawn_blocking(move || file::append(&path, &lines));
                appended.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Self::Http(endpoint) => {
                let records: Vec<&Record> = batch.iter().map(|record| &**record).collect();
                endpoint.post(serde_json::to_vec(&records).map_err(|error| error.to_string())?).await
            }
            Self::Store(streams) => {
                let entry = |record: &Arc<Record>| Ok(vec![("record", serde_json::to_vec(&**record)?)]);
                let entries: Result<Vec<Entry>, serde_json::Error> = batch.iter().map(entry).collect();
                let entries = entries.map_err(|error| error.to_string())?;
                streams.append(STREAM, &entries).get().await.map_err(|outage| outage.to_string())
            }
        }
    }
}

fn lines(batch: &[Arc<Record>]) -> Result<Vec<u8>, String> {
    let mut lines = Vec::new();
    for record in batch {
        serde_json::to_writer(&mut lines, &**record).map_err(|error| error.to_string())?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A sink and what waits for it.
pub(crate) struct Outlet {
    sink: Sink,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    /// Something is to be delivered before its time.
    hurry: Notify,
    /// Nothing waits any more.
    idle: Notify,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Arc<Record>>,
    /// Taken out and not delivered yet.
    in_hand: usize,
    /// Whether the last batch failed, so that an outage is told once.
    failing: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.in_hand == 0
    }
}

impl Outlet {
    /// Begins to deliver, in a task of `runtime`.
    pub(crate) fn open(sink: Sink, metrics: &Arc<Metrics>, runtime: &Handle) -> Arc<Self> {
        let outlet = Arc::new(Self {
            sink,
            metrics: Arc::clone(metrics),
            waiting: Mutex::default(),
            hurry: Notify::new(),
            idle: Notify::new(),
            closing: watch::Sender::new(false),
        });
        runtime.spawn(Arc::clone(&outlet).deliver_for_ever());
        outlet
    }

    /// Whether it delivers to this sink.
    pub(crate) fn is_of(&self, sink: &Sink) -> bool {
        self.sink == *sink
    }

    /// Lets records wait for their delivery.
    pub(crate) fn push(&self, records: &[Arc<Record>]) {
        let dropped = {
            let mut waiting = self.waiting.lock();
            waiting.queue.extend(records.iter().cloned());
            let over = waiting.queue.len().saturating_sub(MAX_WAITING);
            waiting.queue.drain(..over).count()
        };
        self.metrics.sunk(self.sink.kind(), Fate::Dropped, dropped);
        if matches!(self.sink, Sink::Log) {
            self.hurry.notify_one();
        }
    }

    /// Nothing more comes: what waits gets a last call.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    async fn deliver_for_ever(self: Arc<Self>) {
        let mut closing = self.closing.subscribe();
        let last_call = async {
            // The sender is this outlet's own.
            let _ = closing.wait_for(|closing| *closing).await;
            self.hurry.notify_one();
            sleep(LAST_CALL).await;
        };
        let deliver = async {
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = self.hurry.notified() => {}
                }
                let is_last = *self.closing.borrow();
                self.deliver_all().await;
                if is_last {
                    return;
                }
            }
        };
        tokio::select! {
            () = deliver => {}
            () = last_call => {}
        }
        self.drop_all();
    }

    async fn deliver_all(&self) {
        while let Some(batch) = self.take() {
            let delivered = self.sink.deliver(&batch).await;
            self.metrics.sunk(self.sink.kind(), if delivered.is_ok() { Fate::Sent } else { Fate::Failed }, batch.len());
            self.put_down(delivered.err());
        }
        self.idle.notify_waiters();
    }

    fn take(&self) -> Option<Vec<Arc<Record>>> {
        let mut waiting = self.waiting.lock();
        let size = waiting.queue.len().min(BATCH);
        waiting.in_hand = size;
        (size > 0).then(|| waiting.queue.drain(..size).collect())
    }

    fn put_down(&self, failed: Option<String>) {
        let mut waiting = self.waiting.lock();
        waiting.in_hand = 0;
        let told = waiting.failing != failed.is_some();
        waiting.failing = failed.is_some();
        drop(waiting);
        let sink = self.sink.kind().as_str();
        match failed {
            Some(cause) if told => tracing::warn!(target: "csp", sink, cause, "records are lost: the sink fails"),
            None if told => tracing::info!(target: "csp", sink, "the sink takes records again"),
            Some(_) | None => {}
        }
    }

    fn drop_all(&self) {
        let dropped = {
            let mut waiting = self.waiting.lock();
            std::mem::take(&mut waiting.queue).len() + std::mem::take(&mut waiting.in_hand)
        };
        self.metrics.sunk(self.sink.kind(), Fate::Dropped, dropped);
        self.idle.notify_waiters();
    }

    async fn become_idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // Who asks first cannot miss what is told in between.
            idle.as_mut().enable();
            if self.waiting.lock().is_empty() {
                return;
            }
            idle.await;
        }
    }
}

/// Has everything delivered at once, and waits for it until this time has passed.
pub(crate) async fn flush(outlets: &[Arc<Outlet>], within: Duration) {
    let until = Instant::now() + within;
    outlets.iter().for_each(|outlet| outlet.hurry.notify_one());
    for outlet in outlets {
        // Who is late is left behind.
        let _ = timeout_at(until, outlet.become_idle()).await;
    }
}
