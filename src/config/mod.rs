//! The file an operator writes, and what it becomes.
//!
//! File → tree with source positions → file types (as written) → [`Settings`] (as run) → plugins. Every stage reports
//! all that is wrong with the parts the stage before it found sound, so one run shows every error.

mod diagnostics;
mod host;
pub mod plugin;
pub mod settings;
mod source;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use host::HostDeps;
pub use plugin::Built;
pub use settings::Settings;
pub use source::Source;

use std::sync::Arc;

/// One configuration, ready to run.
pub struct Generation {
    /// What the host itself needs.
    pub settings: Settings,
    /// The plugins that are on, outermost first.
    pub plugins: Vec<Built>,
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
    let _ = (source, host);
    Err(Diagnostics::default())
}

/// The keys marked (restart) in which two configurations differ; a reload does not apply them.
pub fn restart_keys_changed(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    [
        ("server.listen", a.listen != b.listen),
        ("server.admin", a.admin != b.admin),
        ("server.tls", a.tls != b.tls),
        ("server.workers", a.workers != b.workers),
        ("store.memory_max", old.store.memory_max != new.store.memory_max),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
