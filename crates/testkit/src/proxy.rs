//! The program under test, run as operators run it: a file, signals, and what it prints.

mod lines;
mod metrics;
mod process;
mod setup;

pub use metrics::{Sample, Scrape};
pub use setup::{Failed, Setup};

use crate::answer::Answer;
use crate::certs::{Alpn, Certs};
use crate::deadline::{DEADLINE, within};
use crate::raw::Raw;
use crate::request::Request;
use lines::Lines;
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Child;

/// A running proxy. Killed when dropped; its directory goes with it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    pid: u32,
    dir: TempDir,
    config: PathBuf,
    upstream: Option<String>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    stderr: Lines,
    stdout: Lines,
}

impl Proxy {
    /// Runs `bin` with `toml`, on ephemeral ports unless that names addresses. See [`Setup`] for more.
    pub async fn start(bin: impl AsRef<Path>, toml: &str) -> Self {
        Setup::new(bin).toml(toml).start().await
    }

    /// Runs `bin` before the upstream `url`, with `toml` besides.
    pub async fn before(bin: impl AsRef<Path>, url: &str, toml: &str) -> Self {
        Setup::new(bin).upstream(url).toml(toml).start().await
    }

    /// Where it serves; the first address when there are several.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Every address it serves on, in the order it said so.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The admin listener; panics when it is off.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// Its working directory: relative paths of the file start here.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A request; await it, or add to it first.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address(), method, target)
    }

    /// GET `target`.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// POST `target`.
    pub fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// A request to the admin listener.
    pub fn admin(&self, method: &str, target: &str) -> Request {
        Request::new(self.admin_address(), method, target)
    }

    /// A fresh connection.
    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// A fresh TLS connection.
    pub async fn connect_tls(&self, certs: &Certs, alpn: &[Alpn]) -> Raw {
        Raw::connect_tls(self.address(), certs, alpn).await
    }

    /// Replaces the configuration file, with the addresses and upstream it was started with injected as at the start.
    pub fn rewrite(&self, toml: &str) {
        setup::write_config(&self.config, toml, self.upstream.as_deref()).expect("the configuration can be written");
    }

    /// POST /reload.
    pub async fn reload(&self) -> Answer {
        self.admin("POST", "/reload").await
    }

    /// Scrapes /metrics; panics unless that answers 200.
    pub async fn metrics(&self) -> Scrape {
        let answer = self.admin("GET", "/metrics").await;
        assert_eq!(answer.status, 200, "GET /metrics: {}", answer.text());
        Scrape::parse(&answer.text())
    }

    /// Scrapes until the metrics satisfy `until`, which is how to wait for what is counted after a response has left.
    pub async fn wait_metrics(&self, what: &str, mut until: impl FnMut(&Scrape) -> bool) -> Scrape {
        within(what, async {
            loop {
                let scrape = self.metrics().await;
                if until(&scrape) {
                    return scrape;
                }
                // Nothing announces that a counter moved, so this is a poll; its period decides no outcome.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// Every JSON line of stderr so far.
    pub fn logs(&self) -> Vec<Value> {
        self.stderr.json()
    }

    /// The access lines so far.
    pub fn access(&self) -> Vec<Value> {
        self.logs().into_iter().filter(is_access).collect()
    }

    /// Waits for `count` access lines and returns all there are.
    pub async fn wait_access(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} access lines");
        self.stderr
            .wait(&what, |lines| lines.iter().filter_map(lines::parsed).filter(is_access).count() >= count)
            .await;
        self.access()
    }

    /// Waits for a log line, past or to come, that satisfies `wanted`; `what` names it in a missed deadline.
    pub async fn wait_log(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut find = |lines: &[String]| lines.iter().filter_map(lines::parsed).find(|line| wanted(line));
        let mut found = None;
        self.stderr
            .wait(what, |lines| {
                found = find(lines);
                found.is_some()
            })
            .await;
        found.expect("the wait ended because it was found")
    }

    /// Everything on stderr so far, JSON or not.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Everything on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until everything on stdout satisfies `until`; `what` names that in a missed deadline.
    pub async fn wait_stdout(&self, what: &str, mut until: impl FnMut(&str) -> bool) {
        self.stdout.wait(what, |lines| until(&lines.join("\n"))).await;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory now, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        process::status_bytes(self.pid, "VmRSS")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        process::status_bytes(self.pid, "VmHWM")
    }

    /// CPU time of all its threads, user and system, in steps of a clock tick.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.pid)
    }

    /// Its open file descriptors.
    pub fn open_files(&self) -> usize {
        process::open_files(self.pid)
    }

    /// Asks it to reload.
    pub fn sighup(&self) {
        process::signal(self.pid, Signal::HUP);
    }

    /// Asks it to drain and stop.
    pub fn sigterm(&self) {
        process::signal(self.pid, Signal::TERM);
    }

    /// Asks it to drain and stop, as Ctrl-C does.
    pub fn sigint(&self) {
        process::signal(self.pid, Signal::INT);
    }

    /// Stops it without a word, as a power failure does.
    pub async fn kill(&mut self) {
        within("the killed proxy to end", self.child.kill()).await.expect("a process of our own can be killed");
    }

    /// Waits for it to end on its own.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        within("the proxy to end", self.child.wait()).await.expect("a child of our own can be awaited")
    }
}

impl Drop for Proxy {
    /// Its directory goes with this, and it must not write into one that is being removed.
    fn drop(&mut self) {
        // It may have ended on its own, and a panic here would hide that of the test.
        let _ = self.child.start_kill();
        let until = Instant::now() + DEADLINE;
        while let Ok(None) = self.child.try_wait()
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn is_access(line: &Value) -> bool {
    line["msg"] == "request"
}
