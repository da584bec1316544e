//! The files of a log as they are at one moment.

use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Take};
use std::path::{Path, PathBuf};
use vestibule_chain::{Lines, SegmentHead, layout};

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size when the log was looked at: what is written later is not looked at.
    size: u64,
}

impl Segment {
    /// Reads it, as far as it went.
    pub(super) fn open(&self) -> io::Result<Take<File>> {
        Ok(File::open(&self.path)?.take(self.size))
    }
}

/// The segments that these paths name, in order.
pub(super) fn listed(paths: &[PathBuf]) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(layout::segments(path).map_err(|error| named(path, &error))?);
        } else {
            found.push((number(path).map_err(|error| named(path, &error))?, path.clone()));
        }
    }
    // A segment is whole when a later one is there, so sizes are taken when all names are known.
    found.sort();
    let mut known = BTreeSet::new();
    let mut segments = Vec::new();
    for (_, path) in found {
        if known.insert(path.canonicalize().map_err(|error| named(&path, &error))?) {
            let size = path.metadata().map_err(|error| named(&path, &error))?.len();
            segments.push(Segment { path, size });
        }
    }
    Ok(segments)
}

/// The number that a segment gives itself, since a copy may have any name; else that of its name.
fn number(path: &Path) -> io::Result<u64> {
    let mut lines = Lines::new(File::open(path)?);
    let record = lines.next()?.and_then(|line| line.record().ok());
    let head = record.and_then(|record| SegmentHead::of_event(record.event));
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(head.map(|head| head.number).or(name.and_then(layout::segment_number)).unwrap_or(u64::MAX))
}

/// Whether a process writes where one of these paths is.
pub(super) fn is_live(paths: &[PathBuf]) -> bool {
    let dirs: BTreeSet<&Path> =
        paths.iter().filter_map(|path| if path.is_dir() { Some(path.as_path()) } else { path.parent() }).collect();
    dirs.into_iter().any(is_locked)
}

/// Whether somebody holds the lock of a directory. It is taken for a moment where nobody does, shared, so that two who
/// look do not take each other for a writer.
fn is_locked(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join(layout::LOCK)) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// How a segment is named in a message, by its place in the order.
pub(super) fn shown<'a>(segments: &'a [Segment], index: usize, paths: &'a [PathBuf]) -> &'a Path {
    match segments.get(index) {
        Some(segment) => &segment.path,
        None => paths.first().map_or(Path::new("."), PathBuf::as_path),
    }
}

/// The same error, with what could not be read.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_named_twice_is_read_once() {
        let dir = tempfile::tempdir().expect("directory");
        let path = |number| dir.path().join(layout::segment_name(number));
        for number in [3, 1, 2] {
            std::fs::write(path(number), b"x").expect("written");
        }
        let paths = [path(3), dir.path().to_owned(), dir.path().join("./audit-000000000001.jsonl")];
        let found = listed(&paths).expect("there");
        let named = |segment: &Segment| layout::segment_number(segment.path.file_name()?.to_str()?);
        assert_eq!(found.iter().filter_map(named).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(listed(&[path(9)]).is_err());
    }

    #[test]
    fn a_log_is_live_while_its_lock_is_held() {
        let dir = tempfile::tempdir().expect("directory");
        let paths = [dir.path().join(layout::segment_name(0))];
        assert!(!is_live(&paths));
        let lock = File::create(dir.path().join(layout::LOCK)).expect("made");
        assert!(!is_live(&paths));
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free again");
        assert!(is_live(&paths) && is_live(&[dir.path().to_owned()]));
    }
}
