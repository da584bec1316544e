//! Connections that wait to be used again.
//!
//! Each worker has a shelf of its own and is alone at it but for the sweep, so its lock is free. The room is shared by all
//! shelves: where there is none left, the one that has been idle for longest makes room.

use super::http1::Http1;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Idle connections by worker.
pub struct Idle {
    room: usize,
    kept: AtomicUsize,
    shelves: Box<[Mutex<Vec<Kept>>]>,
}

struct Kept {
    key: u64,
    connection: Box<Http1>,
    since: Instant,
}

/// Longest time a connection waits: what nobody asks for any more, after a reload or a change of addresses, goes.
const MAX_IDLE: Duration = Duration::from_secs(90);

impl Idle {
    /// For at most `room` connections on `shelves` shelves.
    pub fn new(room: usize, shelves: usize) -> Self {
        let shelves = (0..shelves.max(1)).map(|_| Mutex::default()).collect();
        Self { room, kept: AtomicUsize::new(0), shelves }
    }

    fn shelf(&self, number: usize) -> &Mutex<Vec<Kept>> {
        &self.shelves[number % self.shelves.len()]
    }

    /// The connection last given back under `key` that is still open.
    pub fn take(&self, shelf: usize, key: u64) -> Option<Box<Http1>> {
        let mut shelf = self.shelf(shelf).lock();
        while let Some(at) = shelf.iter().rposition(|kept| kept.key == key) {
            let mut kept = shelf.remove(at);
            self.kept.fetch_sub(1, Ordering::Relaxed);
            if kept.connection.is_open() {
                return Some(kept.connection);
            }
        }
        None
    }

    /// Keeps `connection` for others under `key`; who takes it up sees whether it is still open. Its timer stays, and with it, until
    /// that fires, what is left of the task that was last woken by it: to begin a timer anew costs every request more.
    pub fn keep(&self, shelf: usize, key: u64, mut connection: Box<Http1>) {
        if self.room == 0 {
            return;
        }
        connection.lighten();
        let kept = Kept { key, connection, since: Instant::now() };
        if self.kept.fetch_add(1, Ordering::Relaxed) >= self.room {
            self.make_room(shelf);
        }
        self.shelf(shelf).lock().push(kept);
    }

    /// Closes the connection that has waited for longest on this shelf, or else on another.
    fn make_room(&self, shelf: usize) {
        for number in 0..self.shelves.len() {
            let mut shelf = self.shelf(shelf + number).lock();
            // They lie in the order in which they were given back.
            if !shelf.is_empty() {
                drop(shelf.remove(0));
                self.kept.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Closes what can no longer be used.
    pub fn sweep(&self) {
        for shelf in &self.shelves {
            let mut shelf = shelf.lock();
            let before = shelf.len();
            shelf.retain_mut(|kept| kept.since.elapsed() < MAX_IDLE && kept.connection.is_open());
            self.kept.fetch_sub(before - shelf.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::patience::Timeouts;
    use super::*;
    use pingora::protocols::l4::stream::Stream as L4;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Box<Http1>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let ours = Http1::new(Box::new(L4::from(ours.expect("connect"))), Timeouts { read: None, write: None });
        (Box::new(ours), theirs.expect("accept").0)
    }

    #[tokio::test]
    async fn the_last_one_given_back_is_the_first_one_taken_and_only_under_its_key() {
        let idle = Idle::new(8, 2);
        let (first, _a) = pair().await;
        let (last, _b) = pair().await;
        let address: *const Http1 = &raw const *last;
        idle.keep(1, 7, first);
        idle.keep(1, 7, last);
        assert!(idle.take(1, 8).is_none(), "another peer's");
        assert!(idle.take(0, 7).is_none(), "another worker's");
        assert!(idle.take(1, 7).is_some_and(|taken| std::ptr::eq(&raw const *taken, address)));
        assert!(idle.take(1, 7).is_some());
        assert!(idle.take(1, 7).is_none());
    }

    #[tokio::test]
    async fn one_that_the_other_end_closed_or_spoke_on_is_not_handed_out() {
        let idle = Idle::new(8, 1);
        let (closed, other) = pair().await;
        let (spoken, mut speaker) = pair().await;
        idle.keep(0, 1, closed);
        idle.keep(0, 2, spoken);
        drop(other);
        tokio::io::AsyncWriteExt::write_all(&mut speaker, b"HTTP/1.1 408 ").await.expect("write");
        tokio::time::timeout(Duration::from_secs(5), async {
            while idle.kept.load(Ordering::Relaxed) > 0 {
                idle.sweep();
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("both are swept");
        assert!(idle.take(0, 1).is_none());
        assert!(idle.take(0, 2).is_none());
    }

    #[tokio::test]
    async fn the_one_that_has_waited_for_longest_makes_room() {
        let idle = Idle::new(2, 2);
        let mut others = Vec::new();
        for (shelf, key) in [(0, 1), (0, 2), (0, 3), (1, 4)] {
            let (stream, other) = pair().await;
            idle.keep(shelf, key, stream);
            others.push(other);
        }
        assert!(idle.take(0, 1).is_none(), "the oldest of its own shelf went first");
        assert!(idle.take(0, 2).is_none(), "then that of another, since its own was empty");
        assert!(idle.take(0, 3).is_some() && idle.take(1, 4).is_some());
        let (none, (stream, _other)) = (Idle::new(0, 1), pair().await);
        none.keep(0, 1, stream);
        assert!(none.take(0, 1).is_none());
    }
}
