//! What a segment says of itself in its first records.

use crate::digest::ChainId;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Ids of open requests in one record; more of them stand in further records.
pub const OPEN_IDS: usize = 1_000;

/// One `audit.segment` record; a segment begins with one or more of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentHead {
    /// Which log.
    pub chain: ChainId,
    /// Which segment of it, as in the file's name.
    pub number: u64,
    /// Which of these records, from 0.
    pub part: u64,
    /// Requests that were started and not finished, at most [`OPEN_IDS`].
    pub open: Vec<Uuid>,
    /// The last good record of the segment before, if that one holds a bad record behind it.
    pub broken_at: Option<u64>,
}

impl SegmentHead {
    /// As `data.metadata` of its event.
    pub fn to_metadata(&self) -> Value {
        let mut members = Map::new();
        if let Some(seq) = self.broken_at {
            members.insert("broken_at".into(), seq.into());
        }
        members.insert("chain".into(), self.chain.to_string().into());
        members.insert("number".into(), self.number.into());
        members.insert("open".into(), self.open.iter().map(Uuid::to_string).collect());
        members.insert("part".into(), self.part.into());
        Value::Object(members)
    }

    /// From a whole event. Ids that are none are left out.
    pub fn of_event(event: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(event).ok()?;
        let metadata = event.get("data")?.get("metadata")?;
        let number = |name: &str| metadata.get(name).and_then(Value::as_u64);
        let open = metadata.get("open").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Some(Self {
            chain: ChainId(metadata.get("chain")?.as_str()?.parse().ok()?),
            number: number("number")?,
            part: number("part").unwrap_or(0),
            open: open.iter().filter_map(|id| id.as_str()?.parse().ok()).collect(),
            broken_at: number("broken_at"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_head_reads_back() {
        for broken_at in [None, Some(41)] {
            let open = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
            let head = SegmentHead { chain: ChainId(Uuid::from_u128(7)), number: 3, part: 1, open, broken_at };
            let event = json!({ "data": { "metadata": head.to_metadata() } }).to_string();
            assert_eq!(SegmentHead::of_event(event.as_bytes()), Some(head));
        }
        assert_eq!(SegmentHead::of_event(br#"{"data":{"metadata":{"number":3}}}"#), None);
    }
}
