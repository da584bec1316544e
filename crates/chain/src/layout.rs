//! Names in the directory of a log.

use std::path::{Path, PathBuf};

/// Copies of all checkpoints.
pub const CHECKPOINTS: &str = "checkpoints.jsonl";
/// Where each sink stands, a file each.
pub const CURSORS: &str = "cursors";
/// Held by the process that writes.
pub const LOCK: &str = "lock";

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";
const DIGITS: usize = 12;

/// `audit-000000000042.jsonl`
pub fn segment_name(number: u64) -> String {
    format!("{PREFIX}{number:0DIGITS$}{SUFFIX}")
}

/// The number of a segment by its file name.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The segments in a directory, in order.
pub fn segments(dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(segment_number) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_known_by_its_name() {
        assert_eq!(segment_name(42), "audit-000000000042.jsonl");
        assert_eq!(segment_number("audit-000000000042.jsonl"), Some(42));
        for other in ["audit-42.jsonl", "audit-00000000004x.jsonl", "audit-000000000042.jsonl.bak", "checkpoints.jsonl"]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
