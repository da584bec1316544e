//! How many connections are open, in all and from each client.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vestibule_plugin::ClientAddress;

/// The open connections. Clients are counted only while a limit on them is set; the table holds at most one entry
/// an open connection.
#[derive(Default)]
pub struct Crowd {
    all: AtomicUsize,
    by_client: Mutex<HashMap<ClientAddress, usize>>,
}

/// A connection's place; dropped, it is free again.
pub struct Place {
    crowd: Arc<Crowd>,
    counted: Option<ClientAddress>,
}

/// Most connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// As configured.
    pub all: usize,
    /// What there are file descriptors for.
    pub descriptors: usize,
    /// From one client; `None` where it has no limit.
    pub per_client: Option<usize>,
}

/// Which limit a connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Of connections, in all or from this client.
    Connections,
    /// Of file descriptors that connections of clients may have.
    Descriptors,
}

impl Crowd {
    /// Connections open.
    pub fn size(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// A place for a connection from `client`.
    ///
    /// # Errors
    ///
    /// When a limit is reached.
    pub fn enter(self: &Arc<Self>, client: ClientAddress, limits: Limits) -> Result<Place, Full> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        // Its drop takes the place back.
        let mut place = Place { crowd: Arc::clone(self), counted: None };
        if before >= limits.all {
            return Err(Full::Connections);
        }
        if before >= limits.descriptors {
            return Err(Full::Descriptors);
        }

        if let Some(limit) = limits.per_client {
            let mut table = self.by_client.lock();
            let count = table.entry(client).or_insert(0);
            if *count >= limit {
                drop(table);
                return Err(Full::Connections);
            }
            *count += 1;
            place.counted = Some(client);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.counted else { return };
        let mut table = self.crowd.by_client.lock();
        if let Some(count) = table.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                table.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: &str) -> ClientAddress {
        ClientAddress::of(ip.parse().expect("an address"), 64)
    }

    #[test]
    fn places_are_limited_in_all_and_by_client_and_come_back() {
        let crowd = Arc::new(Crowd::default());
        let limits = Limits { all: 2, descriptors: 9, per_client: Some(1) };
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(client);
        let first = crowd.enter(a, limits).expect("room");
        assert_eq!(crowd.enter(a, limits).err(), Some(Full::Connections));
        let second = crowd.enter(b, limits).expect("room");
        assert_eq!(crowd.enter(b, Limits { per_client: None, ..limits }).err(), Some(Full::Connections));
        drop((first, second));
        assert_eq!((crowd.size(), crowd.by_client.lock().len()), (0, 0));
        assert!(crowd.enter(a, limits).is_ok());
    }

    /// One client has a whole IPv6 network, and a mapped IPv4 address is that address.
    #[test]
    fn a_client_is_its_prefix() {
        let crowd = Arc::new(Crowd::default());
        let limits = Limits { all: 9, descriptors: 9, per_client: Some(1) };
        let _places = ["2001:db8::1", "192.0.2.1"].map(|ip| crowd.enter(client(ip), limits).expect("room"));
        for same in ["2001:db8::2", "2001:db8:0:0:ffff::", "::ffff:192.0.2.1"] {
            assert!(crowd.enter(client(same), limits).is_err(), "{same}");
        }
        assert!(crowd.enter(client("2001:db8:0:1::1"), limits).is_ok());
    }

    #[test]
    fn which_limit_is_reached_is_told() {
        let crowd = Arc::new(Crowd::default());
        let limits = Limits { all: 2, descriptors: 1, per_client: None };
        let _place = crowd.enter(client("192.0.2.1"), limits).expect("room");
        assert_eq!(crowd.enter(client("192.0.2.1"), limits).err(), Some(Full::Descriptors));
        assert_eq!(crowd.enter(client("192.0.2.1"), Limits { all: 1, ..limits }).err(), Some(Full::Connections));
        assert_eq!(crowd.size(), 1);
    }
}
