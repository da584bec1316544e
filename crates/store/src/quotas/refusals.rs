//! Which buckets of a policy were refused most often: a bounded answer to "who would have been hit?".

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// Buckets that are remembered for a policy.
const MAX_REMEMBERED: usize = 64;
/// Minutes of the last hour, each counted for itself.
const MINUTES: usize = 60;

/// The most refused of every policy, by name. A policy is forgotten once no configuration has it.
#[derive(Default)]
pub struct Refusals {
    policies: Mutex<BTreeMap<String, Weak<TopRefused>>>,
}

impl Refusals {
    /// Those of one policy, for as long as somebody holds on to them.
    pub fn of(&self, policy: &str) -> Arc<TopRefused> {
        let mut policies = self.policies.lock();
        if let Some(top) = policies.get(policy).and_then(Weak::upgrade) {
            return top;
        }
        policies.retain(|_, top| top.strong_count() > 0);
        let top = Arc::new(TopRefused::default());
        policies.insert(policy.to_owned(), Arc::downgrade(&top));
        top
    }
}

/// The most refused of one policy, by the space-saving algorithm (Metwally et al., 2005): a newcomer takes the place of
/// the least refused and is reported only with what was seen of itself.
#[derive(Default)]
pub struct TopRefused {
    seed: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    entries: Vec<Entry>,
    all: Hour,
}

/// What happened in the last hour, a number a minute.
struct Hour {
    counts: [u32; MINUTES],
    /// The minute that was counted last, since 1970.
    minute: u64,
}

impl Default for Hour {
    fn default() -> Self {
        Self { counts: [0; MINUTES], minute: 0 }
    }
}

impl Hour {
    /// Forgets minutes that are more than an hour ago.
    fn advance(&mut self, at: SystemTime) {
        let minute = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60);
        for passed in (self.minute + 1..=minute).rev().take(MINUTES) {
            self.counts[place(passed)] = 0;
        }
        self.minute = self.minute.max(minute);
    }

    fn count(&mut self, at: SystemTime) {
        self.advance(at);
        let counted = &mut self.counts[place(self.minute)];
        *counted = counted.saturating_add(1);
    }

    fn total(&mut self, now: SystemTime) -> u64 {
        self.advance(now);
        self.counts.iter().copied().map(u64::from).sum()
    }
}

fn place(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

struct Entry {
    id: u64,
    name: String,
    count: u64,
    inherited: u64,
    hour: Hour,
    last: SystemTime,
}

/// One of the most refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its name, as given by whoever counted it.
    pub name: String,
    /// Refusals, at least.
    pub count: u64,
    /// Those of the last hour among them.
    pub last_hour: u64,
    /// The last of them.
    pub last: SystemTime,
}

impl TopRefused {
    /// Counts a refusal of `key`; `name` is asked for when it is not remembered.
    pub fn count(&self, key: &str, at: SystemTime, name: impl FnOnce() -> String) {
        let id = self.seed.hash_one(key);
        let mut seen = self.seen.lock();
        let Seen { entries, all } = &mut *seen;
        all.count(at);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
            entry.count += 1;
            entry.hour.count(at);
            entry.last = at;
            return;
        }
        let fresh = |inherited| {
            let mut hour = Hour::default();
            hour.count(at);
            Entry { id, name: name(), count: inherited + 1, inherited, hour, last: at }
        };
        if entries.len() < MAX_REMEMBERED {
            let entry = fresh(0);
            entries.push(entry);
        } else if let Some(least) = entries.iter_mut().min_by_key(|entry| entry.count) {
            *least = fresh(least.count);
        }
    }

    /// Refusals of the hour before `now`, of whichever bucket.
    pub fn last_hour(&self, now: SystemTime) -> u64 {
        self.seen.lock().all.total(now)
    }

    /// The `most` most refused, the first first.
    pub fn top(&self, most: usize, now: SystemTime) -> Vec<Refused> {
        let shown = |entry: &mut Entry| Refused {
            name: entry.name.clone(),
            count: entry.count - entry.inherited,
            last_hour: entry.hour.total(now),
            last: entry.last,
        };
        let mut top: Vec<Refused> = self.seen.lock().entries.iter_mut().map(shown).collect();
        top.sort_by(|a, b| b.count.cmp(&a.count).then(b.last.cmp(&a.last)).then_with(|| a.name.cmp(&b.name)));
        top.truncate(most);
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_often_refused_stay_whoever_else_comes() {
        let top = TopRefused::default();
        for round in 0..1_000 {
            top.count("often", SystemTime::UNIX_EPOCH, || "often".into());
            top.count(&format!("once {round}"), SystemTime::UNIX_EPOCH, || format!("once {round}"));
        }
        let refused = top.top(20, SystemTime::UNIX_EPOCH);
        assert_eq!(refused.len(), 20);
        assert_eq!((refused[0].name.as_str(), refused[0].count), ("often", 1_000));
        assert!(refused[1..].iter().all(|once| once.count == 1), "nobody is charged with another's refusals");
    }

    #[test]
    fn an_hour_is_counted_by_its_minutes() {
        let top = TopRefused::default();
        let at = |minute: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minute);
        for minute in [1_000, 1_000, 1_030, 1_059] {
            top.count("k", at(minute), || "k".into());
        }
        for (minute, refused) in [(1_059, 4), (1_060, 2), (1_089, 2), (1_090, 1), (1_118, 1), (1_119, 0), (9_999, 0)] {
            let shown = top.top(1, at(minute)).remove(0);
            assert_eq!((shown.last_hour, top.last_hour(at(minute))), (refused, refused), "at {minute}");
            assert_eq!(shown.count, 4);
        }
    }

    #[test]
    fn a_policy_is_remembered_while_a_configuration_has_it() {
        let refusals = Refusals::default();
        let old = refusals.of("login");
        old.count("a", SystemTime::UNIX_EPOCH, || "a".into());
        let new = refusals.of("login");
        drop(old);
        assert_eq!(new.top(1, SystemTime::UNIX_EPOCH).len(), 1);
        drop(new);
        assert!(refusals.of("login").top(1, SystemTime::UNIX_EPOCH).is_empty());
    }
}
