//! The connections of a listener that refuses nobody: one more than it has room for takes the place of the one that has
//! been idle longest.

use crate::downstream::connection::Connection;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// The open connections, at most `room` that have not been told to leave.
pub struct Residents {
    room: usize,
    all: Mutex<Vec<Arc<Resident>>>,
}

/// One connection.
pub struct Resident {
    connection: Arc<Connection>,
    leave: Notify,
}

/// A connection's stay; dropped, its place is free.
pub struct Stay {
    residents: Arc<Residents>,
    resident: Arc<Resident>,
}

impl Residents {
    /// With room for so many.
    pub fn new(room: usize) -> Arc<Self> {
        Arc::new(Self { room, all: Mutex::new(Vec::with_capacity(room + 1)) })
    }

    /// Takes `connection` in. Where there is no room, the one that has been idle longest is told to leave, or the one
    /// that came first when none is idle.
    pub fn take_in(self: &Arc<Self>, connection: Arc<Connection>) -> Stay {
        let resident = Arc::new(Resident { connection, leave: Notify::new() });
        let mut all = self.all.lock();
        if all.len() >= self.room {
            let since = |resident: &Resident| resident.connection.idle_since();
            let longest = all.iter().enumerate().filter_map(|(at, resident)| Some((since(resident)?, at))).min();
            let leaving = all.remove(longest.map_or(0, |(_, at)| at));
            leaving.leave.notify_one();
        }
        all.push(Arc::clone(&resident));
        drop(all);
        Stay { residents: Arc::clone(self), resident }
    }
}

impl Stay {
    /// Resolves when another connection needs the place.
    pub async fn told_to_leave(&self) {
        self.resident.leave.notified().await;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.residents.all.lock().retain(|other| !Arc::ptr_eq(other, &self.resident));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::net::{IpAddr, Ipv4Addr};
    use vestibule_plugin::Monotonic;

    fn connection(idle_since: Option<u64>) -> Arc<Connection> {
        let connection = Connection::new(IpAddr::V4(Ipv4Addr::LOCALHOST), false);
        match idle_since {
            Some(since) => connection.begin_idle(Monotonic(since)),
            None => connection.take_head(),
        }
        Arc::new(connection)
    }

    #[test]
    fn the_longest_idle_one_leaves_and_busy_ones_last() {
        let residents = Residents::new(3);
        let stays = [Some(7), Some(5), None].map(|since| residents.take_in(connection(since)));
        let left = || stays.each_ref().map(|stay| stay.told_to_leave().now_or_never().is_some());
        let fourth = residents.take_in(connection(Some(9)));
        assert_eq!(left(), [false, true, false]);
        let fifth = residents.take_in(connection(None));
        assert_eq!(left(), [true, false, false]);
        assert!(fourth.told_to_leave().now_or_never().is_none());
        let _sixth = residents.take_in(connection(None));
        let _seventh = residents.take_in(connection(None));
        assert!(fourth.told_to_leave().now_or_never().is_some());
        assert_eq!(left(), [false, false, true], "nobody is idle: the first that came");
        drop((stays, fourth, fifth));
        assert_eq!(residents.all.lock().len(), 2);
    }
}
