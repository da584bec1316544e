//! The directory of a log: made, guarded and held by one process.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use vestibule_chain::layout;

/// How long a writer that is about to end gets: one that a reload took away, or the process before.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked for its end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The directory, locked for as long as this lives.
pub(crate) struct Dir {
    path: PathBuf,
    _lock: File,
}

/// Why others could write in a directory, if they can.
pub(crate) fn exposed(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o022 != 0).then(|| format!("its mode is {mode:04o}, so others can change what is in it; expected 0700"))
}

impl Dir {
    /// Makes it where it is missing, and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what} `{shown}`: {error}");
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed("make", &error))?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync(parent).map_err(|error| failed("sync what holds", &error))?;
            }
        }
        if let Some(why) = exposed(path) {
            return Err(format!("`{shown}` is not private: {why}"));
        }
        let cursors = path.join(layout::CURSORS);
        if !cursors.exists() {
            DirBuilder::new().mode(0o700).create(&cursors).map_err(|error| failed("write in", &error))?;
        }
        let lock = private().write(true).create(true).truncate(false).open(path.join(layout::LOCK));
        let lock = lock.map_err(|error| failed("write in", &error))?;
        let until = Instant::now() + GRACE;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(error) if error == rustix::io::Errno::WOULDBLOCK && Instant::now() < until => sleep(LOOK_AGAIN),
                Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                    return Err(format!(
                        "another process writes in `{shown}`, or this one still ends requests that it recorded there; \
                         each process needs a directory of its own"
                    ));
                }
                Err(error) => return Err(failed("lock", &error)),
            }
        }
        sync(path).map_err(|error| failed("write in", &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a segment to go on behind its first `length` bytes, whatever a failed attempt has left there; 0 makes it.
    pub(crate) fn open_segment(&self, number: u64, length: u64) -> io::Result<File> {
        let path = self.file(&layout::segment_name(number));
        let mut file = private().write(true).create(length == 0).truncate(false).open(path)?;
        let found = file.metadata()?.len();
        if found < length {
            return Err(io::Error::other("the segment is shorter than what was written"));
        }
        if found > length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        if length == 0 {
            self.sync()?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(file)
    }

    /// Makes entries durable that were added or removed.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync(&self.path)
    }

    /// Bytes of everything in it.
    pub(crate) fn bytes(&self) -> u64 {
        let size_of = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file).map(|file| file.len()).sum()
        };
        let own: u64 = size_of(&self.path);
        let cursors: u64 = size_of(&self.path.join(layout::CURSORS));
        own + cursors
    }
}

/// Files that only their owner reads.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes the entries of a directory durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a file as a whole: whoever reads it sees the old or the new one, also after a crash.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut file = private().write(true).create(true).truncate(true).open(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUD-23: one process at a time, in a directory that nobody else can write in.
    #[test]
    fn a_directory_is_private_and_held_once() {
        let base = tempfile::tempdir().expect("directory");
        let path = base.path().join("a/b");
        let dir = Dir::open(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
        let second = Dir::open(&path).err().expect("refused");
        assert!(second.starts_with("another process writes in"), "{second}");
        drop(dir);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("changed");
        let told = Dir::open(&path).err().expect("refused");
        assert!(told.contains("is not private: its mode is 0777"), "{told}");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let base = tempfile::tempdir().expect("directory");
        let path = base.path().join("c.json");
        for contents in ["one", "second"] {
            replace(&path, contents.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), contents);
        }
        assert_eq!(fs::read_dir(base.path()).expect("there").count(), 1);
    }
}
