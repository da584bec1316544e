//! Secrets and other small files that the configuration names.

use crate::config::report::Report;
use crate::config::section::Section;
use crate::config::settings::SecretText;
use crate::config::tree::Place;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Most bytes of a file that a key names.
const MAX_BYTES: u64 = 64 << 10;

/// A secret that is written as `key` or named by `key_file`, never both; `None` when it is neither.
pub(super) fn secret(
    key: &str,
    literal: &str,
    file: &str,
    section: &Section<'_>,
    report: &mut Report<'_>,
) -> Option<SecretText> {
    let file_key = format!("{key}_file");
    match (literal.is_empty(), file.is_empty()) {
        (true, true) => None,
        (false, true) => Some(SecretText(literal.to_owned())),
        (false, false) => {
            let message = format!("both `{key}` and `{file_key}` are set");
            report.error(&section.place(&[key]), message, format!("keep one of them; `{file_key}` is the safer one"));
            None
        }
        (true, false) => {
            let text = read(file, &section.place(&[&file_key]), Privacy::Secret, report)?;
            report.quoting().hide(&Place::Nowhere, Some(&text));
            Some(SecretText(text))
        }
    }
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Anybody.
    Public,
    /// Nobody but its owner and group; else that is a warning.
    Secret,
}

/// The text of a file without one line end at its end; says what is wrong when it is empty, too large or unreadable.
pub(super) fn read(path: &str, at: &Place, privacy: Privacy, report: &mut Report<'_>) -> Option<String> {
    match read_bounded(Path::new(path)) {
        Ok((text, mode)) => {
            if privacy == Privacy::Secret && mode & 0o004 != 0 {
                let label = format!("its mode is {:03o}; expected 600 or 640", mode & 0o777);
                report.warning(at, format!("everybody can read `{path}`"), label);
            }
            Some(text)
        }
        Err(why) => {
            report.error(at, format!("cannot use `{path}`"), why);
            None
        }
    }
}

fn read_bounded(path: &Path) -> Result<(String, u32), String> {
    // A pipe or device could make the read wait for ever.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("this is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("expected at most 64KiB".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "expected text in UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err("this file is empty".to_owned());
    }
    Ok((text, mode(&metadata)))
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o600
}
