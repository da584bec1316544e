//! What others say the log holds: copies of its checkpoints, and how far its sinks have come.

use crate::checkpoint::Checkpoint;
use crate::digest::{ChainId, Digest};
use crate::record::Record;
use serde_json::Value;
use std::collections::VecDeque;
use uuid::Uuid;

/// Copies of checkpoints that are looked at. Of more the latest count: each vouches for all that was before it.
pub const MAX_CLAIMS: usize = 65_536;
/// Other logs that copies may speak of; one is enough to say so.
const MAX_CHAINS: usize = 8;

/// That some record has some hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    /// Which record.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
    /// Whether it is a copy of a record itself, which stands behind the one it speaks of.
    pub own: Own,
    /// Who says so.
    pub witness: Witness,
}

/// What the log must hold besides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Own {
    /// Nothing: it is no record.
    Nothing,
    /// A checkpoint as the next record.
    Checkpoint,
    /// A checkpoint with this id as the next record.
    Event(Uuid),
}

/// A checkpoint as its event tells it, wherever that was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its event's id; `None` where that was left out.
    pub id: Option<Uuid>,
}

impl Kept {
    /// From an event, canonical or not.
    pub fn of_event(event: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(event).ok()?;
        let checkpoint = Checkpoint::of_metadata(event.get("data")?.get("metadata")?)?;
        Some(Self { checkpoint, id: event.get("id").and_then(|id| id.as_str()?.parse().ok()) })
    }
}

/// Who says so, as the caller counts files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Witness {
    /// Which file.
    pub file: u32,
    /// Which line of it, from 1; 0 where there are no lines.
    pub line: u32,
}

/// All of them, in the order of the records they speak of.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    kept: VecDeque<Claim>,
    sorted: Vec<Claim>,
    chains: Vec<(ChainId, Claim)>,
    /// Those before are settled.
    at: usize,
}

impl Claims {
    /// Adds the checkpoint of an event kept in `checkpoints.jsonl`; beyond [`MAX_CLAIMS`] the first kept one is forgotten.
    pub fn keep(&mut self, kept: &Kept, witness: Witness) {
        let claim = self.of(kept, witness);
        if self.kept.len() == MAX_CLAIMS {
            self.kept.pop_front();
        }
        self.kept.push_back(claim);
    }

    /// Adds a checkpoint that someone holds elsewhere.
    pub fn anchor(&mut self, kept: &Kept, witness: Witness) {
        let claim = self.of(kept, witness);
        self.sorted.push(claim);
    }

    /// Adds how far a sink has come.
    pub fn cursor(&mut self, seq: u64, hash: Digest, witness: Witness) {
        self.sorted.push(Claim { seq, hash, own: Own::Nothing, witness });
    }

    fn of(&mut self, Kept { checkpoint, id }: &Kept, witness: Witness) -> Claim {
        let own = id.map_or(Own::Checkpoint, Own::Event);
        let claim = Claim { seq: checkpoint.seq, hash: checkpoint.hash, own, witness };
        if self.chains.len() < MAX_CHAINS && self.chains.iter().all(|(chain, _)| *chain != checkpoint.chain) {
            self.chains.push((checkpoint.chain, claim));
        }
        claim
    }

    pub(super) fn sort(mut self) -> Self {
        // In the room that the copies have: there may be many of them.
        let few = std::mem::replace(&mut self.sorted, Vec::from(std::mem::take(&mut self.kept)));
        self.sorted.reserve_exact(few.len());
        self.sorted.extend(few);
        self.sorted.sort_unstable();
        self.sorted.dedup_by_key(|claim| (claim.seq, claim.hash, claim.own));
        self
    }

    /// The log begins with this record; what is said of those before it can no longer be judged.
    pub(super) fn begin(&mut self, first: u64) {
        self.at = self.sorted.partition_point(|claim| claim.seq < first);
    }

    /// One that speaks of another log.
    pub(super) fn of_another(&self, than: ChainId) -> Option<Claim> {
        self.chains.iter().find(|(chain, _)| *chain != than).map(|(_, claim)| *claim)
    }

    /// The first that says this record is another one.
    pub(super) fn deny(&self, record: &Record<'_>) -> Option<Claim> {
        let mut of_record = self.sorted[self.at..].iter().take_while(|claim| claim.seq <= record.seq);
        of_record.find(|claim| claim.seq == record.seq && claim.hash != record.hash).copied()
    }

    /// Settles what is said of the record before this one, which may be a checkpoint.
    pub(super) fn settle(&mut self, record: &Record<'_>, this: Option<&Kept>) -> Result<(), Claim> {
        while let Some(claim) = self.sorted.get(self.at).filter(|claim| claim.seq < record.seq) {
            self.at += 1;
            let is_there = match claim.own {
                Own::Nothing => true,
                Own::Checkpoint => this.is_some(),
                Own::Event(id) => this.is_some_and(|kept| kept.id == Some(id)),
            };
            if !is_there {
                return Err(*claim);
            }
        }
        Ok(())
    }

    /// The first that names what the log, which ends with `last`, does not hold.
    pub(super) fn beyond(&self, last: Option<u64>) -> Option<Claim> {
        let is_beyond = |claim: &&Claim| match last {
            Some(last) => claim.seq > last || (claim.seq == last && claim.own != Own::Nothing),
            None => true,
        };
        self.sorted[self.at..].iter().find(is_beyond).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(seq: u64) -> Kept {
        let chain = ChainId(Uuid::nil());
        let hash = Digest::ZERO;
        let checkpoint = Checkpoint { chain, seq, hash, records: seq + 1, is_final: false, signature: None };
        Kept { checkpoint, id: None }
    }

    #[test]
    fn the_latest_copies_count_and_no_more_are_kept() {
        let mut claims = Claims::default();
        claims.anchor(&checkpoint(3), Witness::default());
        for seq in 0..MAX_CLAIMS as u64 + 10 {
            claims.keep(&checkpoint(seq), Witness::default());
        }
        let claims = claims.sort();
        let seqs: Vec<u64> = claims.sorted.iter().map(|claim| claim.seq).collect();
        assert_eq!((seqs.len(), &seqs[..3]), (MAX_CLAIMS + 1, &[3, 10, 11][..]));
        assert!(claims.of_another(ChainId(Uuid::nil())).is_none());
        assert!(claims.of_another(ChainId(Uuid::max())).is_some());
    }
}
