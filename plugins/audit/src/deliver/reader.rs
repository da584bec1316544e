//! Events of the log for a sink: read from the segments, never beyond what has been fsynced.

use super::cursor::Cursor;
use crate::log::Position;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use vestibule_chain::{MAX_LINE, Record, layout};

/// Most events of a batch.
pub(crate) const MOST_EVENTS: usize = 500;
/// Most bytes of them; the first is taken whatever its size.
const MOST_BYTES: usize = 1 << 20;

/// Events in order, and where a sink stands once it has them.
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) end: Cursor,
}

/// An event.
#[derive(Clone)]
pub(crate) struct Item {
    /// Canonical JSON.
    pub(crate) event: Bytes,
}

impl Item {
    /// A member of the event that is a text.
    pub(crate) fn text(&self, name: &str) -> String {
        let event: serde_json::Value = serde_json::from_slice(&self.event).unwrap_or_default();
        event[name].as_str().unwrap_or_default().to_owned()
    }
}

/// What is behind `cursor` and before `until`.
pub(crate) fn read(dir: &Path, cursor: Cursor, until: Position) -> io::Result<Batch> {
    let mut batch = Batch { items: Vec::new(), end: cursor };
    let mut bytes = 0;
    while batch.items.len() < MOST_EVENTS && batch.end.0.segment <= until.segment {
        let at = batch.end.0;
        let mut file = File::open(dir.join(layout::segment_name(at.segment)))?;
        let is_current = at.segment == until.segment;
        let end = if is_current { until.offset } else { file.metadata()?.len() };
        // What a broken segment holds behind its last good record is nobody's: the next one says where that is.
        let beyond = if is_current { None } else { first_seq(dir, at.segment + 1)? };
        let is_beyond = |seq: u64| beyond.is_some_and(|beyond| seq >= beyond);
        if at.offset >= end || is_beyond(at.next_seq) {
            if is_current {
                break;
            }
            batch.end.0 = Position { segment: at.segment + 1, offset: 0, ..at };
            continue;
        }
        file.seek(SeekFrom::Start(at.offset))?;
        // The longest line fits, and with shorter ones hardly more than a batch.
        let length = (end - at.offset).min(MAX_LINE as u64);
        let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or(MAX_LINE));
        file.take(length).read_to_end(&mut piece)?;
        let piece = Bytes::from(piece);
        let before = batch.end.0.offset;
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let Some(whole) = line.strip_suffix(b"\n").filter(|_| !is_beyond(batch.end.0.next_seq)) else { break };
            let record = Record::parse(whole).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
            if batch.items.len() == MOST_EVENTS || !batch.items.is_empty() && bytes + record.event.len() > MOST_BYTES {
                return Ok(batch);
            }
            bytes += record.event.len();
            batch.items.push(Item { event: piece.slice_ref(record.event) });
            let at = &mut batch.end.0;
            *at = Position {
                segment: at.segment,
                offset: at.offset + line.len() as u64,
                next_seq: record.seq + 1,
                hash: record.hash,
            };
        }
        if batch.end.0.offset == before {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line that is no record"));
        }
    }
    Ok(batch)
}

/// Where a sink goes on: behind what it has, else at the oldest segment. `None`: at a segment that is there, and why not
/// where the cursor says.
pub(crate) fn resume(dir: &Path, saved: Option<Cursor>, until: Position) -> io::Result<(Cursor, Option<&'static str>)> {
    let segments = layout::segments(dir)?;
    let oldest = segments.first().map_or(until.segment, |(number, _)| *number);
    let at_oldest = || {
        let next_seq = first_seq(dir, oldest).ok().flatten().unwrap_or(0);
        Cursor(Position { segment: oldest, next_seq, ..Position::BEGINNING })
    };
    let Some(cursor) = saved else { return Ok((at_oldest(), None)) };
    let at = cursor.0;
    if at.next_seq > until.next_seq || at.segment == until.segment && at.offset > until.offset {
        return Ok((at_oldest(), Some("the log ends before what was delivered")));
    }
    if at.segment < oldest {
        return Ok((at_oldest(), Some("segments that were not delivered are gone")));
    }
    if !follows(dir, at)? {
        return Ok((at_oldest(), Some("what was delivered last is not where the cursor says")));
    }
    Ok((cursor, None))
}

/// Whether the record before this place is the one that the cursor remembers.
fn follows(dir: &Path, at: Position) -> io::Result<bool> {
    if at.offset == 0 {
        return Ok(true);
    }
    let mut file = File::open(dir.join(layout::segment_name(at.segment)))?;
    let from = at.offset.saturating_sub(MAX_LINE as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut before = Vec::new();
    file.take(at.offset - from).read_to_end(&mut before)?;
    let Some(whole) = before.strip_suffix(b"\n") else { return Ok(false) };
    let begin = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    Ok(Record::parse(&whole[begin..]).is_ok_and(|record| record.hash == at.hash && record.seq + 1 == at.next_seq))
}

/// Number of the first record of a segment; `None` if it does not begin with one.
fn first_seq(dir: &Path, segment: u64) -> io::Result<Option<u64>> {
    let file = File::open(dir.join(layout::segment_name(segment)))?;
    let mut line = Vec::new();
    BufReader::new(file).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(|line| Record::parse(line).ok()).map(|record| record.seq))
}
