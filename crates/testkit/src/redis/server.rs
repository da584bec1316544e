//! One Redis server in a process of its own.

use super::client::{Client, Resp};
use super::monitor::Monitor;
use crate::certs::Certs;
use crate::deadline::within;
use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How often a port that was free a moment ago may be taken before that counts as a failure.
const ATTEMPTS: usize = 5;

/// Pause between looks at something that announces nothing; it decides no outcome.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A server to be started, without persistence unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct RedisSetup {
    config: Vec<(String, String)>,
    tls: Option<Tls>,
    password: Option<String>,
    sentinel: bool,
    cluster: bool,
}

/// Files of the server, and what its clients trust.
#[derive(Clone, Debug)]
struct Tls {
    lines: Vec<String>,
    client: Arc<ClientConfig>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    /// For other nodes of its cluster. Unless told it would be 10000 above the other, which may be more than there is.
    bus: u16,
}

/// A running server on loopback. Killed when dropped, stopped or not; its directory goes with it.
#[derive(Debug)]
pub struct Redis {
    setup: RedisSetup,
    dir: TempDir,
    ports: Ports,
    child: Child,
}

impl RedisSetup {
    /// A line of its configuration.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Every write is on disk before it is acknowledged, so that a restart loses none; or there is no persistence.
    pub fn appendonly(self, on: bool) -> Self {
        if on { self.config("appendonly", "yes").config("appendfsync", "always") } else { self }
    }

    /// TLS alone, with the certificate of `certs`, whose files it needs at each start; no certificate is asked of clients.
    pub fn tls(mut self, certs: &Certs) -> Self {
        let lines = vec![
            format!("tls-cert-file {}", certs.cert_file().display()),
            format!("tls-key-file {}", certs.key_file().display()),
            format!("tls-ca-cert-file {}", certs.ca_file().display()),
            "tls-auth-clients no".to_owned(),
        ];
        self.tls = Some(Tls { lines, client: certs.client_config(&[]) });
        self
    }

    /// Asked of the default user.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password)
    }

    /// Follows `master`.
    pub fn replica_of(self, master: &Redis) -> Self {
        self.config("replicaof", &format!("127.0.0.1 {}", master.ports.clients))
    }

    pub(super) fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    pub(super) fn cluster(mut self) -> Self {
        self.cluster = true;
        self.config("cluster-enabled", "yes")
    }

    /// Starts it and waits until it answers; panics with its log when it does not.
    pub async fn start(self) -> Redis {
        let dir = tempfile::tempdir().expect("a temporary directory for the server");
        for _ in 1..ATTEMPTS {
            let ports = Ports { clients: free_port(), bus: free_port() };
            let mut child = self.spawn(dir.path(), ports);
            if self.answers(&mut child, ports.clients).await {
                return Redis { setup: self, dir, ports, child };
            }
        }
        panic!("redis-server does not start:\n{}", log(dir.path()));
    }

    /// Waits until it answers as the process that was started and has read what is on disk; false when it has ended.
    async fn answers(&self, child: &mut Child, port: u16) -> bool {
        within("redis-server to answer", async {
            loop {
                if child.try_wait().expect("a child of our own can be awaited").is_some() {
                    return false;
                }
                // Another process may have got the port: the id tells.
                if let Ok(info) = self.ask(port, &["INFO"]).await
                    && matches!(&info, Resp::Bulk(_))
                    && info.text().contains(&format!("process_id:{}\r", child.id()))
                    && !info.text().contains("loading:1")
                {
                    return true;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }

    async fn ask<A: AsRef<[u8]>>(&self, port: u16, words: &[A]) -> io::Result<Resp> {
        self.client(port).await?.ask(words).await
    }

    async fn client(&self, port: u16) -> io::Result<Client> {
        let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.client));
        Client::connect((Ipv4Addr::LOCALHOST, port).into(), tls, self.password.as_deref()).await
    }

    fn spawn(&self, dir: &Path, Ports { clients: port, bus }: Ports) -> Child {
        let mut lines = vec![format!("dir {}", dir.display()), "bind 127.0.0.1".to_owned()];
        // Else who comes from another loopback address is refused.
        lines.push("protected-mode no".to_owned());
        match &self.tls {
            None => lines.push(format!("port {port}")),
            Some(tls) => {
                lines.extend(["port 0".to_owned(), format!("tls-port {port}")]);
                lines.extend(tls.lines.iter().cloned());
            }
        }
        if self.cluster {
            lines.push(format!("cluster-port {bus}"));
        }
        if !self.sentinel {
            // A master waits 5 s for more replicas before it serves the first one, unless told not to.
            lines.extend(["save \"\"".to_owned(), "repl-diskless-sync-delay 0".to_owned()]);
        }
        lines.extend(self.config.iter().map(|(name, value)| format!("{name} {value}")));
        let file = dir.join("redis.conf");
        std::fs::write(&file, lines.join("\n") + "\n").expect("the configuration can be written");
        let out = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
        let err = out.try_clone().expect("a second handle of the log file");
        let mut command = Command::new("redis-server");
        command.arg(&file).stdin(Stdio::null()).stdout(out).stderr(err);
        if self.sentinel {
            command.arg("--sentinel");
        }
        command.spawn().expect("redis-server is installed")
    }
}

impl Redis {
    /// Without persistence, TLS or password.
    pub async fn start() -> Self {
        Self::setup().start().await
    }

    /// To be changed before it starts.
    pub fn setup() -> RedisSetup {
        RedisSetup::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.clients).into()
    }

    pub(super) fn bus_port(&self) -> u16 {
        self.ports.bus
    }

    /// What `[store] url` says to use it, with its password.
    pub fn url(&self) -> String {
        let scheme = if self.setup.tls.is_some() { "rediss" } else { "redis" };
        let user = self.setup.password.as_ref().map_or(String::new(), |password| format!(":{password}@"));
        format!("{scheme}://{user}{}/0", self.address())
    }

    /// Asks it one thing, on a connection of its own; panics when no answer comes.
    pub async fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Resp {
        within("an answer of redis-server", self.setup.ask(self.ports.clients, words))
            .await
            .unwrap_or_else(|error| panic!("{error}:\n{}", self.log()))
    }

    /// The same of a server with TLS that shows a certificate of another authority by now.
    pub async fn command_trusting(&self, certs: &Certs, words: &[&str]) -> Resp {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.clients));
        let asking = async {
            let config = certs.client_config(&[]);
            Client::connect(address, Some(config), self.setup.password.as_deref()).await?.ask(words).await
        };
        within("an answer of redis-server", asking).await.unwrap_or_else(|error| panic!("{error}:\n{}", self.log()))
    }

    /// Waits until the answer to `words` satisfies `until`.
    pub async fn wait(&self, what: &str, words: &[&str], mut until: impl FnMut(&Resp) -> bool) -> Resp {
        within(what, async {
            loop {
                let answer = self.command(words).await;
                if until(&answer) {
                    return answer;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }

    /// Follows what its clients ask from now on.
    pub async fn monitor(&self) -> Monitor {
        Monitor::of(self.setup.client(self.ports.clients).await.expect("a running server")).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        log(self.dir.path())
    }

    /// Ends it without a word, as a power failure does.
    pub async fn kill(&mut self) {
        self.child.kill().expect("a process of our own can be killed");
        within("the killed server to end", async {
            while !self.has_ended() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of our own can be awaited").is_some()
    }

    /// Halts it: its connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it unless that was done, and starts it on the same port with what it has on disk.
    pub async fn restart(&mut self) {
        if !self.has_ended() {
            self.kill().await;
        }
        self.child = self.setup.spawn(self.dir.path(), self.ports);
        let answers = self.setup.answers(&mut self.child, self.ports.clients).await;
        assert!(answers, "redis-server does not start again:\n{}", self.log());
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a running process of our own");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended on its own, and a panic here would hide that of the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}
