//! The file an operator writes, and what it becomes.
//!
//! File → tree with source positions → file types (as written) → [`Settings`] (as run) → plugins. Every stage reports
//! all that is wrong with the parts the stage before it found sound, so one run shows every error.

mod address;
mod diagnostics;
mod effective;
mod env;
mod host;
mod load;
mod log;
mod mask;
mod methods;
mod nearest;
mod own;
pub mod plugin;
mod refused;
mod report;
mod restart;
mod routes;
mod salvage;
mod schema;
mod schema_walk;
mod secret_file;
mod secret_keys;
mod section;
mod server;
pub mod settings;
mod source;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod tree;
mod upstream;
mod url;

pub use diagnostics::{Colour, Diagnostic, Diagnostics, Severity};
pub use host::HostDeps;
pub use plugin::Built;
pub use restart::Started;
pub use schema::schema;
pub use settings::Settings;
pub use source::{DEFAULT_FILE, Source};
pub use template::shape;

use crate::registry::PLUGINS;
use crate::stores::Stores;
use std::sync::Arc;

/// One configuration, ready to run.
pub struct Generation {
    /// What the host itself needs.
    pub settings: Settings,
    /// The plugins that are on, outermost first.
    pub plugins: Vec<Built>,
    /// Those that their own `enabled = false` switches off: they take part in no exchange.
    pub switched_off: Vec<Built>,
    /// The stores that its plugins use.
    pub stores: Stores,
    /// The complete configuration as TOML with every default filled in; secrets are `***`. It parses again.
    pub effective: String,
    /// 12 hexadecimal digits that differ when the effective configuration differs, secrets included.
    pub hash: String,
    /// What is valid but probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// Names of all routes by id, `unmatched` first.
    pub route_names: Arc<[String]>,
}

/// Reads, checks and builds a configuration. Binds no port and makes no network call.
pub fn load(source: &Source, host: &HostDeps) -> Result<Generation, Diagnostics> {
    load::load(source, host, PLUGINS)
}

/// As [`load`], of a text that is not yet a file.
pub fn load_text(text: &str, host: &HostDeps) -> Result<Generation, Diagnostics> {
    load::load_text(&Source::new(None), text, host, PLUGINS)
}

/// Whether `url` can be `[upstream] url`, else why not. Quotes nothing that may be a password.
pub fn check_upstream(url: &str) -> Result<(), String> {
    url::target(url).map(drop).map_err(|bad| format!("{}; {}", bad.message, bad.label))
}
