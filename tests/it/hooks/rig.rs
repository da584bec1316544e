//! A server inside this process, with every plugin of its configuration watched and two probes among them.

use super::journal::{Call, Journal};
use super::script::Script;
use super::watched::Watched;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use vestibule::config::{self, Built, Colour, HostDeps, Source};
use vestibule::serve::Server;
use vestibule_plugin::{Stage, SystemClock};
use vestibule_testkit::{Request, within};

/// Watches, as trace and metrics do, and runs behind them.
pub const OBSERVER: &str = "observer";
/// Stands where a plugin stands that holds.
pub const HOLDER: &str = "holder";

/// Every real plugin but the one that holds: requests take the stream lane.
pub const STREAM: &str =
    "[rate_limit.policies.wide]\nlimit = \"100000/s\"\n[rate_limit.tiers]\nanonymous = [\"wide\"]\n";
/// Every real plugin: GET and HEAD take the held lane.
pub const HELD: &str =
    "[etag]\n[rate_limit.policies.wide]\nlimit = \"100000/s\"\n[rate_limit.tiers]\nanonymous = [\"wide\"]\n";

pub struct Rig {
    server: Server,
    address: SocketAddr,
    pub journal: Journal,
    _dir: TempDir,
}

impl Rig {
    /// Serves `toml` in front of `upstream`; `scripts` say what which plugin does beside its work.
    pub async fn start(upstream: &str, toml: &str, scripts: &[(&'static str, Script)]) -> Self {
        // The only failure is that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("vestibule.toml");
        std::fs::write(&file, with_server(toml)).expect("a writable directory");
        let source = Source::new(Some(file))
            .with_upstream(Some(upstream.to_owned()))
            .with_listen(Some("127.0.0.1:0".to_owned()));
        let deps = Arc::new(HostDeps::new(Arc::new(SystemClock::default()), Arc::default()));
        let mut generation =
            config::load(&source, &deps).unwrap_or_else(|errors| panic!("{}", errors.render(Colour::Never)));
        let journal = Journal::default();
        generation.plugins = watch(generation.plugins, scripts, &journal);
        let server = Server::start(&source, deps, generation).expect("a server on an ephemeral port");
        let address = server.addresses()[0];
        Self { server, address, journal, _dir: dir }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// Stops it once every exchange is over, and returns what was called.
    pub async fn finish(self) -> Journal {
        self.journal.wait_ends().await;
        within("the drain", self.server.drain(std::future::pending())).await;
        self.journal
    }

    /// Begins the drain and returns what was called once it is over.
    pub async fn drain(self) -> Journal {
        within("the drain", self.server.drain(std::future::pending())).await;
        self.journal
    }
}

fn with_server(toml: &str) -> String {
    let admin = "admin = \"off\"";
    match toml.strip_prefix("[server]\n") {
        Some(rest) => format!("[server]\n{admin}\n{rest}"),
        None => format!("[server]\n{admin}\n{toml}"),
    }
}

fn watch(plugins: Vec<Built>, scripts: &[(&'static str, Script)], journal: &Journal) -> Vec<Built> {
    let mut chain: Vec<(&'static str, Stage, Option<_>)> =
        plugins.into_iter().map(|built| (built.name, built.stage, Some(built.plugin))).collect();
    for (name, stage) in [(OBSERVER, Stage::Measure), (HOLDER, Stage::Replay)] {
        let place = chain.iter().take_while(|(_, other, _)| *other <= stage).count();
        chain.insert(place, (name, stage, None));
    }
    let script = |name| scripts.iter().find(|(whose, _)| *whose == name).map(|(_, script)| script.clone());
    let watched = chain.into_iter().map(|(name, stage, inner)| {
        let (script, journal) = (script(name).unwrap_or_default(), journal.clone());
        Built { name, stage, plugin: Arc::new(Watched { name, inner, script, journal }) }
    });
    watched.collect()
}

/// The plugins of `toml` and the probes, outermost first.
pub fn chain(toml: &str) -> Vec<&'static str> {
    let mut names = vec!["trace", "metrics", OBSERVER, "rate_limit", HOLDER];
    if toml.contains("[etag]") {
        names.push("etag");
    }
    names
}

/// Asserts what holds for every exchange, whatever ended it. `panicked` is not asked for its word on the response.
pub fn assert_invariant(case: &str, journal: &Journal, panicked: Option<&str>) {
    let trail = || format!("{case}: {:#?}", journal.entries());
    let mut attached = journal.who(Call::Attach);
    attached.reverse();
    assert_eq!(journal.who(Call::End), attached, "on_end runs once for each, innermost first; {}", trail());

    let entered: Vec<_> = journal.who(Call::Request).into_iter().filter(|name| Some(*name) != panicked).collect();
    let head_left = !journal.note(attached[0], Call::End).ends_with(" -");
    let responses: Vec<_> = journal.who(Call::Response).into_iter().filter(|name| Some(*name) != panicked).collect();
    let mut expected = if head_left { entered } else { Vec::new() };
    expected.reverse();
    // A panic on the way out spoils the head; those around it then see the answer that leaves instead.
    let last_head = responses.len().saturating_sub(expected.len());
    let responses = if panicked.is_some() { responses[last_head..].to_vec() } else { responses };
    assert_eq!(responses, expected, "on_response runs once for each that was entered, innermost first; {}", trail());
}
