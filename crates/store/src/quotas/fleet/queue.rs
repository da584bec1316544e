//! Requests of one partition that only the store can decide on, and units that go back there. One call is under way at a
//! time; what comes meanwhile goes together in the next one. Values in, values out.

use super::round::{Entry, Part, Refund};
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
    back: Vec<Back>,
}

/// What goes back to one bucket.
pub(super) struct Back {
    pub(super) limit: Limit,
    /// Of debt one. Of a log one for each time, which are few: each was charged, and a log has 64 units at most.
    pub(super) refunds: Vec<Refund>,
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
    /// What goes back to some of them, by place.
    pub(super) back: Vec<(usize, Vec<Refund>)>,
    pub(super) entries: Vec<Entry>,
    /// For each entry, who is told.
    pub(super) who: Vec<Vec<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), back: Vec::new() }
    }
}

impl<T> Queue<T> {
    /// Puts a request at the end.
    pub(super) fn join(&mut self, asked: Asked, who: T) {
        match self.waiting.back_mut() {
            Some(last) if last.asked == asked => last.who.push(who),
            _ => self.waiting.push_back(Waiting { asked, who: vec![who] }),
        }
    }

    /// Gives something back to a bucket. It goes even if nobody waits.
    pub(super) fn give_back(&mut self, limit: &Limit, refund: Refund) {
        let at = self.back.iter().position(|back| is_same(&back.limit, limit)).unwrap_or_else(|| {
            self.back.push(Back { limit: limit.clone(), refunds: Vec::new() });
            self.back.len() - 1
        });
        refund.join(&mut self.back[at].refunds, limit.algorithm());
    }

    /// What was to go back, of a queue of which nothing goes.
    pub(super) fn into_back(self) -> Vec<Back> {
        self.back
    }

    /// Takes out those of whom `known` tells what to say. Who came while a call was under way that was refused is refused
    /// as well: asking for them would be another refused call.
    pub(super) fn release<R>(&mut self, mut known: impl FnMut(&Asked) -> Option<R>) -> Vec<(R, Vec<T>)> {
        let mut released = Vec::new();
        for next in std::mem::take(&mut self.waiting) {
            match known(&next.asked) {
                Some(said) => released.push((said, next.who)),
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
        while let Some(first) = self.waiting.front_mut() {
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
        let mut batch = Batch { limits: Vec::new(), back: Vec::new(), entries: Vec::new(), who: Vec::new() };
        while batch.entries.len() < MAX_ENTRIES {
            let Some(mut next) = self.waiting.pop_front() else { break };
            next.who.retain(&waits);
            if next.who.is_empty() {
                continue;
            }
            let parts =
                next.asked.iter().map(|(limit, cost)| Part { bucket: batch.bucket(limit), cost: *cost }).collect();
            batch.entries.push(Entry { count: next.who.len(), parts });
            batch.who.push(next.who);
        }
        for Back { limit, refunds } in std::mem::take(&mut self.back) {
            let bucket = batch.place(&limit);
            batch.back.push((bucket, refunds));
        }
        (!batch.limits.is_empty()).then_some(batch)
    }
}

/// Whether both are of one bucket: one for each name and algorithm, as the store has it.
fn is_same(one: &Limit, other: &Limit) -> bool {
    one.name() == other.name() && one.algorithm() == other.algorithm()
}

impl<T> Batch<T> {
    /// For units of which nobody waits for any.
    pub(super) fn top_up(limit: &Limit) -> Self {
        let parts = [Part { bucket: 0, cost: 0 }].into_iter().collect();
        let (limits, entries) = (vec![limit.clone()], vec![Entry { count: 1, parts }]);
        Self { limits, back: Vec::new(), entries, who: vec![Vec::new()] }
    }

    /// Whether a request asks the bucket at this place.
    pub(super) fn asks(&self, bucket: usize) -> bool {
        self.entries.iter().flat_map(|entry| &entry.parts).any(|part| part.bucket == bucket)
    }

    /// What was to go back, of a batch that does not go.
    pub(super) fn take_back(&mut self) -> Vec<Back> {
        let back = std::mem::take(&mut self.back);
        back.into_iter().map(|(at, refunds)| Back { limit: self.limits[at].clone(), refunds }).collect()
    }

    /// The bucket that a request asks. While a reload goes on, the later limit counts.
    fn bucket(&mut self, limit: &Limit) -> usize {
        let bucket = self.place(limit);
        self.limits[bucket].clone_from(limit);
        bucket
    }

    /// Where a limit's bucket is.
    fn place(&mut self, limit: &Limit) -> usize {
        self.limits.iter().position(|known| is_same(known, limit)).unwrap_or_else(|| {
            self.limits.push(limit.clone());
            self.limits.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::{Algorithm, OnStoreError, Sharing, Terms};
    use std::time::Duration;

    fn terms(name: &str, quota: u64) -> Terms<'_> {
        Terms {
            name,
            key: "client",
            algorithm: Algorithm::Gcra,
            quota,
            window: Duration::from_secs(60),
            burst: quota,
            sharing: Sharing::Leased,
            on_store_error: OnStoreError::LocalShare,
        }
    }

    fn asked(name: &str, quota: u64, cost: u64) -> Asked {
        let limit = Limit::new(&terms(name, quota));
        [(limit.expect("a good limit"), cost)].into_iter().collect()
    }

    #[test]
    fn equal_requests_in_a_row_are_one_entry_and_the_order_stays() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 1), (2, 5), (3, 1)] {
            queue.join(asked("p", 10, cost), who);
        }
        let batch = queue.depart(|_| true).expect("four wait");
        assert_eq!(batch.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(batch.who, [vec![0, 1], vec![2], vec![3]]);
        assert_eq!(batch.limits.len(), 1);
        assert!(queue.depart(|_| true).is_none());
    }

    #[test]
    fn who_has_left_is_not_asked_for_and_what_goes_back_goes_all_the_same() {
        let mut queue = Queue::default();
        queue.join(asked("p", 10, 1), 0);
        queue.join(asked("p", 10, 2), 1);
        let batch = queue.depart(|who| *who != 0).expect("one waits");
        assert_eq!(batch.who, [vec![1]]);
        queue.join(asked("p", 10, 1), 0);
        for (amount, stamp_us) in [(3, 20), (4, 10)] {
            queue.give_back(&asked("q", 10, 1)[0].0, Refund { amount, stamp_us });
        }
        let batch = queue.depart(|who| *who != 0).expect("something goes back");
        assert_eq!((batch.limits.len(), batch.entries.len()), (1, 0));
        assert_eq!(batch.back, [(0, vec![Refund { amount: 7, stamp_us: 10 }])]);
        assert!(queue.depart(|_| true).is_none(), "it goes once");
    }

    #[test]
    fn units_of_a_log_go_back_each_by_its_time() {
        let terms = Terms { algorithm: Algorithm::SlidingLog, ..terms("p", 10) };
        let log = Limit::new(&terms).expect("a good limit");
        let mut queue = Queue::<()>::default();
        for (amount, stamp_us) in [(3, 20), (4, 10), (1, 20)] {
            queue.give_back(&log, Refund { amount, stamp_us });
        }
        let refund = |amount, stamp_us| Refund { amount, stamp_us };
        assert_eq!(queue.depart(|()| true).expect("they go").back, [(0, vec![refund(4, 20), refund(4, 10)])]);
    }

    #[test]
    fn who_can_be_told_without_a_call_leaves_and_the_others_keep_their_order() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 5), (2, 5), (3, 2)] {
            queue.join(asked("p", 10, cost), who);
        }
        let released = queue.release(|asked| (asked[0].1 != 1 && asked[0].1 != 2).then_some("no"));
        assert_eq!(released, [("no", vec![1, 2])]);
        assert_eq!(queue.depart(|_| true).expect("two wait").who, [vec![0], vec![3]]);
    }

    #[test]
    fn who_can_be_served_is_served_in_order_until_one_has_to_wait() {
        let mut queue = Queue::default();
        for (who, cost) in [(0, 1), (1, 1), (2, 5), (3, 1), (4, 1)] {
            queue.join(asked("p", 10, cost), who);
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
    }

    #[test]
    fn a_call_has_a_bound_and_the_rest_goes_in_the_next() {
        let mut queue = Queue::default();
        for who in 0..MAX_ENTRIES + 1 {
            queue.join(asked("p", 10, 1 + who as u64 % 2), who);
        }
        assert_eq!(queue.depart(|_| true).expect("many wait").entries.len(), MAX_ENTRIES);
        assert_eq!(queue.depart(|_| true).expect("one waits").who, [vec![MAX_ENTRIES]]);
    }

    #[test]
    fn a_reload_changes_the_limit_of_a_bucket_and_makes_no_second_one() {
        let mut queue = Queue::default();
        queue.join(asked("p", 10, 1), 0);
        queue.join(asked("p", 100, 1), 1);
        let batch = queue.depart(|_| true).expect("two wait");
        assert_eq!(batch.limits.iter().map(Limit::quota).collect::<Vec<_>>(), [100]);
    }
}
