//! Files that the table names.

use crate::config::Config;
use std::fs::File;
use std::io::Read;
use vestibule_plugin::{BuildErrors, KeyPath};

/// Most bytes of a file; 100,000 API keys fit.
const MAX_BYTES: u64 = 64 << 20;
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
    // A pipe or device could make the read wait for ever.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("this is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    match bytes.len() as u64 {
        0 => Err("this file is empty".to_owned()),
        length if length > MAX_BYTES => Err("expected at most 64MiB".to_owned()),
        _ => Ok(bytes),
    }
}

/// The same as text.
pub(super) fn read_text(path: &str) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|_| "expected text in UTF-8".to_owned())
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
    let path = &config.secret_file;
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o004 != 0 {
        let label = format!("its mode is {mode:03o}; expected 600 or 640");
        warnings.error(KeyPath::table(["secret_file"]), format!("everybody can read `{path}`"), label);
    }
}
