//! The addresses behind an upstream's name.
//!
//! Names are asked for when first needed and again when they are old or a connection failed, never while a request
//! waits, except for the very first. One question is under way at a time, and one that failed is not repeated at once.

use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Age from which addresses are asked for anew, in the background.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Least time between two questions for one name.
const MIN_AGE: Duration = Duration::from_secs(1);
/// Addresses of one name that are used.
const MAX_ADDRESSES: usize = 16;

/// The addresses of one host and port.
pub struct Addresses {
    shared: Arc<Shared>,
}

struct Shared {
    host: String,
    port: u16,
    known: ArcSwap<Known>,
    next: AtomicUsize,
    asking: Mutex<()>,
    refreshing: AtomicBool,
    stale: AtomicBool,
    /// The last question had no answer; said once, and again when it has one.
    failing: AtomicBool,
}

struct Known {
    addresses: Vec<SocketAddr>,
    asked: Asked,
}

#[derive(Clone, Copy)]
enum Asked {
    /// It is an address, and does not age.
    NeedNot,
    NotYet,
    At(Instant),
}

impl Addresses {
    /// Of `host`, a name or an address.
    pub fn new(host: &str, port: u16) -> Self {
        let literal: Option<IpAddr> = host.parse().ok();
        let known = match literal {
            Some(ip) => Known { addresses: vec![SocketAddr::new(ip, port)], asked: Asked::NeedNot },
            None => Known { addresses: Vec::new(), asked: Asked::NotYet },
        };
        Self {
            shared: Arc::new(Shared {
                host: host.to_owned(),
                port,
                known: ArcSwap::from_pointee(known),
                next: AtomicUsize::new(0),
                asking: Mutex::new(()),
                refreshing: AtomicBool::new(false),
                stale: AtomicBool::new(false),
                failing: AtomicBool::new(false),
            }),
        }
    }

    /// One of them; `None` when the name has none, or did not resolve within `patience` and never had.
    pub async fn pick(&self, patience: Duration) -> Option<SocketAddr> {
        let known = self.shared.known.load();
        if let Some(address) = self.shared.choose(&known) {
            if self.shared.is_old(known.asked) {
                self.refresh_in_background();
            }
            return Some(address);
        }
        drop(known);
        tokio::time::timeout(patience, self.shared.ask()).await.ok();
        self.shared.choose(&self.shared.known.load())
    }

    /// `failed` does not answer: go on to the next, and ask for them anew. Of several that met the same dead address only
    /// the first moves on.
    pub fn advance(&self, failed: SocketAddr) {
        let known = self.shared.known.load();
        let at = self.shared.next.load(Ordering::Relaxed);
        if known.address(at) == Some(failed) {
            let _ = self.shared.next.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        self.shared.stale.store(true, Ordering::Relaxed);
    }

    fn refresh_in_background(&self) {
        if !self.shared.refreshing.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                shared.ask().await;
                shared.refreshing.store(false, Ordering::Release);
            });
        }
    }
}

impl Known {
    fn address(&self, number: usize) -> Option<SocketAddr> {
        self.addresses.get(number % self.addresses.len().max(1)).copied()
    }
}

impl Shared {
    fn choose(&self, known: &Known) -> Option<SocketAddr> {
        known.address(self.next.load(Ordering::Relaxed))
    }

    fn is_old(&self, asked: Asked) -> bool {
        match asked {
            Asked::NeedNot => false,
            Asked::NotYet => true,
            Asked::At(asked) => {
                let age = asked.elapsed();
                age > MAX_AGE || (age > MIN_AGE && self.stale.load(Ordering::Relaxed))
            }
        }
    }

    /// Asks for them, unless somebody has just done so.
    async fn ask(&self) {
        let _turn = self.asking.lock().await;
        let known = self.known.load_full();
        if matches!(known.asked, Asked::At(asked) if asked.elapsed() < MIN_AGE) {
            return;
        }
        let addresses = match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                self.stale.store(false, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(target: "upstream", host = self.host, "name resolves again");
                }
                found.take(MAX_ADDRESSES).collect()
            }
            // The addresses known so far are better than none; they are asked for again when they are next used.
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(target: "upstream", host = self.host, error = %error, "name does not resolve");
                }
                known.addresses.clone()
            }
        };
        self.known.store(Arc::new(Known { addresses, asked: Asked::At(Instant::now()) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_itself_and_a_name_is_resolved_when_asked_for() {
        let literal = Addresses::new("::1", 80);
        assert_eq!(literal.pick(Duration::ZERO).await, Some("[::1]:80".parse().expect("address")));
        let name = Addresses::new("localhost", 80);
        assert!(name.pick(Duration::from_secs(5)).await.is_some_and(|a| a.ip().is_loopback()));
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_none_and_is_not_asked_for_again_at_once() {
        let name = Addresses::new("nobody.invalid", 80);
        assert_eq!(name.pick(Duration::from_secs(5)).await, None);
        let first = asked_at(&name).expect("asked once");
        assert_eq!(name.pick(Duration::from_secs(5)).await, None);
        assert_eq!(asked_at(&name), Some(first), "the failure is remembered for a second");
    }

    #[tokio::test]
    async fn two_that_met_the_same_dead_address_move_on_by_one() {
        let name = Addresses::new("name.invalid", 80);
        let at = |n: u8| SocketAddr::from(([127, 0, 0, n], 80));
        let known = Known { addresses: vec![at(1), at(2), at(3)], asked: Asked::At(Instant::now()) };
        name.shared.known.store(Arc::new(known));
        name.advance(at(1));
        name.advance(at(1));
        assert_eq!(name.pick(Duration::ZERO).await, Some(at(2)));
        name.advance(at(2));
        name.advance(at(3));
        assert_eq!(name.pick(Duration::ZERO).await, Some(at(1)), "after the last comes the first");
    }

    fn asked_at(name: &Addresses) -> Option<Instant> {
        match name.shared.known.load().asked {
            Asked::At(asked) => Some(asked),
            _ => None,
        }
    }
}
