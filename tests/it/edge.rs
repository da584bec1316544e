//! The edge: what it lets through, what it refuses, and what it counts; raw sockets against the real program.

mod admin;
mod bodies;
mod clear;
mod crowd;
mod fields;
mod floods;
mod forwarding;
mod heads;
mod http2;
mod http2_refusals;
mod paths;
mod patience;
mod secrets;
mod strict;
mod upstream_tls;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vestibule_testkit::{Origin, Proxy};

async fn proxy(origin: &Origin, toml: &str) -> Proxy {
    Proxy::before(crate::bin(), &origin.url(), toml).await
}

/// What was blocked so far, by kind.
async fn blocked(proxy: &Proxy) -> BTreeMap<String, u64> {
    let scrape = proxy.metrics().await;
    let samples = scrape.matching("vestibule_threats_blocked_total", &[]);
    samples.map(|sample| (sample.labels[0].1.clone(), sample.value as u64)).collect()
}

/// What is counted behind an answer may come a moment after it.
const SETTLED: Duration = Duration::from_secs(1);

/// What has been blocked since `before`, by kind; empty when nothing has been for a while.
async fn blocked_since(proxy: &Proxy, before: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let began = Instant::now();
    loop {
        let now = blocked(proxy).await;
        let more = now.into_iter().map(|(kind, count)| (kind.clone(), count - before.get(&kind).copied().unwrap_or(0)));
        let more: Vec<_> = more.filter(|(_, count)| *count > 0).collect();
        if !more.is_empty() || began.elapsed() > SETTLED {
            return more;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One more of this kind and of no other; nothing more for "".
fn once(kind: &str) -> Vec<(String, u64)> {
    if kind.is_empty() { Vec::new() } else { vec![(kind.to_owned(), 1)] }
}
