//! Equal reports become one entry with a count. The first is told at once; later ones once a window, or not at all.
//!
//! Sampling thins what is told, never what is counted: every report is in the count of exactly one entry.

use crate::directive::Directive;
use crate::record::{Details, Record, Sighting};
use crate::report::Disposition;
use crate::stamp::Stamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::Monotonic;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Groups that are told apart.
pub(crate) const MAX_KEYS: usize = 10_000;
/// Reports of a group are told together this often.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// A group of which nothing was heard for so long is forgotten when a window ends.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Folded {
    /// It is told, now or at the end of its window.
    Accepted,
    /// It is counted and not told.
    SampledOut,
}

/// The groups.
#[derive(Debug)]
pub(crate) struct Table {
    /// Nobody outside knows which reports would share a key.
    seed: u64,
    keys: HashMap<u128, Entry>,
    /// What found no room, by directive and disposition.
    overflow: HashMap<(Directive, Disposition), Entry>,
    window: Monotonic,
}

#[derive(Debug)]
struct Entry {
    details: Arc<Details>,
    seen: Seen,
    last_arrival: Monotonic,
    /// What came in this window and was not told.
    folded: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    first: Stamp,
    last: Stamp,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    seen: Seen,
    told: Folded,
}

impl Seen {
    fn once(at: Stamp) -> Self {
        Self { count: 1, first: at, last: at }
    }

    fn again(&mut self, at: Stamp) {
        *self = Self { count: self.count + 1, first: self.first.min(at), last: self.last.max(at) };
    }
}

impl Entry {
    fn new(details: Details, at: Stamp, now: Monotonic) -> Self {
        Self { details: Arc::new(details), seen: Seen::once(at), last_arrival: now, folded: None }
    }

    fn record(&self, seen: Seen) -> Record {
        let Seen { count, first: first_seen, last: last_seen } = seen;
        Record { details: Arc::clone(&self.details), count, first_seen, last_seen }
    }

    fn again(&mut self, at: Stamp, now: Monotonic, decide: impl FnOnce() -> Folded) -> Folded {
        self.seen.again(at);
        self.last_arrival = now;
        match &mut self.folded {
            Some(window) => {
                window.seen.again(at);
                window.told
            }
            None => {
                let told = decide();
                self.folded = Some(Window { seen: Seen::once(at), told });
                told
            }
        }
    }
}

impl Table {
    /// An empty one whose first window begins now.
    pub(crate) fn new(seed: u64, now: Monotonic) -> Self {
        Self { seed, keys: HashMap::new(), overflow: HashMap::new(), window: now }
    }

    /// Counts a report. The first of its group comes back as a record that is to be told at once.
    pub(crate) fn fold(&mut self, sighting: Sighting, now: Monotonic, sample: f64) -> (Folded, Option<Record>) {
        let Sighting { details, at } = sighting;
        let (key, window) = (self.key(&details), self.window);
        let decide = |key: u128| move || draw(key, window, sample);
        if let Some(entry) = self.keys.get_mut(&key) {
            return (entry.again(at, now, decide(key)), None);
        }
        if self.keys.len() < MAX_KEYS {
            let entry = Entry::new(details, at, now);
            let record = entry.record(entry.seen);
            self.keys.insert(key, entry);
            return (Folded::Accepted, Some(record));
        }
        let pair = (details.directive, details.disposition);
        let details = Details { places: None, ..details };
        let key = self.key(&details);
        if let Some(entry) = self.overflow.get_mut(&pair) {
            return (entry.again(at, now, decide(key)), None);
        }
        let entry = Entry::new(details, at, now);
        let record = entry.record(entry.seen);
        self.overflow.insert(pair, entry);
        (Folded::Accepted, Some(record))
    }

    /// Which group a report belongs to.
    fn key(&self, details: &Details) -> u128 {
        let mut hash = Xxh3::with_seed(self.seed);
        hash.update(&[details.directive.index() as u8, details.disposition as u8]);
        if let Some(kept) = &details.places {
            hash.update(&[u8::from(kept.policy.is_some())]);
            hash.update(&kept.policy.unwrap_or(0).to_le_bytes());
            let source = kept.source.as_ref().map_or("", |source| source.origin());
            for text in [kept.blocked.origin(), source, &kept.document.text] {
                hash.update(text.as_bytes());
                // No URL has it.
                hash.update(&[0xff]);
            }
        }
        hash.digest128()
    }

    /// Whether the window has come to its end.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        now.since(self.window) >= WINDOW
    }

    /// Ends the window: what is to be told of it. The next one begins now.
    pub(crate) fn close(&mut self, now: Monotonic) -> Vec<Record> {
        self.window = now;
        let mut told = Vec::new();
        let mut end = |entry: &mut Entry| {
            if let Some(Window { seen, told: Folded::Accepted }) = entry.folded.take() {
                told.push(entry.record(seen));
            }
            now.since(entry.last_arrival) < FORGOTTEN_AFTER
        };
        self.keys.retain(|_, entry| end(entry));
        self.overflow.retain(|_, entry| end(entry));
        told
    }

    /// Groups that are told apart by now.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Every entry that is wanted, with the count since it was first seen.
    pub(crate) fn all(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        let entries = self.keys.values().chain(self.overflow.values());
        entries.map(|entry| entry.record(entry.seen)).filter(wanted).collect()
    }
}

/// Whether a group is told of in a window: the same for all its reports.
fn draw(key: u128, window: Monotonic, sample: f64) -> Folded {
    let hash = xxh3_64_with_seed(&key.to_le_bytes(), window.0);
    // The 53 bits that a fraction holds exactly.
    let fraction = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    if fraction < sample { Folded::Accepted } else { Folded::SampledOut }
}

#[cfg(test)]
mod tests;
