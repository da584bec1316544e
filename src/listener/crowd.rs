//! How many connections are open, in all and from each address.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The open connections. Addresses are counted only while a limit on them is set; the table holds at most one entry
/// an open connection.
#[derive(Default)]
pub struct Crowd {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; dropped, it is free again.
pub struct Place {
    crowd: Arc<Crowd>,
    counted: Option<IpAddr>,
}

impl Crowd {
    /// Connections open.
    pub fn size(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// A place for a connection from `address`; `None` when a limit is reached.
    pub fn enter(self: &Arc<Self>, address: IpAddr, limit: usize, per_address: Option<usize>) -> Option<Place> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= limit {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut place = Place { crowd: Arc::clone(self), counted: None };
        if let Some(limit) = per_address {
            let mut table = self.by_address.lock();
            let count = table.entry(address).or_insert(0);
            if *count >= limit {
                drop(table);
                return None;
            }
            *count += 1;
            place.counted = Some(address);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.counted else { return };
        let mut table = self.crowd.by_address.lock();
        if let Some(count) = table.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                table.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_address_and_come_back() {
        let crowd = Arc::new(Crowd::default());
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().expect("ip"));
        let first = crowd.enter(a, 2, Some(1)).expect("room");
        assert!(crowd.enter(a, 2, Some(1)).is_none());
        let second = crowd.enter(b, 2, Some(1)).expect("room");
        assert!(crowd.enter(b, 2, None).is_none());
        drop((first, second));
        assert_eq!((crowd.size(), crowd.by_address.lock().len()), (0, 0));
        assert!(crowd.enter(a, 2, Some(1)).is_some());
    }
}
