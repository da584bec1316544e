//! How far a sink has come.

use crate::log::Position;
use crate::log::dir::replace;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use vestibule_chain::Digest;

/// Everything before it has been acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cursor(pub(crate) Position);

/// As it stands in its file: the last record delivered, and the place behind it.
#[derive(Serialize, Deserialize)]
struct Written {
    segment: u64,
    offset: u64,
    seq: u64,
    hash: String,
}

impl Cursor {
    /// Before the first record of a segment.
    pub(crate) fn at_segment(segment: u64) -> Self {
        Self(Position { segment, ..Position::BEGINNING })
    }

    /// From its file; `None` when there is none that can be read.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let read: Option<Written> = serde_json::from_slice(&text).ok();
        Ok(read.and_then(|Written { segment, offset, seq, hash }| {
            let hash: Digest = hash.parse().ok()?;
            Some(Self(Position { segment, offset, next_seq: seq.checked_add(1)?, hash }))
        }))
    }

    /// To its file, as a whole.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let Position { segment, offset, next_seq, hash } = self.0;
        let Some(seq) = next_seq.checked_sub(1) else { return Ok(()) };
        replace(path, &serde_json::to_vec(&Written { segment, offset, seq, hash: hash.to_string() })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("stdout.json");
        assert_eq!(Cursor::load(&path).expect("no error"), None);
        let cursor = Cursor(Position { segment: 3, offset: 77, next_seq: 10, hash: Digest([9; 32]) });
        cursor.save(&path).expect("saved");
        assert_eq!(Cursor::load(&path).expect("no error"), Some(cursor));
        std::fs::write(&path, "{").expect("written");
        assert_eq!(Cursor::load(&path).expect("no error"), None, "one that cannot be read is none");
        Cursor::at_segment(1).save(&dir.path().join("new.json")).expect("nothing to save");
        assert!(!dir.path().join("new.json").exists());
    }
}
