//! The addresses behind an upstream's name.
//!
//! Names are asked for when first needed and again when they are old or a connection failed, never while a request
//! waits, except for the very first.

use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
    asking: AtomicBool,
    stale: AtomicBool,
}

struct Known {
    addresses: Vec<SocketAddr>,
    /// `None` for an address literal, which does not age.
    asked: Option<Instant>,
}

impl Addresses {
    /// Of `host`, a name or an address.
    pub fn new(host: &str, port: u16) -> Self {
        let literal: Option<IpAddr> = host.parse().ok();
        let known = match literal {
            Some(ip) => Known { addresses: vec![SocketAddr::new(ip, port)], asked: None },
            None => Known { addresses: Vec::new(), asked: Some(Instant::now()) },
        };
        Self {
            shared: Arc::new(Shared {
                host: host.to_owned(),
                port,
                known: ArcSwap::from_pointee(known),
                next: AtomicUsize::new(0),
                asking: AtomicBool::new(false),
                stale: AtomicBool::new(false),
            }),
        }
    }

    /// One of them; `None` when the name has none, or did not resolve within `patience` and never had.
    pub async fn pick(&self, patience: Duration) -> Option<SocketAddr> {
        let known = self.shared.known.load();
        if let Some(address) = self.shared.choose(&known) {
            if known.asked.is_some_and(|asked| self.shared.is_old(asked)) {
                self.refresh_in_background();
            }
            return Some(address);
        }
        drop(known);
        tokio::time::timeout(patience, self.shared.ask()).await.ok();
        self.shared.choose(&self.shared.known.load())
    }

    /// The address in use does not answer: go on to the next, and ask for them anew.
    pub fn advance(&self) {
        self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.stale.store(true, Ordering::Relaxed);
    }

    fn refresh_in_background(&self) {
        if !self.shared.asking.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                shared.ask().await;
                shared.asking.store(false, Ordering::Release);
            });
        }
    }
}

impl Shared {
    fn choose(&self, known: &Known) -> Option<SocketAddr> {
        let count = known.addresses.len().max(1);
        known.addresses.get(self.next.load(Ordering::Relaxed) % count).copied()
    }

    fn is_old(&self, asked: Instant) -> bool {
        let age = asked.elapsed();
        age > MAX_AGE || (age > MIN_AGE && self.stale.load(Ordering::Relaxed))
    }

    async fn ask(&self) {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
                self.stale.store(false, Ordering::Relaxed);
                self.known.store(Arc::new(Known { addresses, asked: Some(Instant::now()) }));
            }
            // The addresses known so far are better than none; they are asked for again when they are next used.
            Err(error) => {
                tracing::warn!(target: "upstream", host = self.host, error = %error, "name does not resolve");
                let addresses = self.known.load().addresses.clone();
                self.known.store(Arc::new(Known { addresses, asked: Some(Instant::now()) }));
            }
        }
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
    async fn a_name_without_addresses_is_none_and_not_a_hang() {
        let name = Addresses::new("nobody.invalid", 80);
        assert_eq!(name.pick(Duration::from_secs(5)).await, None);
    }
}
