//! Whether a record is the one that comes next.

use crate::digest::{ChainId, Digest, link};
use crate::fault::Fault;
use crate::record::Record;

/// Where a reader of one log stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Follower {
    chain: ChainId,
    last: Option<(u64, Digest)>,
}

impl Follower {
    /// Before the first record that is there, which need not be the first of the log.
    pub fn new(chain: ChainId) -> Self {
        Self { chain, last: None }
    }

    /// Which log.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The last record that was taken, and its hash.
    pub fn last(&self) -> Option<(u64, Digest)> {
        self.last
    }

    /// Takes the record if it comes next: its number, what it follows, then its own hash.
    pub fn follow(&mut self, record: &Record<'_>) -> Result<(), Fault> {
        let prev = match self.last {
            Some((last, _)) if record.seq > last.saturating_add(1) => return Err(Fault::SeqGap),
            Some((last, _)) if record.seq <= last => return Err(Fault::SeqRepeat),
            Some((_, hash)) => Some(hash),
            None => (record.seq == 0).then_some(Digest::ZERO),
        };
        if prev.is_some_and(|prev| prev != record.prev) {
            return Err(Fault::PrevMismatch);
        }
        if link(self.chain, record.seq, record.prev, record.event) != record.hash {
            return Err(Fault::HashMismatch);
        }
        self.last = Some((record.seq, record.hash));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const CHAIN: ChainId = ChainId(Uuid::nil());

    fn record(seq: u64, prev: Digest) -> Record<'static> {
        Record { seq, prev, hash: link(CHAIN, seq, prev, b"{}"), event: b"{}" }
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_said() {
        let mut follower = Follower::new(CHAIN);
        let first = record(0, Digest::ZERO);
        assert_eq!(follower.follow(&Record { prev: first.hash, ..first }), Err(Fault::PrevMismatch));
        assert_eq!(follower.follow(&first), Ok(()));
        let next = record(1, first.hash);
        for (wrong, fault) in [
            (record(2, Digest::ZERO), Fault::SeqGap),
            (first, Fault::SeqRepeat),
            (record(1, Digest::ZERO), Fault::PrevMismatch),
            (Record { event: b"{\"a\":1}", ..next }, Fault::HashMismatch),
        ] {
            assert_eq!(follower.follow(&wrong), Err(fault));
        }
        assert_eq!(follower.last(), Some((0, first.hash)));
        assert_eq!(follower.follow(&next), Ok(()));
    }

    #[test]
    fn a_log_may_begin_where_it_was_pruned() {
        let mut follower = Follower::new(CHAIN);
        assert_eq!(follower.follow(&record(7, Digest([9; 32]))), Ok(()));
        assert_eq!(follower.last().map(|last| last.0), Some(7));
    }
}
