//! Which server is the master, by what the sentinels say of it.

use crate::redis::url::Address;
use std::time::Duration;
use tokio::time::Instant;

/// What one sentinel says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Vote {
    /// Of the failover that made it the master; a later one has a higher epoch.
    pub(super) epoch: u64,
    pub(super) master: Address,
    /// For how long it has seen it as the master.
    pub(super) seen_for: Duration,
}

/// The master as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::redis) struct Mastership {
    /// Rises whenever another server becomes the master.
    pub(in crate::redis) term: u64,
    /// `None` until a sentinel has named one.
    pub(in crate::redis) master: Option<Address>,
    /// When this term began.
    pub(in crate::redis) since: Instant,
    /// When a sentinel last named this master.
    pub(in crate::redis) confirmed: Instant,
    epoch: u64,
}

/// What votes say of a mastership.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It stands.
    Confirmed,
    /// Another server is the master.
    Deposed,
    /// Nobody who knows more has said anything.
    Unknown,
}

impl Mastership {
    /// Nothing is known.
    pub(super) fn unknown(now: Instant) -> Self {
        Self { term: 0, master: None, since: now, confirmed: now, epoch: 0 }
    }

    /// Counts the votes of a round; `sentinels` were asked.
    ///
    /// An epoch is given by a majority of all sentinels, so the highest one is right however few say it; one behind what is
    /// known already is of sentinels that were cut off, unless all of them say so: then somebody has begun to count anew.
    pub(super) fn count(&mut self, votes: &[Vote], sentinels: usize, now: Instant) -> Verdict {
        let Some(newest) = votes.iter().map(|vote| vote.epoch).max() else { return Verdict::Unknown };
        if newest < self.epoch && votes.len() < sentinels {
            return Verdict::Unknown;
        }

        let voices =
            |master: &Address| votes.iter().filter(|vote| vote.epoch == newest && vote.master == *master).count();
        let candidates = votes.iter().filter(|vote| vote.epoch == newest).map(|vote| &vote.master);
        // Of two with as many voices, the one that is the master already.
        let Some(named) = candidates.max_by_key(|master| (voices(master), self.master.as_ref() == Some(*master)))
        else {
            return Verdict::Unknown;
        };

        (self.epoch, self.confirmed) = (newest, now);
        if self.master.as_ref() == Some(named) {
            return Verdict::Confirmed;
        }
        let is_first = self.master.replace(named.clone()).is_none();
        // Who has just been started has not seen what came before.
        let seen_for = votes.iter().filter(|vote| vote.master == *named).map(|vote| vote.seen_for).min();
        let since = if is_first { now.checked_sub(seen_for.unwrap_or_default()).unwrap_or(now) } else { now };
        (self.term, self.since) = (self.term + 1, since);
        if is_first { Verdict::Confirmed } else { Verdict::Deposed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(epoch: u64, port: u16) -> Vote {
        Vote { epoch, master: Address { host: "h".to_owned(), port }, seen_for: Duration::from_secs(9) }
    }

    fn known(epoch: u64, port: u16) -> Mastership {
        let mut known = Mastership::unknown(Instant::now());
        assert_eq!(known.count(&[vote(epoch, port)], 3, Instant::now()), Verdict::Confirmed);
        known
    }

    fn port(known: &Mastership) -> u16 {
        known.master.as_ref().expect("a master").port
    }

    #[test]
    fn the_latest_failover_counts_however_few_have_heard_of_it() {
        let mut known = known(4, 1);
        let votes = [vote(4, 1), vote(5, 2), vote(4, 1)];
        assert_eq!(known.count(&votes, 3, Instant::now()), Verdict::Deposed);
        assert_eq!((known.term, port(&known)), (2, 2));
        assert_eq!(known.count(&votes, 3, Instant::now()), Verdict::Confirmed);
        assert_eq!(known.term, 2);
    }

    #[test]
    fn the_first_master_was_one_before_and_the_next_one_is_new() {
        let now = Instant::now() + Duration::from_secs(60);
        let mut known = Mastership::unknown(now);
        known.count(&[vote(1, 1), Vote { seen_for: Duration::from_secs(3), ..vote(1, 1) }], 3, now);
        assert_eq!(now - known.since, Duration::from_secs(3), "whoever saw it last");
        known.count(&[vote(2, 2)], 3, now);
        assert_eq!(known.since, now);
    }

    #[test]
    fn who_was_cut_off_is_not_believed() {
        let mut known = known(5, 2);
        let before = known.clone();
        assert_eq!(known.count(&[vote(4, 1)], 3, Instant::now()), Verdict::Unknown);
        assert_eq!(known.count(&[vote(4, 1), vote(3, 1)], 3, Instant::now()), Verdict::Unknown);
        assert_eq!(known.count(&[], 3, Instant::now()), Verdict::Unknown);
        assert_eq!(known, before, "and it does not count as confirmed");
    }

    #[test]
    fn all_who_begin_to_count_anew_are_believed() {
        let mut known = known(5, 2);
        assert_eq!(known.count(&[vote(0, 3), vote(0, 3), vote(0, 3)], 3, Instant::now()), Verdict::Deposed);
        assert_eq!(port(&known), 3);
    }

    #[test]
    fn in_one_epoch_the_majority_counts_and_a_tie_changes_nothing() {
        let mut known = known(0, 1);
        assert_eq!(known.count(&[vote(0, 1), vote(0, 2)], 2, Instant::now()), Verdict::Confirmed);
        assert_eq!(known.count(&[vote(0, 1), vote(0, 2), vote(0, 2)], 3, Instant::now()), Verdict::Deposed);
        assert_eq!((known.term, port(&known)), (2, 2));
    }
}
