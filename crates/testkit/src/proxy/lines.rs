//! What the program prints, line by line.

use crate::deadline::within;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

/// Lines kept; what comes after is read, so that the program never blocks, and forgotten.
const KEPT: usize = 200_000;

/// Lines of one stream. Clones see the same ones.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// How many lines there are; gone when the stream ended.
    count: watch::Receiver<usize>,
}

impl Lines {
    /// Collects in the background until the stream ends.
    pub(super) fn collect(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                line.clear();
                let mut kept = kept.lock();
                if kept.len() < KEPT {
                    kept.push(text);
                }
                counter.send_replace(kept.len());
            }
        });
        Self { lines, count }
    }

    pub(super) fn json(&self) -> Vec<Value> {
        self.lines.lock().iter().filter_map(parsed).collect()
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Waits until the lines satisfy `until`.
    pub(super) async fn wait(&self, what: &str, until: impl FnMut(&[String]) -> bool) {
        let reached = within(what, self.reach(until)).await;
        assert!(reached, "the program ended before {what}:\n{}", self.text());
    }

    /// Waits until the lines satisfy `until`; false when the stream ends before that.
    pub(super) async fn reach(&self, mut until: impl FnMut(&[String]) -> bool) -> bool {
        let mut count = self.count.clone();
        loop {
            count.mark_unchanged();
            if until(&self.lines.lock()) {
                return true;
            }
            if count.changed().await.is_err() {
                return until(&self.lines.lock());
            }
        }
    }
}

/// A line as JSON, when it is an object.
pub(super) fn parsed(line: impl AsRef<str>) -> Option<Value> {
    serde_json::from_str(line.as_ref()).ok().filter(Value::is_object)
}
