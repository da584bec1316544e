//! What is refused may be refused a million times: the first of a kind is told at once, the rest in a count a minute. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use vestibule_plugin::ClientAddress;

/// Kinds of refusals that are told apart at once; further ones are counted together, a count for each type.
const MOST: usize = 10_000;

/// What is told apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) event: Folded,
    /// Why: an outcome, a policy, a kind of threat.
    pub(crate) reason: Cow<'static, str>,
    /// By name: a reload may number routes anew.
    pub(crate) route: Arc<str>,
    pub(crate) client: ClientAddress,
}

/// Types that are folded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Folded {
    AuthDenied,
    RateLimited,
    ThreatBlocked,
}

impl Folded {
    const ALL: [Self; 3] = [Self::AuthDenied, Self::RateLimited, Self::ThreatBlocked];

    /// Type without its prefix; the action, too.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthDenied => "security.auth_denied",
            Self::RateLimited => "security.rate_limited",
            Self::ThreatBlocked => "security.threat_blocked",
        }
    }

    /// The member of the metadata that holds the reason.
    pub(crate) fn reason_member(self) -> &'static str {
        match self {
            Self::AuthDenied => "reason",
            Self::RateLimited => "policy",
            Self::ThreatBlocked => "kind",
        }
    }
}

/// So many of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// Milliseconds since 1970.
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl Tally {
    /// One, seen now.
    fn one(now_ms: u64) -> Self {
        Self { count: 1, first_ms: now_ms, last_ms: now_ms }
    }

    fn add(tally: &mut Option<Self>, now_ms: u64) {
        match tally {
            Some(tally) => {
                tally.count += 1;
                tally.last_ms = now_ms;
            }
            None => *tally = Some(Self::one(now_ms)),
        }
    }
}

/// What is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Of one kind.
    Kind(Key, Tally),
    /// Of all kinds that found no room, of this type.
    Overflow(Folded, Tally),
}

/// The refusals of one window.
#[derive(Default)]
pub(crate) struct Folds {
    /// `None`: told, and not seen again in this window.
    kinds: HashMap<Key, Option<Tally>>,
    overflow: [Option<Tally>; Folded::ALL.len()],
}

impl Folds {
    /// One more; what is to be told now.
    pub(crate) fn see(&mut self, key: Key, now_ms: u64) -> Option<Told> {
        if let Some(tally) = self.kinds.get_mut(&key) {
            Tally::add(tally, now_ms);
            return None;
        }
        if self.kinds.len() >= MOST {
            Tally::add(&mut self.overflow[key.event as usize], now_ms);
            return None;
        }
        self.kinds.insert(key.clone(), None);
        Some(Told::Kind(key, Tally::one(now_ms)))
    }

    /// The window is over; what is to be told of it. A kind that was not seen in it is forgotten.
    pub(crate) fn close(&mut self) -> Vec<Told> {
        let mut told: Vec<Told> = Vec::new();
        self.kinds.retain(|key, tally| match tally.take() {
            Some(tally) => {
                told.push(Told::Kind(key.clone(), tally));
                true
            }
            None => false,
        });
        let overflow = Folded::ALL.into_iter().zip(&mut self.overflow);
        told.extend(overflow.filter_map(|(event, tally)| Some(Told::Overflow(event, tally.take()?))));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(reason: &'static str, client: u32) -> Key {
        let client = ClientAddress::of(std::net::Ipv4Addr::from(client).into(), 64);
        Key { event: Folded::AuthDenied, reason: reason.into(), route: "login".into(), client }
    }

    fn counted(told: &[Told]) -> u64 {
        told.iter().map(|(Told::Kind(_, tally) | Told::Overflow(_, tally))| tally.count).sum()
    }

    /// AUD-04: the counts add up exactly.
    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_a_count() {
        let mut folds = Folds::default();
        let told: Vec<Told> = (0..1000).filter_map(|at| folds.see(key("expired", 1), at)).collect();
        assert_eq!(told, [Told::Kind(key("expired", 1), Tally { count: 1, first_ms: 0, last_ms: 0 })]);
        let rest = folds.close();
        assert_eq!(rest, [Told::Kind(key("expired", 1), Tally { count: 999, first_ms: 1, last_ms: 999 })]);
    }

    #[test]
    fn a_kind_that_was_quiet_for_a_window_is_told_at_once_again() {
        let mut folds = Folds::default();
        assert!(folds.see(key("expired", 1), 0).is_some());
        assert!(folds.close().is_empty());
        assert!(folds.see(key("expired", 1), 1).is_some());
        assert!(folds.see(key("expired", 1), 2).is_none());
        assert_eq!(folds.close().len(), 1);
        assert!(folds.see(key("expired", 1), 3).is_none(), "seen in the window before");
    }

    #[test]
    fn more_kinds_than_there_is_room_for_are_counted_together() {
        let mut folds = Folds::default();
        let mut told: Vec<Told> = (0..12_000).filter_map(|client| folds.see(key("a", client), 5)).collect();
        assert_eq!(told.len(), MOST);
        let rest = folds.close();
        assert_eq!(rest.len(), 1);
        assert!(matches!(rest[0], Told::Overflow(Folded::AuthDenied, Tally { count: 2000, .. })));
        told.extend(rest);
        assert_eq!(counted(&told), 12_000);
    }
}
