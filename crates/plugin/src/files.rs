//! Small files that a configuration names, read when it is built. What is wrong with one is said for whoever named it,
//! and never with what is in it.

use crate::units::Size;
use std::fs::{File, Metadata};
use std::io::Read;

/// The bytes of a file of at most this size, or why there are none.
pub fn read(path: &str, most: Size) -> Result<Vec<u8>, String> {
    // A pipe or device could make the read wait for ever.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("this is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most.0.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most.0 {
        return Err(format!("expected at most {most}"));
    }
    Ok(bytes)
}

/// The same bytes as text.
pub fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "expected text in UTF-8".to_owned())
}

/// A secret without one line end at its end, which is the editor's.
pub fn without_line_end(secret: &[u8]) -> &[u8] {
    match secret.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => secret,
    }
}

/// A warning and its label, if others than its owner and group can read a file.
pub fn readable_by_all(path: &str) -> Option<(String, String)> {
    let mode = mode(&std::fs::metadata(path).ok()?) & 0o777;
    let told = || (format!("everybody can read `{path}`"), format!("its mode is {mode:03o}; expected 600 or 640"));
    (mode & 0o004 != 0).then(told)
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0o600
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_a_secret() {
        for (written, meant) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("\n", "")]
        {
            assert_eq!(without_line_end(written.as_bytes()), meant.as_bytes(), "{written:?}");
        }
    }
}
