//! A log on disk, read as anybody may who has the files. What is read is always checked.

use super::ORDERS;
use crate::config::{Ran, vestibule};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use vestibule_chain::{ChainId, Checkpoint, Ending, Follower, Lines, SegmentHead, TYPE_PREFIX, layout};
use vestibule_testkit::{Origin, Proxy, Setup, within};

/// Where a log is; it outlives the proxies that write it.
pub struct Trail(TempDir);

/// The records of a log.
pub struct Log {
    pub chain: Option<ChainId>,
    /// The first one's number.
    pub first_seq: u64,
    pub events: Vec<Value>,
    /// Numbers of the segments.
    pub segments: Vec<u64>,
    /// Bytes behind the last record.
    pub torn_bytes: u64,
}

/// Type without its prefix.
pub fn kind(event: &Value) -> &str {
    event["type"].as_str().and_then(|kind| kind.strip_prefix(TYPE_PREFIX)).expect("a type of ours")
}

impl Trail {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Where it is; the proxy makes it.
    pub fn dir(&self) -> PathBuf {
        self.0.path().join("audit")
    }

    /// A file beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `[audit]`, with these further lines and tables behind it.
    pub fn toml(&self, lines: &str) -> String {
        format!("[audit]\ndir = \"{}\"\n{lines}", self.dir().display())
    }

    /// The same with the audited route, not started yet.
    pub fn setup(&self, origin: &Origin, lines: &str) -> Setup {
        Setup::new(crate::bin()).upstream(origin.url()).toml(self.toml(&format!("{lines}{ORDERS}")))
    }

    /// A proxy with the audited route that writes here.
    pub async fn proxy(&self, origin: &Origin, lines: &str) -> Proxy {
        self.setup(origin, lines).start().await
    }

    /// What is on disk now.
    pub fn log(&self) -> Log {
        Log::read(&self.dir())
    }

    /// `vestibule audit verify` of it.
    pub async fn verify(&self, args: &[&str]) -> Ran {
        vestibule(self.0.path(), &[&["audit", "verify", "audit"], args].concat()).await
    }

    /// Waits until the log satisfies `until`.
    pub async fn wait(&self, what: &str, mut until: impl FnMut(&Log) -> bool) -> Log {
        within(what, async {
            loop {
                let log = self.log();
                if until(&log) {
                    return log;
                }
                // Nobody announces that a file grew; the period decides no outcome.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// Waits until so many events of a type are there.
    pub async fn wait_for(&self, wanted: &str, count: usize) -> Log {
        self.wait(&format!("{count} {wanted}"), |log| log.count(wanted) >= count).await
    }
}

impl Log {
    /// Panics where a record does not follow the one before it. A last line without an end is no record.
    pub fn read(dir: &Path) -> Self {
        loop {
            if let Some(log) = Self::try_read(dir) {
                return log;
            }
        }
    }

    /// `None` if a segment went while they were read.
    fn try_read(dir: &Path) -> Option<Self> {
        let mut log = Self { chain: None, first_seq: 0, events: Vec::new(), segments: Vec::new(), torn_bytes: 0 };
        let mut follower = None;
        for (number, path) in layout::segments(dir).unwrap_or_default() {
            let file = File::open(&path).ok()?;
            log.segments.push(number);
            let mut lines = Lines::new(file);
            while let Some(line) = lines.next().expect("a readable file") {
                if line.ending == Ending::EndOfFile {
                    log.torn_bytes = line.length;
                    break;
                }
                let at = format!("{}:{}", path.display(), line.number);
                let record = line.record().unwrap_or_else(|bad| panic!("{at}: {bad}"));
                let event: Value = serde_json::from_slice(record.event).expect("JSON");
                if line.number == 1 {
                    let head = SegmentHead::of_event(record.event).unwrap_or_else(|| panic!("{at}: no head"));
                    assert_eq!(head.number, number, "{at}");
                    assert_eq!(*log.chain.get_or_insert(head.chain), head.chain, "{at}");
                }
                let chain = log.chain.expect("the head of a segment comes first");
                let follower = follower.get_or_insert_with(|| Follower::new(chain));
                follower.follow(&record).unwrap_or_else(|fault| panic!("{at}: {fault}"));
                if log.events.is_empty() {
                    log.first_seq = record.seq;
                }
                if kind(&event) == "audit.checkpoint" {
                    let said = Checkpoint::of_event(record.event).unwrap_or_else(|| panic!("{at}: no checkpoint"));
                    assert_eq!((said.seq + 1, said.hash, said.chain), (record.seq, record.prev, chain), "{at}");
                }
                log.events.push(event);
            }
        }
        Some(log)
    }

    pub fn of(&self, wanted: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| kind(event) == wanted).collect()
    }

    pub fn count(&self, wanted: &str) -> usize {
        self.of(wanted).len()
    }

    pub fn the(&self, wanted: &str) -> &Value {
        let all = self.of(wanted);
        assert_eq!(all.len(), 1, "{wanted}: {all:#?}");
        all[0]
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(kind).collect()
    }

    /// What is said of requests, a row a request in the order of their first records.
    pub fn of_requests(&self) -> Vec<&str> {
        self.kinds().into_iter().filter_map(|kind| kind.strip_prefix("request.")).collect()
    }

    /// What is said of each request.
    pub fn by_request(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in &self.events {
            if let Some(phase) = kind(event).strip_prefix("request.") {
                let id = event["data"]["request_id"].as_str().expect("an id");
                all.entry(id).or_default().push(phase);
            }
        }
        all
    }

    /// Ids in order.
    pub fn ids(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
    }

    /// Sum of `count` over events of a type whose metadata has this.
    pub fn counted(&self, wanted: &str, name: &str, value: &str) -> u64 {
        let of = self.of(wanted).into_iter().filter(|event| event["data"]["metadata"][name] == value);
        of.map(|event| event["data"]["metadata"]["count"].as_u64().expect("a count")).sum()
    }
}
