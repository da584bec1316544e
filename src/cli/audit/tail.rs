//! `vestibule audit tail`

use super::event::readable;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vestibule_chain::printable::Printable;
use vestibule_chain::{Ending, Lines, layout, tail::last_lines};

/// How often a log is looked at that is followed.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints the last events, and those that are written from then on if it is to follow. Ends well when nobody reads.
pub(super) fn tail(dir: &Path, follow: bool, lines: usize) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let done = Tail::begin(dir, lines).and_then(|mut tail| {
        tail.print(&mut out)?;
        if !follow {
            return Ok(());
        }
        loop {
            std::thread::sleep(PAUSE);
            tail.print(&mut out)?;
        }
    });
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| format!("cannot read `{}`: {error}", dir.display())),
    }
}

/// Where a reader of a log stands.
struct Tail<'a> {
    dir: &'a Path,
    /// The segment that is read; `None` while there is none.
    segment: Option<(u64, PathBuf)>,
    /// Behind the last whole line that was printed, in bytes.
    offset: u64,
}

impl<'a> Tail<'a> {
    /// Before the last `count` events.
    fn begin(dir: &'a Path, count: usize) -> io::Result<Self> {
        let mut tail = Self { dir, segment: None, offset: 0 };
        let mut wanted = count;
        for (number, path) in layout::segments(dir)?.into_iter().rev() {
            let Some(mut file) = opened(&path)? else { break };
            let size = file.metadata()?.len();
            let (offset, found) = last_lines(&mut file, size, wanted)?;
            (tail.segment, tail.offset) = (Some((number, path)), offset);
            wanted -= found;
            if wanted == 0 {
                break;
            }
        }
        Ok(tail)
    }

    /// Prints what is whole and was not printed yet, in all segments.
    fn print(&mut self, out: &mut impl Write) -> io::Result<()> {
        loop {
            // Looked for first: when there is a next one, this one is whole.
            let next = self.next()?;
            if let Some((_, path)) = &self.segment {
                self.offset = print_from(path, self.offset, out)?;
            }
            let Some(next) = next else { return out.flush() };
            (self.segment, self.offset) = (Some(next), 0);
        }
    }

    fn next(&self) -> io::Result<Option<(u64, PathBuf)>> {
        let behind = self.segment.as_ref().map(|(number, _)| *number);
        Ok(layout::segments(self.dir)?.into_iter().find(|(number, _)| Some(*number) > behind))
    }
}

/// Prints the whole lines behind `offset`; where the last of them ends.
fn print_from(path: &Path, offset: u64, out: &mut impl Write) -> io::Result<u64> {
    let Some(mut file) = opened(path)? else { return Ok(offset) };
    let size = file.metadata()?.len();
    // Shorter than what was read: the writer took back what it could not make durable.
    let offset = offset.min(size);
    file.seek(SeekFrom::Start(offset))?;
    let mut lines = Lines::new(file.take(size - offset));
    let mut end = offset;
    while let Some(line) = lines.next()? {
        if line.ending == Ending::EndOfFile {
            break;
        }
        match line.record() {
            Ok(record) => writeln!(out, "{}", readable(&record))?,
            Err(_) => {
                let path = path.display().to_string();
                writeln!(out, "no record: {} bytes at byte {end} of {}", line.length, Printable(&path))?;
            }
        }
        end += line.length;
    }
    Ok(end)
}

/// `None` for a segment that was deleted meanwhile.
fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_testkit::AuditLog;

    fn printed(tail: &mut Tail<'_>) -> Vec<u64> {
        let mut out = Vec::new();
        tail.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        text.lines()
            .map(|line| line[23..].split_whitespace().next().and_then(|seq| seq.parse().ok()).expect("a number"))
            .collect()
    }

    #[test]
    fn it_goes_on_over_rotation_and_pruning_and_half_lines() {
        let dir = tempfile::tempdir().expect("directory");
        let path = |number| dir.path().join(layout::segment_name(number));
        let mut log = AuditLog::new(7, None);
        log.requests(2);
        log.rotate(&[]);
        log.requests(1);
        log.grow(dir.path());
        let mut tail = Tail::begin(dir.path(), 5).expect("read");
        assert_eq!(printed(&mut tail), [3, 4, 5, 6, 7]);
        assert!(printed(&mut tail).is_empty());
        let whole = log.segments[1].len();
        log.requests(1);
        std::fs::write(path(1), &log.segments[1][..whole + 40]).expect("written");
        assert!(printed(&mut tail).is_empty(), "a line that is not whole");
        log.rotate(&[]);
        log.rotate(&[]);
        log.grow(dir.path());
        assert_eq!(printed(&mut tail), [8, 9, 10, 11]);
        log.rotate(&[]);
        log.rotate(&[]);
        log.grow(dir.path());
        std::fs::remove_file(path(3)).expect("pruned");
        std::fs::remove_file(path(4)).expect("pruned");
        assert_eq!(printed(&mut tail), [13]);
    }

    #[test]
    fn fewer_events_than_were_asked_for_are_all() {
        let dir = tempfile::tempdir().expect("directory");
        let mut tail = Tail::begin(dir.path(), 5).expect("read");
        assert!(printed(&mut tail).is_empty());
        let mut log = AuditLog::new(7, None);
        log.rotate(&[]);
        log.grow(dir.path());
        assert_eq!(printed(&mut tail), [0, 1], "one that begins while it is followed");
        assert_eq!(printed(&mut Tail::begin(dir.path(), 50).expect("read")), [0, 1]);
        assert!(printed(&mut Tail::begin(dir.path(), 0).expect("read")).is_empty());
        assert!(Tail::begin(&dir.path().join("none"), 5).is_err());
    }
}
