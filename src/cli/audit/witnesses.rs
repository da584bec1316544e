//! Who else knows what the log held: the copies of its checkpoints, its sinks, and whoever kept a checkpoint elsewhere.

use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use vestibule_chain::printable::Printable;
use vestibule_chain::verify::{Claims, Kept, Witness, signer};
use vestibule_chain::{Digest, Fault, Lines, VerifyingKey, layout};

/// Cursors that are looked at.
const MOST_CURSORS: usize = 1_000;
/// Bytes of a file that holds one event or one cursor.
const LARGEST: u64 = 1 << 20;

/// What they say, and who they are.
#[derive(Default)]
pub(super) struct Witnesses {
    /// Of the verification.
    pub(super) claims: Claims,
    /// What could not be read.
    pub(super) notes: Vec<String>,
    files: Vec<PathBuf>,
}

/// A checkpoint that was kept elsewhere.
pub(super) struct Anchor {
    path: PathBuf,
    kept: Kept,
}

impl Witnesses {
    /// What lies beside the segments of a directory. It is read before they are looked at, since it follows them.
    pub(super) fn add_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.add_checkpoints(&dir.join(layout::CHECKPOINTS))?;
        let cursors = match fs::read_dir(dir.join(layout::CURSORS)) {
            Ok(cursors) => cursors.collect::<Result<Vec<_>, _>>()?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut cursors: Vec<_> = cursors.into_iter().map(|entry| entry.path()).collect();
        cursors.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        cursors.sort();
        cursors.iter().take(MOST_CURSORS).try_for_each(|path| self.add_cursor(path))
    }

    fn add_checkpoints(&mut self, path: &Path) -> io::Result<()> {
        let Some(file) = opened(path)? else { return Ok(()) };
        let size = file.metadata()?.len();
        let mut lines = Lines::new(file.take(size));
        let file = self.name(path);
        let mut unread = 0_u64;
        while let Some(line) = lines.next()? {
            // A last line without its end is being written, or was when its process ended.
            let Some(text) = line.text() else { continue };
            let witness = Witness { file, line: u32::try_from(line.number).unwrap_or(u32::MAX) };
            match Kept::of_event(text) {
                Some(kept) => self.claims.keep(&kept, witness),
                None => unread += 1,
            }
        }
        if unread > 0 {
            let plural = if unread == 1 { "" } else { "s" };
            self.notes.push(format!("unread {unread} line{plural} of {}", layout::CHECKPOINTS));
        }
        Ok(())
    }

    fn add_cursor(&mut self, path: &Path) -> io::Result<()> {
        let Some(file) = opened(path)? else { return Ok(()) };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let cursor: Value = serde_json::from_slice(&text).unwrap_or_default();
        let hash = cursor["hash"].as_str().and_then(|hash| hash.parse().ok());
        match (cursor["seq"].as_u64(), hash) {
            // A sink that has had nothing yet.
            (_, Some(Digest::ZERO)) => {}
            (Some(seq), Some(hash)) => {
                let witness = Witness { file: self.name(path), line: 0 };
                self.claims.cursor(seq, hash, witness);
            }
            _ => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.notes.push(format!("unread {}/{}", layout::CURSORS, Printable(&name)));
            }
        }
        Ok(())
    }

    /// What somebody kept elsewhere.
    pub(super) fn add_anchor(&mut self, anchor: &Anchor) {
        let witness = Witness { file: self.name(&anchor.path), line: 0 };
        self.claims.anchor(&anchor.kept, witness);
    }

    fn name(&mut self, path: &Path) -> u32 {
        self.files.push(path.to_owned());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Who it is that said something.
    pub(super) fn shown(&self, witness: Witness) -> String {
        let file = self.files.get(witness.file as usize).map(|path| path.display().to_string()).unwrap_or_default();
        if witness.line == 0 { file } else { format!("{file}:{}", witness.line) }
    }
}

impl Anchor {
    /// From the file of an event.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)).map_err(cannot)?;
        let kept = Kept::of_event(&text)
            .ok_or_else(|| format!("`{}` is no anchor; expected the event of a checkpoint", path.display()))?;
        Ok(Self { path: path.to_owned(), kept })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The record it speaks of.
    pub(super) fn seq(&self) -> u64 {
        self.kept.checkpoint.seq
    }

    /// Whether it can be believed, where there are keys to tell.
    pub(super) fn check(&self, keys: &[VerifyingKey]) -> Result<(), Fault> {
        if keys.is_empty() { Ok(()) } else { signer(&self.kept.checkpoint, keys).map(drop) }
    }
}

fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
