//! From a table of the file to a running plugin.

use crate::{Clock, Plugin, RouteId, Telemetry};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use vestibule_meter::Registry;

/// A plugin that can be built from its configuration.
pub trait Build: Plugin + Sized {
    /// TOML table, route key, metric prefix and log target; the folder has `-` for `_`.
    const NAME: &'static str;
    /// Its place in the order.
    const STAGE: Stage;
    /// Whether it runs when its table is absent.
    const ON_BY_DEFAULT: bool = false;
    /// Its table. Every key has a default; unknown keys are refused. Serialised, it is the effective configuration.
    type Config: DeserializeOwned + Serialize + JsonSchema + Default;
    /// Its key inside a `[[routes]]` entry; [`NoRoute`] when it has none.
    type Route: DeserializeOwned + JsonSchema;
    /// Keys of its table that a reload does not change, as `table.key`; see [`Plugin::prepare`].
    const RESTART: &'static [&'static str] = &[];
    /// The stores it uses: `()` or `Arc<dyn Port>`.
    type Store;

    /// Builds it, or says everything that is wrong.
    fn build(
        config: Self::Config,
        routes: &Routes<Self::Route>,
        store: Self::Store,
        deps: &Deps,
    ) -> Result<Self, BuildErrors>;

    /// The table with everything in it that it implies, e.g. entries that exist unless the file says otherwise. Shown
    /// as the effective configuration; read again, it must mean the same.
    fn resolved(config: Self::Config) -> Self::Config {
        config
    }

    /// Paths that it serves itself. For these alone, whatever the method, it attaches with nobody but those that watch.
    fn own_routes(_config: &Self::Config) -> Vec<OwnRoute> {
        Vec::new()
    }

    /// What does not fit into `memory_max` bytes, the `[store] memory_max` of this process.
    fn oversized(_config: &Self::Config, _memory_max: u64) -> BuildErrors {
        BuildErrors::default()
    }

    /// What is valid but probably not meant; shown by `check` and logged when the configuration is loaded.
    fn warnings(_config: &Self::Config, _routes: &Routes<Self::Route>) -> BuildErrors {
        BuildErrors::default()
    }
}

/// The order of plugins, outermost first. Refusals are counted and audited; limits are keyed by who; a refused request
/// claims no key; the stored reply already carries its tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Gives the exchange its identity.
    Trace,
    /// Counts and times it.
    Measure,
    /// Writes down what must be provable.
    Audit,
    /// Says who calls.
    Authenticate,
    /// Says how often they may.
    Limit,
    /// Answers requests of its own.
    Answer,
    /// Answers repeated writes.
    Replay,
    /// Answers conditional requests.
    Validate,
}

impl Stage {
    /// Whether plugins of this stage watch before the edge rules decide. They never refuse.
    pub const fn observes(self) -> bool {
        matches!(self, Self::Trace | Self::Measure)
    }
}

/// What the host gives every plugin.
pub struct Deps {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered. Families outlive a reload: asking again for a name gives the same family.
    pub meter: Arc<Registry>,
    /// Names of all routes by [`RouteId`], `unmatched` first.
    pub route_names: Arc<[String]>,
    /// Address and port of the upstream of each route, by [`RouteId`], as the file names them.
    pub upstreams: Arc<[ServerName]>,
    /// Hides identifiers that are logged or stored.
    pub secret: Arc<Secret>,
    /// The stores behind every plugin of this configuration.
    pub store: StoreTerms,
    /// Where telemetry goes.
    pub telemetry: Telemetry,
    /// Bits of an IPv6 address that make a client.
    pub ipv6_prefix: u8,
}

/// What `[store]` says that plugins go by.
#[derive(Clone, Debug)]
pub struct StoreTerms {
    /// Keeps the records of several fleets apart.
    pub namespace: Arc<str>,
    /// Longest time that one operation takes.
    pub timeout: Duration,
    /// Where it is.
    pub kind: StoreKind,
}

/// Where a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In this process.
    Memory,
    /// Elsewhere, shared by the proxies of a fleet.
    Shared,
}

impl Default for StoreTerms {
    fn default() -> Self {
        Self { namespace: "vestibule".into(), timeout: Duration::from_millis(500), kind: StoreKind::Memory }
    }
}

/// An upstream as the file names it, for labels: never what a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    /// Host name, IP address without brackets, or the path of a Unix socket.
    pub address: String,
    /// The port, also when the scheme implied it; `None` for a Unix socket.
    pub port: Option<u16>,
}

/// A key for hashing identifiers, so that logs and stores hold no address, subject or key.
pub struct Secret([u8; 32]);

impl Secret {
    /// From `[store] secret_file`, or drawn at start.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The key, for an HMAC.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The type of [`Build::Route`] for plugins without a route key. No value of it exists.
#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
pub enum NoRoute {}

/// The `[[routes]]` entries as one plugin sees them.
#[derive(Debug)]
pub struct Routes<R> {
    entries: Vec<RouteEntry<R>>,
}

/// One entry.
#[derive(Debug)]
pub struct RouteEntry<R> {
    /// Its id, from 1.
    pub id: RouteId,
    /// Its name.
    pub name: String,
    /// Its path template, e.g. `/orders/{id}/{*rest}`.
    pub path: String,
    /// The plugin's key in it, when written.
    pub key: Option<R>,
}

impl<R> Routes<R> {
    /// The entries, in the order of the file.
    pub fn new(entries: Vec<RouteEntry<R>>) -> Self {
        Self { entries }
    }

    /// All entries, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &RouteEntry<R>> {
        self.entries.iter()
    }

    /// A table with one row a route, `unmatched` first; `row` gets `None` for `unmatched`.
    pub fn table<T>(&self, mut row: impl FnMut(Option<&RouteEntry<R>>) -> T) -> Vec<T> {
        let mut rows = Vec::with_capacity(self.entries.len() + 1);
        rows.push(row(None));
        rows.extend(self.entries.iter().map(|entry| row(Some(entry))));
        rows
    }
}

/// A path that a plugin serves itself: it comes before every `[[routes]]` entry and after all of them in [`RouteId`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRoute {
    /// Its label in metrics, logs and spans.
    pub name: &'static str,
    /// The path, without parameters.
    pub path: String,
    /// Key of the plugin's table that says the path.
    pub path_key: &'static str,
    /// Methods that must be served for it to be of use.
    pub needs: Vec<Method>,
    /// Key of the plugin's table that it is there for.
    pub switch: &'static str,
}

/// Where in the file something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPath {
    /// Below the plugin's own table, e.g. `["policies", "login", "limit"]`.
    Table(Vec<String>),
    /// Below the plugin's key of this route, e.g. `["0"]` for the first element of a list.
    Route(RouteId, Vec<String>),
}

impl KeyPath {
    /// Below the plugin's own table.
    pub fn table<const N: usize>(segments: [&str; N]) -> Self {
        Self::Table(segments.into_iter().map(str::to_owned).collect())
    }
    /// Below the plugin's key of `route`.
    pub fn route<const N: usize>(route: RouteId, segments: [&str; N]) -> Self {
        Self::Route(route, segments.into_iter().map(str::to_owned).collect())
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// Where.
    pub at: KeyPath,
    /// What, e.g. ``unknown policy `logn` ``.
    pub message: String,
    /// Stands under the underlined source: what was expected, and the nearest valid name.
    pub label: String,
    /// Keys elsewhere that it rests on. It is not told when one of them was refused, as the default that stands in for
    /// that one is not what was meant.
    pub about: Vec<KeyPath>,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildErrors {
    errors: Vec<BuildError>,
}

impl BuildErrors {
    /// Adds an error about the value at `at` alone.
    pub fn error(&mut self, at: KeyPath, message: impl Into<String>, label: impl Into<String>) {
        self.error_about(at, Vec::new(), message, label);
    }

    /// Adds an error that also rests on other keys.
    pub fn error_about(
        &mut self,
        at: KeyPath,
        about: Vec<KeyPath>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.errors.push(BuildError { at, message: message.into(), label: label.into(), about });
    }

    /// `value` when nothing was wrong, else all of it.
    pub fn or<T>(self, value: impl FnOnce() -> T) -> Result<T, Self> {
        if self.errors.is_empty() { Ok(value()) } else { Err(self) }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors, in the order they were found.
    pub fn into_errors(self) -> Vec<BuildError> {
        self.errors
    }
}
