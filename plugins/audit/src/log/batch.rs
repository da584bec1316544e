//! Records that will be written at once: each linked to the one before it, none of them there yet. Pure.

use super::Position;
use crate::draft::{Draft, Mark};
use crate::log::loss::own;
use uuid::Uuid;
use vestibule_chain::{ChainId, Checkpoint, Digest, OPEN_IDS, Record, SegmentHead, SigningKey, append, link};

/// Lines to append behind a place in the log.
pub(crate) struct Batch {
    chain: ChainId,
    /// Where the log stands once they are written.
    pub(crate) end: Position,
    /// The lines.
    pub(crate) lines: Vec<u8>,
    /// How many.
    pub(crate) records: u64,
    /// Requests that begin and end with them.
    pub(crate) marks: Vec<Mark>,
    /// The event of a checkpoint among them, and its place.
    pub(crate) checkpoint: Option<Vec<u8>>,
    /// Whether the last one is a checkpoint.
    pub(crate) ends_with_checkpoint: bool,
    event: Vec<u8>,
}

impl Batch {
    /// Nothing yet, behind `from`.
    pub(crate) fn behind(chain: ChainId, from: Position) -> Self {
        Self {
            chain,
            end: from,
            lines: Vec::new(),
            records: 0,
            marks: Vec::new(),
            checkpoint: None,
            ends_with_checkpoint: false,
            event: Vec::new(),
        }
    }

    /// One more.
    pub(crate) fn add(&mut self, draft: &Draft) {
        self.event.clear();
        // Ids rise with the place in the log.
        draft.write(&mut self.event, Uuid::now_v7(), self.chain);
        let Position { next_seq, hash: prev, .. } = self.end;
        let hash = link(self.chain, next_seq, prev, &self.event);
        let from = self.lines.len();
        append(&mut self.lines, &Record { seq: next_seq, prev, hash, event: &self.event });
        self.end.offset += (self.lines.len() - from) as u64;
        self.end.next_seq += 1;
        self.end.hash = hash;
        self.records += 1;
        self.ends_with_checkpoint = false;
        if draft.mark != Mark::None {
            self.marks.push(draft.mark);
        }
    }

    /// The head of a segment: which log it belongs to and which requests are open, in as many records as that takes.
    pub(crate) fn add_head<'a>(&mut self, now_ms: u64, open: impl Iterator<Item = &'a Uuid>, broken_at: Option<u64>) {
        let open: Vec<Uuid> = open.copied().collect();
        let parts = open.len().div_ceil(OPEN_IDS).max(1);
        for part in 0..parts {
            let from = part * OPEN_IDS;
            let head = SegmentHead {
                chain: self.chain,
                number: self.end.segment,
                part: part as u64,
                open: open[from..open.len().min(from + OPEN_IDS)].to_vec(),
                broken_at,
            };
            self.add(&own("audit.segment", now_ms, head.to_metadata()));
        }
    }

    /// A checkpoint of everything before it.
    pub(crate) fn add_checkpoint(&mut self, now_ms: u64, key: Option<&SigningKey>, is_final: bool) {
        let Some(seq) = self.end.next_seq.checked_sub(1) else { return };
        let (chain, hash) = (self.chain, self.end.hash);
        let unsigned = Checkpoint { chain, seq, hash, records: seq + 1, is_final, signature: None };
        let checkpoint = match key {
            Some(key) => unsigned.signed(key),
            None => unsigned,
        };
        self.add(&own("audit.checkpoint", now_ms, checkpoint.to_metadata()));
        self.checkpoint = Some(self.event.clone());
        self.ends_with_checkpoint = true;
    }
}

impl Position {
    /// The beginning of a log.
    pub(crate) const BEGINNING: Self = Self { segment: 0, offset: 0, next_seq: 0, hash: Digest::ZERO };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(batch: &Batch) -> Vec<(u64, Value)> {
        let mut prev = Digest::ZERO;
        let lines = batch.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = |line: &[u8]| {
            let record = Record::parse(line).expect("a record");
            assert_eq!(record.prev, prev);
            assert_eq!(record.hash, link(batch.chain, record.seq, record.prev, record.event));
            prev = record.hash;
            (record.seq, serde_json::from_slice(record.event).expect("JSON"))
        };
        lines.map(read).collect()
    }

    #[test]
    fn records_are_linked_and_a_checkpoint_names_the_one_before_it() {
        let mut batch = Batch::behind(ChainId(Uuid::nil()), Position::BEGINNING);
        batch.add_head(1, [].iter(), None);
        batch.add(&own("process.started", 2, json!({})));
        batch.add_checkpoint(3, None, true);
        let records = parsed(&batch);
        assert_eq!(records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [0, 1, 2]);
        let said = Checkpoint::of_metadata(&records[2].1["data"]["metadata"]).expect("a checkpoint");
        assert_eq!((said.seq, said.records, said.is_final), (1, 2, true));
        assert_eq!((batch.end.next_seq, batch.end.offset), (3, batch.lines.len() as u64));
        assert!(batch.ends_with_checkpoint);
        let ids: Vec<&str> = records.iter().filter_map(|(_, event)| event["id"].as_str()).collect();
        assert!(ids.is_sorted() && ids.len() == 3);
    }

    #[test]
    fn open_requests_take_as_many_records_as_they_need() {
        for (open, records) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2000, 2), (2001, 3)] {
            let requests: Vec<Uuid> = (0..open).map(Uuid::from_u128).collect();
            let mut batch = Batch::behind(ChainId(Uuid::nil()), Position::BEGINNING);
            batch.add_head(1, requests.iter(), Some(7));
            let heads = parsed(&batch);
            let named: usize =
                heads.iter().map(|(_, head)| head["data"]["metadata"]["open"].as_array().expect("open").len()).sum();
            assert_eq!((heads.len(), named), (records, requests.len()));
            assert_eq!(heads[0].1["data"]["metadata"]["broken_at"], 7);
        }
    }
}
