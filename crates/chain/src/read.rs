//! Lines of a segment, with where they stand. However long a line is, no more than [`MAX_LINE`] of it is kept.

use crate::record::{BadLine, MAX_LINE, Record};
use std::io::{self, ErrorKind, Read};

/// Bytes asked for at once: small enough to stay in a core's cache until they are hashed.
const CHUNK: usize = 128 << 10;

/// A reader of lines.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    offset: u64,
    number: u64,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Without its line end; `None` if it is longer than any record.
    bytes: Option<&'a [u8]>,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Counts from 1.
    pub number: u64,
    /// In bytes, with its line end.
    pub length: u64,
    /// How it ends.
    pub ending: Ending,
}

/// What ends a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As it should.
    LineFeed,
    /// The file was over.
    EndOfFile,
}

impl<'a> Line<'a> {
    /// The record it is.
    pub fn record(&self) -> Result<Record<'a>, BadLine> {
        self.text().ok_or(BadLine).and_then(Record::parse)
    }

    /// Its text, if it has an end and is not too long.
    pub fn text(&self) -> Option<&'a [u8]> {
        self.bytes.filter(|_| self.ending == Ending::LineFeed)
    }

    /// Whether a write that was cut short could have left this as the last line of the log: a part of a record, or
    /// zeros that a disk put where data never came. A whole record with something in place of its line end is neither.
    pub fn is_torn(&self) -> bool {
        let Some(bytes) = self.bytes else { return self.ending == Ending::EndOfFile };
        match (self.ending, bytes.split_last()) {
            (Ending::LineFeed, _) => !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0),
            (Ending::EndOfFile, Some((0, _)) | None) => true,
            (Ending::EndOfFile, Some((_, rest))) => Record::parse(rest).is_err(),
        }
    }
}

impl<R: Read> Lines<R> {
    /// From where the reader stands.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), from: 0, to: 0, offset: 0, number: 0 }
    }

    /// The next line, if there is one.
    #[expect(clippy::should_implement_trait, reason = "a line is lent, which no iterator can say")]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let (length, ending) = loop {
            let waiting = &self.buffer[self.from..self.to];
            if let Some(at) = memchr::memchr(b'\n', &waiting[searched..]) {
                break (searched + at + 1, Ending::LineFeed);
            }
            searched = waiting.len();
            if searched >= MAX_LINE {
                return self.overlong().map(Some);
            }
            if self.fill()? == 0 {
                break (searched, Ending::EndOfFile);
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let text = match ending {
            Ending::LineFeed => length - 1,
            Ending::EndOfFile => length,
        };
        let from = self.from;
        self.from += length;
        let (offset, number) = self.count(length as u64);
        let bytes = Some(&self.buffer[from..from + text]);
        Ok(Some(Line { bytes, offset, number, length: length as u64, ending }))
    }

    /// Whether nothing follows the last line.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.from == self.to && self.fill()? == 0)
    }

    /// Passes over a line of which [`MAX_LINE`] bytes are here and its end is not.
    fn overlong(&mut self) -> io::Result<Line<'static>> {
        let mut length = 0;
        let ending = loop {
            let waiting = &self.buffer[self.from..self.to];
            if let Some(at) = memchr::memchr(b'\n', waiting) {
                self.from += at + 1;
                length += at as u64 + 1;
                break Ending::LineFeed;
            }
            length += waiting.len() as u64;
            self.from = self.to;
            if self.fill()? == 0 {
                break Ending::EndOfFile;
            }
        };
        let (offset, number) = self.count(length);
        Ok(Line { bytes: None, offset, number, length, ending })
    }

    fn count(&mut self, length: u64) -> (u64, u64) {
        let offset = self.offset;
        self.offset += length;
        self.number += 1;
        (offset, self.number)
    }

    /// Reads more behind what waits; how much it was.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.buffer.len() < self.to + CHUNK {
            self.buffer.resize(self.to + CHUNK, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.to..self.to + CHUNK]) {
                Ok(count) => {
                    self.to += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes(bytes: &[u8]) -> Vec<(u64, u64, u64, Ending)> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("memory") {
            found.push((line.number, line.offset, line.length, line.ending));
        }
        assert!(lines.is_at_end().expect("memory"));
        found
    }

    #[test]
    fn a_line_is_as_long_as_it_is_and_kept_only_so_far() {
        let long = MAX_LINE as u64 * 3;
        let bytes = [b"ab\n\n".to_vec(), vec![b'x'; MAX_LINE * 3], b"\nrest".to_vec()].concat();
        let end = Ending::LineFeed;
        let last = (4, 5 + long, 4, Ending::EndOfFile);
        assert_eq!(shapes(&bytes), [(1, 0, 3, end), (2, 3, 1, end), (3, 4, long + 1, end), last]);
        let mut lines = Lines::new(&bytes[..]);
        while lines.next().expect("memory").is_some() {}
        assert!(lines.buffer.len() <= MAX_LINE + 2 * CHUNK);
    }

    #[test]
    fn a_part_of_a_record_is_torn_and_a_changed_line_end_is_not() {
        let mut record = Vec::new();
        let digest = crate::Digest::ZERO;
        crate::append(&mut record, &Record { seq: 0, prev: digest, hash: digest, event: b"{}" });
        let torn = |bytes: &[u8]| Lines::new(bytes).next().expect("memory").is_some_and(|line| line.is_torn());
        let whole = &record[..record.len() - 1];
        assert!((1..=whole.len()).all(|length| torn(&whole[..length])));
        for (left, is_torn) in [
            ([whole, b"\0"].concat(), true),
            ([whole, b"x"].concat(), false),
            ([&whole[..50], &[0; 9]].concat(), true),
            (vec![0; 5000], true),
            (vec![0; 2 * MAX_LINE], true),
            (b"\0\0\n".to_vec(), true),
            (b"\n".to_vec(), false),
            (b"{}\n".to_vec(), false),
            (record.clone(), false),
        ] {
            assert_eq!(torn(&left), is_torn, "{}", String::from_utf8_lossy(&left[..left.len().min(300)]));
        }
    }

    proptest! {
        #[test]
        fn lines_and_their_ends_are_all_there_is(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200)) {
            let found = shapes(&bytes);
            prop_assert_eq!(found.iter().map(|line| line.2).sum::<u64>(), bytes.len() as u64);
            prop_assert_eq!(found.iter().filter(|line| line.3 == Ending::LineFeed).count(), bytes.iter().filter(|byte| **byte == b'\n').count());
        }
    }
}
