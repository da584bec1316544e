//! Files that the table names.

use crate::config::Config;
use vestibule_plugin::units::Size;
use vestibule_plugin::{BuildErrors, KeyPath, files};

/// Largest file; 100,000 API keys fit.
const MOST: Size = Size(64 << 20);
/// Most mistakes of one file that are told at once.
const MAX_TOLD: usize = 20;

/// The files that a configuration rests on.
pub(super) fn named(config: &Config) -> impl Iterator<Item = &String> {
    let all =
        [&config.jwks_file, &config.public_key_file, &config.secret_file, &config.jwks_ca_file, &config.api_keys_file];
    all.into_iter().filter(|path| !path.is_empty())
}

/// The bytes of a file, or why there are none.
pub(super) fn read(path: &str) -> Result<Vec<u8>, String> {
    let bytes = files::read(path, MOST)?;
    if bytes.is_empty() { Err("this file is empty".to_owned()) } else { Ok(bytes) }
}

/// The same as text.
pub(super) fn read_text(path: &str) -> Result<String, String> {
    files::text(read(path)?)
}

/// As many mistakes as a person reads.
pub(super) fn shown_errors(mut wrong: Vec<String>) -> Vec<String> {
    let more = wrong.len().saturating_sub(MAX_TOLD);
    wrong.truncate(MAX_TOLD);
    if more > 0 {
        wrong.push(format!("and {more} more like these"));
    }
    wrong
}

/// Secrets that everybody on the machine can read.
pub(super) fn warn(config: &Config, warnings: &mut BuildErrors) {
    if let Some((message, label)) = files::readable_by_all(&config.secret_file) {
        warnings.error(KeyPath::table(["secret_file"]), message, label);
    }
}
