//! The durable log.
//!
//! An event's way: [`Log::push`] puts it into a bounded [`queue`]; one thread, the [`writer`], links what waits into a
//! [`batch`], appends and fsyncs it, and tells the [`board`]. What cannot be written is accounted for in a [`loss`].
//! [`start`] continues what an earlier process left, [`retention`] lets old segments go, [`copies`] keeps checkpoints
//! apart, [`dir`] guards the directory.

mod batch;
pub(crate) mod board;
mod copies;
pub(crate) mod dir;
pub(crate) mod loss;
pub(crate) mod queue;
mod retention;
mod start;
#[cfg(test)]
mod tests;
mod writer;

use crate::config::OnError;
use crate::draft::Draft;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use board::{Board, Durable};
use queue::{Pushed, Queue, Writing};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use vestibule_chain::{Digest, SigningKey};
use vestibule_plugin::Clock;

/// A place between two records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Bytes of it before this place.
    pub(crate) offset: u64,
    /// `seq` of the record behind this place.
    pub(crate) next_seq: u64,
    /// Hash of the record before it.
    pub(crate) hash: Digest,
}

/// What a reload may change.
pub(crate) struct Terms {
    pub(crate) checkpoint: Duration,
    pub(crate) rotate_bytes: u64,
    pub(crate) keep: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) sign_key: Option<SigningKey>,
}

/// A handle on the log; it is closed when the last one is gone.
pub(crate) struct Log {
    path: PathBuf,
    queue: Arc<Queue>,
    board: Arc<Board>,
    terms: Arc<ArcSwap<Terms>>,
}

impl Log {
    /// Takes the directory for this process, mends what a crash left, and begins to write.
    pub(crate) fn open(
        path: &Path,
        on_error: OnError,
        terms: Terms,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let queue = Arc::new(Queue::new(on_error));
        let terms = Arc::new(ArcSwap::from_pointee(terms));
        let begun = start::continue_log(path, on_error, clock)?;
        let at = begun.at;
        let board = Arc::new(Board::new(at, begun.dir.bytes(), metrics.clone()));
        for draft in &begun.recovered {
            queue.push(draft.clone());
        }
        let writer = begun.into_writer(&queue, &board, &terms, clock, metrics);
        // One that cannot be started would leave events in the queue for ever.
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run());
        thread.map_err(|error| format!("cannot start a thread that writes: {error}"))?;
        Ok(Self { path: path.to_owned(), queue, board, terms })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What holds from now on.
    pub(crate) fn retune(&self, on_error: OnError, terms: Terms) {
        self.queue.on_error(on_error);
        self.terms.store(Arc::new(terms));
    }

    /// Reports an event.
    pub(crate) fn push(&self, draft: Draft) -> Pushed {
        let pushed = self.queue.push(draft);
        if pushed == Pushed::Lost {
            self.board.count_lost(1);
        }
        pushed
    }

    /// Waits until an event is on disk; whether it ever will be.
    pub(crate) async fn durable(&self, ticket: u64) -> bool {
        let mut durable = self.board.durable();
        let done = durable.wait_for(|durable| durable.tickets >= ticket || durable.over).await;
        done.is_ok_and(|durable| durable.holds(ticket))
    }

    /// What is on disk, and each change of it.
    pub(crate) fn followed(&self) -> watch::Receiver<Durable> {
        self.board.durable()
    }

    /// What the writer has come to.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Whether the last attempt to write failed.
    pub(crate) fn fails(&self) -> bool {
        self.board.writing() != Writing::Works
    }

    /// Writes what waits and a last checkpoint; then nothing more is taken.
    pub(crate) async fn close(&self) {
        self.queue.close();
        let mut durable = self.board.durable();
        // An error means that the board is gone, and the log with it.
        let _ = durable.wait_for(|durable| durable.over).await;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.close();
    }
}
