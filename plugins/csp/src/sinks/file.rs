//! Records in a file, and a few old files beside it: `reports.jsonl`, `reports.jsonl.1` to `.5`, the oldest last.

use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file that would pass this begins anew.
const MAX_BYTES: u64 = 64 << 20;
/// Old files that are kept.
const OLD: u32 = 5;
/// Nobody but the proxy's own user reads what pages do.
const MODE: u32 = 0o600;

/// Whether records can be written there.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Why records cannot be written there, as far as it shows while nothing is written: whoever only checks a configuration
/// leaves no file behind.
pub(crate) fn foresee(path: &Path) -> io::Result<()> {
    match access(path, Access::WRITE_OK) {
        Err(Errno::NOENT) => Ok(access(folder(path), Access::WRITE_OK | Access::EXEC_OK)?),
        told => Ok(told?),
    }
}

/// Where a file is, or will be.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opened anew for each batch, so that one who moves it away gets a new one.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    // One that was there before may be open to others.
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

/// Appends whole lines: all of them, or none.
pub(super) fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    append_below(path, lines, MAX_BYTES)
}

fn append_below(path: &Path, lines: &[u8], most: u64) -> io::Result<()> {
    let mut file = open(path)?;
    let mut length = file.metadata()?.len();
    if length > 0 && length + lines.len() as u64 > most {
        rotate(path)?;
        file = open(path)?;
        length = 0;
    }
    file.write_all(lines).inspect_err(|_| {
        // Half a line would spoil the next one, too.
        let _ = file.set_len(length);
    })
}

fn rotate(path: &Path) -> io::Result<()> {
    let old = |number: u32| -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    };
    for number in (1..OLD).rev() {
        match fs::rename(old(number), old(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, old(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_begins_anew_before_it_is_too_large_and_five_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reports.jsonl");
        for number in 0..20 {
            append_below(&path, format!("{{\"n\":{number:02}}}\n").as_bytes(), 20).expect("appended");
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let old = (1..=5).map(|number| format!("reports.jsonl.{number}"));
        assert_eq!(names, std::iter::once("reports.jsonl".to_owned()).chain(old).collect::<Vec<_>>());
        assert_eq!(fs::read_to_string(&path).expect("text"), "{\"n\":18}\n{\"n\":19}\n");
        assert_eq!(
            fs::read_to_string(folder.path().join("reports.jsonl.5")).expect("text"),
            "{\"n\":08}\n{\"n\":09}\n"
        );
    }

    #[test]
    fn it_is_foreseen_whether_a_file_can_be_written_and_none_is_left_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("reports.jsonl");
        foresee(&path).expect("one that is not there yet");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
        append(&path, b"{}\n").expect("appended");
        foresee(&path).expect("one that is there");
        assert_eq!(fs::read(&path).expect("bytes"), b"{}\n");
        // To root hardly anything is forbidden, but no file system takes such a name.
        foresee(&dir.path().join("x".repeat(300))).expect_err("no name");
        foresee(&dir.path().join("none/x")).expect_err("no folder");
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("set");
            foresee(&path).expect_err("one that may only be read");
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).expect("set");
            foresee(&dir.path().join("new")).expect_err("a folder that takes no new one");
        }
    }

    #[test]
    fn nobody_else_can_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reports.jsonl");
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        append(&path, b"{}\n").expect("appended");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_is_larger_than_a_file_gets_one_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reports.jsonl");
        for _ in 0..2 {
            append_below(&path, &[b'x'; 30], 20).expect("appended");
        }
        assert_eq!(fs::metadata(&path).expect("there").len(), 30);
    }
}
