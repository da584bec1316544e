//! The last lines of a file, without reading the rest.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes looked at at once.
const BLOCK: u64 = 64 << 10;

/// Where the last `count` lines that end before `end` begin. What follows the last line end counts for nothing. Also says
/// how many lines there are, if there are fewer.
pub fn last_lines(file: &mut (impl Read + Seek), end: u64, count: usize) -> io::Result<(u64, usize)> {
    let mut block = vec![0; BLOCK as usize];
    let mut to = end;
    let mut feeds = 0;
    while to > 0 {
        let from = to.saturating_sub(BLOCK);
        let block = &mut block[..(to - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(block)?;
        for at in memchr::memrchr_iter(b'\n', block) {
            // The line end before the first line that is wanted.
            if feeds == count {
                return Ok((from + at as u64 + 1, count));
            }
            feeds += 1;
        }
        to = from;
    }
    Ok((0, feeds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn last(bytes: &[u8], count: usize) -> (u64, usize) {
        last_lines(&mut Cursor::new(bytes), bytes.len() as u64, count).expect("memory")
    }

    #[test]
    fn lines_are_counted_from_the_end() {
        for (count, found) in [(0, (6, 0)), (1, (4, 1)), (2, (3, 2)), (3, (0, 3)), (4, (0, 3))] {
            assert_eq!(last(b"ab\n\nc\nrest", count), found, "{count}");
        }
        assert_eq!(last(b"", 3), (0, 0));
        let long = [vec![b'x'; 200_000], b"\n".to_vec(), vec![b'y'; 100_000], b"\n".to_vec()].concat();
        assert_eq!(last(&long, 1), (200_001, 1));
    }

    proptest! {
        #[test]
        fn as_many_lines_follow_as_are_said(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 0..200),
            count in 0..50_usize,
        ) {
            let (from, found) = last(&bytes, count);
            let feeds = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(feeds(&bytes[from as usize..]), found);
            prop_assert_eq!(found, count.min(feeds(&bytes)));
            prop_assert!(from == 0 || bytes[from as usize - 1] == b'\n');
        }
    }
}
