//! `checkpoints.jsonl`: every checkpoint once more, where an attacker who changes a segment may forget it.

use super::dir::{Dir, private, replace};
use std::collections::VecDeque;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use vestibule_chain::{Checkpoint, layout};

/// Copies that wait for a disk that cannot be written; older ones are in the log alone.
const MOST_WAITING: usize = 1000;

/// Copies that are not on disk yet.
#[derive(Default)]
pub(crate) struct Copies {
    waiting: VecDeque<Vec<u8>>,
}

impl Copies {
    /// One more, of a checkpoint that is durable in the log. What cannot be written now is written with the next.
    pub(crate) fn add(&mut self, dir: &Dir, event: Vec<u8>) {
        if self.waiting.len() == MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(event);
        match append(dir, &self.waiting) {
            Ok(()) => self.waiting.clear(),
            Err(error) => tracing::warn!(target: "audit", cause = %error, "a checkpoint is not copied yet"),
        }
    }

    /// Drops copies of what is before `seq` and gone from the log.
    pub(crate) fn forget(&mut self, dir: &Dir, seq: u64) -> io::Result<()> {
        let path = dir.file(layout::CHECKPOINTS);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let stays = |line: &&[u8]| Checkpoint::of_event(line).is_none_or(|checkpoint| checkpoint.seq >= seq);
        let kept: Vec<u8> = text
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| stays(&line.trim_ascii_end()))
            .flatten()
            .copied()
            .collect();
        if kept.len() < text.len() { replace(&path, &kept) } else { Ok(()) }
    }
}

/// Behind the last whole line: what a crash tore off is overwritten.
fn append(dir: &Dir, events: &VecDeque<Vec<u8>>) -> io::Result<()> {
    let path = dir.file(layout::CHECKPOINTS);
    let is_new = !path.exists();
    let mut file = private().read(true).write(true).create(true).truncate(false).open(path)?;
    let whole = whole_lines(&mut file)?;
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::Start(whole))?;
    let mut lines = Vec::new();
    for event in events {
        lines.extend_from_slice(event);
        lines.push(b'\n');
    }
    file.write_all(&lines)?;
    file.sync_data()?;
    if is_new { dir.sync() } else { Ok(()) }
}

/// Bytes up to the last line end.
fn whole_lines(file: &mut std::fs::File) -> io::Result<u64> {
    const LOOK: u64 = 64 << 10;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LOOK);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LOOK), &mut tail)?;
    Ok(tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| from + at as u64 + 1))
}
