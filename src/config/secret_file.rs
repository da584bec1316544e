//! Secrets and other small files that the configuration names.

use crate::config::report::Report;
use crate::config::section::Section;
use crate::config::settings::SecretText;
use crate::config::tree::Place;
use vestibule_plugin::files;
use vestibule_plugin::units::Size;

/// Largest file that a key names.
const MOST: Size = Size(64 << 10);

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
    match read_text(path) {
        Ok(text) => {
            if let Some((message, label)) = files::readable_by_all(path).filter(|_| privacy == Privacy::Secret) {
                report.warning(at, message, label);
            }
            Some(text)
        }
        Err(why) => {
            report.error(at, format!("cannot use `{path}`"), why);
            None
        }
    }
}

fn read_text(path: &str) -> Result<String, String> {
    let bytes = files::read(path, MOST)?;
    match files::without_line_end(&bytes) {
        [] => Err("this file is empty".to_owned()),
        rest => files::text(rest.to_vec()),
    }
}
