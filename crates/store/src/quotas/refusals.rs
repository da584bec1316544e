//! Which buckets of a policy were refused most often: a bounded answer to "who would have been hit?".

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// Buckets that are remembered for a policy.
const MAX_REMEMBERED: usize = 64;

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
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    id: u64,
    name: String,
    count: u64,
    inherited: u64,
    last: SystemTime,
}

/// One of the most refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its name, as given by whoever counted it.
    pub name: String,
    /// Refusals, at least.
    pub count: u64,
    /// The last of them.
    pub last: SystemTime,
}

impl TopRefused {
    /// Counts a refusal of `key`; `name` is asked for when it is not remembered.
    pub fn count(&self, key: &str, at: SystemTime, name: impl FnOnce() -> String) {
        let id = self.seed.hash_one(key);
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
            entry.count += 1;
            entry.last = at;
            return;
        }
        let fresh = |inherited| Entry { id, name: name(), count: inherited + 1, inherited, last: at };
        if entries.len() < MAX_REMEMBERED {
            let entry = fresh(0);
            entries.push(entry);
        } else if let Some(least) = entries.iter_mut().min_by_key(|entry| entry.count) {
            *least = fresh(least.count);
        }
    }

    /// The `most` most refused, the first first.
    pub fn top(&self, most: usize) -> Vec<Refused> {
        let mut top: Vec<Refused> = self
            .entries
            .lock()
            .iter()
            .map(|entry| Refused { name: entry.name.clone(), count: entry.count - entry.inherited, last: entry.last })
            .collect();
        top.sort_by(|a, b| b.count.cmp(&a.count).then(b.last.cmp(&a.last)).then_with(|| a.name.cmp(&b.name)));
        top.truncate(most);
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_often_refused_stay_whoever_else_comes() {
        let top = TopRefused::default();
        for round in 0..1_000 {
            top.count("often", SystemTime::UNIX_EPOCH, || "often".into());
            top.count(&format!("once {round}"), SystemTime::UNIX_EPOCH, || format!("once {round}"));
        }
        let refused = top.top(20);
        assert_eq!(refused.len(), 20);
        assert_eq!((refused[0].name.as_str(), refused[0].count), ("often", 1_000));
        assert!(refused[1..].iter().all(|once| once.count == 1), "nobody is charged with another's refusals");
    }

    #[test]
    fn a_policy_is_remembered_while_a_configuration_has_it() {
        let refusals = Refusals::default();
        let old = refusals.of("login");
        old.count("a", SystemTime::UNIX_EPOCH, || "a".into());
        let new = refusals.of("login");
        drop(old);
        assert_eq!(new.top(1).len(), 1);
        drop(new);
        assert!(refusals.of("login").top(1).is_empty());
    }
}
