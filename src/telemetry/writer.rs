//! Takes finished lines and writes them to stderr from a thread of its own. Nobody waits for it.

use super::line::Line;
use crate::config::settings::LogFormat;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_plugin::meter::{Counter, Desc, Registry};

/// How long a line waits for others to be written with it.
const GATHER: Duration = Duration::from_millis(2);
/// Lines that wait; beyond them the newest is dropped and counted.
const MAX_LINES: usize = 8192;

/// The way to stderr.
pub struct Writer {
    queue: Arc<Queue>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    something: Condvar,
    nothing: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: usize,
    /// Dropped since the last line that said so.
    dropped: u64,
    writing: bool,
}

impl Writer {
    /// Starts the thread.
    pub fn start(meter: &Registry) -> Self {
        let dropped = meter.counter(Desc {
            name: "vestibule_log_lines_dropped_total",
            help: "Log lines dropped because stderr took too long.",
            labels: &[],
        });
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            something: Condvar::new(),
            nothing: Condvar::new(),
            dropped: dropped.with(&[]),
        });
        let theirs = Arc::clone(&queue);
        // Without the thread lines would be counted as dropped, which is what their absence is.
        let _ = std::thread::Builder::new().name("log".into()).spawn(move || theirs.run());
        Self { queue }
    }

    /// Lines up one line, its newline included; `format` is that of a notice about lines that were dropped.
    pub fn write(&self, line: &[u8], format: LogFormat) {
        let mut waiting = self.queue.waiting.lock();
        if waiting.lines >= MAX_LINES {
            waiting.dropped += 1;
            self.queue.dropped.inc();
            return;
        }
        if waiting.dropped > 0 {
            let count = std::mem::take(&mut waiting.dropped);
            let mut notice = Line::new(format, "WARN", "log", "log lines dropped");
            notice.plain("count", count);
            waiting.bytes.extend_from_slice(&notice.finish());
        }
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        if waiting.lines == 1 && !waiting.writing {
            self.queue.something.notify_one();
        }
    }

    /// Waits until nothing waits, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut waiting = self.queue.waiting.lock();
        while waiting.lines > 0 || waiting.writing {
            if self.queue.nothing.wait_until(&mut waiting, until).timed_out() {
                return;
            }
        }
    }
}

impl Queue {
    fn run(&self) {
        let mut batch = Vec::new();
        loop {
            {
                let mut waiting = self.waiting.lock();
                waiting.writing = false;
                if waiting.lines == 0 {
                    self.nothing.notify_all();
                    self.something.wait_while(&mut waiting, |waiting| waiting.lines == 0);
                    // One write, and one waking of this thread, for all that comes meanwhile.
                    waiting.writing = true;
                    MutexGuard::unlocked(&mut waiting, || std::thread::sleep(GATHER));
                }
                std::mem::swap(&mut waiting.bytes, &mut batch);
                waiting.lines = 0;
                waiting.writing = true;
            }
            // There is nowhere to report that stderr is gone.
            let _ = std::io::stderr().write_all(&batch);
            batch.clear();
        }
    }
}
