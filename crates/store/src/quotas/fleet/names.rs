//! Names of partitions that were asked about lately. Working one out takes as long as half of what a call costs here.

use parking_lot::Mutex;
use std::sync::Arc;

/// Names that are kept. Two partitions of one place take it from each other.
const PLACES: usize = 4_096;

/// By partition, each in its only place.
pub(super) struct Names(Box<[Mutex<Option<Named>>]>);

struct Named {
    partition: u128,
    h: Arc<str>,
}

impl Default for Names {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }
}

impl Names {
    /// The name of a partition; `name` works it out when it is not known.
    pub(super) fn of(&self, partition: u128, name: impl FnOnce() -> Arc<str>) -> Arc<str> {
        let mut place = self.0[partition as usize % PLACES].lock();
        if let Some(Named { partition: known, h }) = &*place
            && *known == partition
        {
            return Arc::clone(h);
        }
        let h = name();
        *place = Some(Named { partition, h: Arc::clone(&h) });
        h
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_worked_out_once_while_it_has_its_place() {
        let (names, mut worked_out) = (Names::default(), Vec::new());
        let meets = 7 + PLACES as u128;
        for partition in [7, 7, 8, meets, meets, 8, 7] {
            let h = names.of(partition, || {
                worked_out.push(partition);
                partition.to_string().into()
            });
            assert_eq!(*h, *partition.to_string());
        }
        assert_eq!(worked_out, [7, 8, meets, 7]);
    }
}
