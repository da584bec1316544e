//! Requests of one partition that only the store can decide on. One call is under way at a time; those who come meanwhile
//! go together in the next one. Values in, values out.

use super::round::{Entry, Part};
use crate::quotas::{Limit, MAX_CHARGES};
use arrayvec::ArrayVec;
use std::collections::VecDeque;

/// Most entries of a call.
const MAX_ENTRIES: usize = 1_024;

/// What one request asks of a partition.
pub(super) type Asked = ArrayVec<(Limit, u64), MAX_CHARGES>;

/// In order of arrival. `T` is who is told.
pub(super) struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
}

/// Equal requests in a row.
struct Waiting<T> {
    asked: Asked,
    who: Vec<T>,
}

/// What goes in one call.
pub(super) struct Batch<T> {
    /// The buckets that it touches.
    pub(super) limits: Vec<Limit>,
    pub(super) entries: Vec<Entry>,
    /// For each entry, who is told.
    pub(super) who: Vec<Vec<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// Puts a request at the end; `None` for one that nobody waits for.
    pub(super) fn join(&mut self, asked: Asked, who: Option<T>) {
        match self.waiting.back_mut() {
            Some(last) if last.asked == asked => last.who.extend(who),
            _ => self.waiting.push_back(Waiting { asked, who: who.into_iter().collect() }),
        }
    }

    /// Takes out those of whom `known` tells what to say. Who came while a call was under way that was refused is refused
    /// as well: asking for them would be another refused call.
    pub(super) fn release<R>(&mut self, mut known: impl FnMut(&Asked) -> Option<R>) -> Vec<(R, Vec<T>)> {
        let mut released = Vec::new();
        for mut next in std::mem::take(&mut self.waiting) {
            match known(&next.asked).filter(|_| !next.who.is_empty()) {
                Some(said) => released.push((said, std::mem::take(&mut next.who))),
                None => self.waiting.push_back(next),
            }
        }
        released
    }

    /// Takes out those for whom `serve` has what they ask for, in their order, until one has to wait. Those for whom
    /// `waits` no longer holds stay behind.
    pub(super) fn serve<R>(
        &mut self,
        waits: impl Fn(&T) -> bool,
        mut serve: impl FnMut(&Asked) -> Option<R>,
    ) -> Vec<(R, T)> {
        let mut served = Vec::new();
        while let Some(first) = self.waiting.front_mut().filter(|first| !first.who.is_empty()) {
            let mut who = std::mem::take(&mut first.who).into_iter().filter(&waits);
            while let Some(next) = who.next() {
                match serve(&first.asked) {
                    Some(said) => served.push((said, next)),
                    None => {
                        first.who = std::iter::once(next).chain(who).collect();
                        return served;
                    }
                }
            }
            self.waiting.pop_front();
        }
        served
    }

    /// What goes in the next call; `None` when nothing waits. Those for whom `waits` no longer holds stay behind.
    pub(super) fn depart(&mut self, waits: impl Fn(&T) -> bool) -> Option<Batch<T>> {
        let mut batch = Batch { limits: Vec::new(), entries: Vec::new(), who: Vec::new() };
        while batch.entries.len() < MAX_ENTRIES {
            let Some(mut next) = self.waiting.pop_front() else { break };
            let was_awaited = !next.who.is_empty();
            next.who.retain(&waits);
            if was_awaited && next.who.is_empty() {
                continue;
            }
            let parts =
                next.asked.iter().map(|(limit, cost)| Part { bucket: batch.bucket(limit), cost: *cost }).collect();
            batch.entries.push(Entry { count: next.who.len(), parts });
            batch.who.push(next.who);
        }
        (!batch.entries.is_empty()).then_some(batch)
    }
}

impl<T> Batch<T> {
    /// For units of which nobody waits for any.
    pub(super) fn top_up(limit: &Limit) -> Self {
        let parts = [Part { bucket: 0, cost: 0 }].into_iter().collect();
        Self { limits: vec![limit.clone()], entries: vec![Entry { count: 1, parts }], who: vec![Vec::new()] }
    }

    /// The bucket of a limit: one for each name and algorithm, as the store has it. While a reload goes on, the later limit
    /// counts.
    fn bucket(&mut self, limit: &Limit) -> usize {
        let same = |known: &Limit| known.name() == limit.name() && known.algorithm() == limit.algorithm();
        match self.limits.iter().position(same) {
            Some(bucket) => {
                self.limits[bucket].clone_from(limit);
                bucket
            }
            None => {
                self.limits.push(limit.clone());
                self.limits.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::{Algorithm, OnStoreError, Sharing, Terms};
    use std::time::Duration;

    fn asked(name: &str, quota: u64, cost: u64) -> Asked {
        let limit = Limit::new(&Terms {
            name,
            key: "client",
            algorithm: Algorithm::Gcra,
            quota,
            window: Duration::from_secs(60),
            burst: quota,
            sharing: Sharing::Leased,
            on_store_error: OnStoreError::LocalShare,
        });
        [(limit.expect("a good limit"), cost)].into_iter().collect()
    }

    #[test]
    fn equal_requests_in_a_row_are_one_entry_and_the_order_stays() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 1), (2, 5), (3, 1)] {
            queue.join(asked("p", 10, cost), Some(who));
        }
        let batch = queue.depart(|_| true).expect("four wait");
        assert_eq!(batch.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(batch.who, [vec![0, 1], vec![2], vec![3]]);
        assert_eq!(batch.limits.len(), 1);
        assert!(queue.depart(|_| true).is_none());
    }

    #[test]
    fn who_has_left_is_not_asked_for_and_what_nobody_awaits_goes_all_the_same() {
        let mut queue = Queue::default();
        queue.join(asked("p", 10, 1), Some(0));
        queue.join(asked("p", 10, 2), Some(1));
        queue.join(asked("p", 10, 0), None);
        let batch = queue.depart(|who| *who != 0).expect("one waits");
        assert_eq!(batch.who, [vec![1], vec![]]);
    }

    #[test]
    fn who_can_be_told_without_a_call_leaves_and_the_others_keep_their_order() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 5), (2, 5), (3, 2)] {
            queue.join(asked("p", 10, cost), Some(who));
        }
        queue.join(asked("p", 10, 0), None);
        let released = queue.release(|asked| (asked[0].1 != 1 && asked[0].1 != 2).then_some("no"));
        assert_eq!(released, [("no", vec![1, 2])]);
        assert_eq!(queue.depart(|_| true).expect("two wait").who, [vec![0], vec![3], vec![]]);
    }

    #[test]
    fn who_can_be_served_is_served_in_order_until_one_has_to_wait() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 1), (2, 5), (3, 1), (4, 1)] {
            queue.join(asked("p", 10, cost), Some(who));
        }
        let mut units = 6;
        let served = queue.serve(
            |who| *who != 1,
            |asked| {
                let left = units >= asked[0].1;
                units -= if left { asked[0].1 } else { 0 };
                left.then_some(asked[0].1)
            },
        );
        assert_eq!(served, [(1, 0), (5, 2)]);
        assert_eq!(queue.depart(|_| true).expect("two wait").who, [vec![3, 4]]);
        queue.join(asked("p", 10, 0), None);
        assert!(queue.serve(|_| true, |_| Some(())).is_empty(), "what nobody awaits goes in a call");
        assert!(queue.depart(|_| true).is_some());
    }

    #[test]
    fn a_call_has_a_bound_and_the_rest_goes_in_the_next() {
        let mut queue = Queue::default();
        for who in 0..MAX_ENTRIES + 1 {
            queue.join(asked("p", 10, 1 + who as u64 % 2), Some(who));
        }
        assert_eq!(queue.depart(|_| true).expect("many wait").entries.len(), MAX_ENTRIES);
        assert_eq!(queue.depart(|_| true).expect("one waits").who, [vec![MAX_ENTRIES]]);
    }

    #[test]
    fn a_reload_changes_the_limit_of_a_bucket_and_makes_no_second_one() {
        let mut queue = Queue::default();
        queue.join(asked("p", 10, 1), Some(0));
        queue.join(asked("p", 100, 1), Some(1));
        let batch = queue.depart(|_| true).expect("two wait");
        assert_eq!(batch.limits.iter().map(Limit::quota).collect::<Vec<_>>(), [100]);
    }
}
