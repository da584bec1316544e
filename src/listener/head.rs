//! Finds the end of a request head in bytes as they come. Pure.
//!
//! A line ends with CRLF, and a head with an empty line. The parser (httparse) takes a bare LF for a line end as well, which
//! others read differently (RFC 9112 section 2.2 leaves it open): it never gets to see one. Empty lines before the request
//! line are not counted as an end.

/// Where the scan stands, between two reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Bytes of the head seen so far.
    bytes: usize,
    /// Lines completed, empty leading ones not counted.
    lines: usize,
    /// Whether the line under way holds anything but CR.
    line_has_text: bool,
    /// Whether the last byte of the read before was a CR.
    ended_with_cr: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// The head goes on.
    Unfinished,
    /// It ended; that many bytes of this read belong to it.
    Ended(usize),
    /// It is larger than allowed.
    TooLarge,
    /// A line of it ends with LF alone.
    BareLf,
}

impl HeadScan {
    /// Takes the next bytes. `max_bytes` counts from the first byte of the head to the end of its blank line,
    /// `max_fields` counts field lines.
    pub fn advance(&mut self, read: &[u8], max_bytes: usize, max_fields: usize) -> Scanned {
        let mut rest = read;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(newline);
            let follows_cr =
                if newline == 0 && rest.len() == read.len() { self.ended_with_cr } else { line.ends_with(b"\r") };
            if !follows_cr {
                return Scanned::BareLf;
            }
            self.line_has_text |= !matches!(line, b"" | b"\r");
            rest = &after[1..];
            if self.line_has_text {
                self.lines += 1;
                self.line_has_text = false;
                // The first line is the request line.
                if self.lines > max_fields + 1 {
                    return Scanned::TooLarge;
                }
            } else if self.lines > 0 {
                let used = read.len() - rest.len();
                self.bytes += used;
                return if self.bytes > max_bytes { Scanned::TooLarge } else { Scanned::Ended(used) };
            }
        }
        self.line_has_text |= !matches!(rest, b"" | b"\r");
        self.bytes += read.len();
        if let Some(last) = read.last() {
            self.ended_with_cr = *last == b'\r';
        }
        if self.bytes > max_bytes { Scanned::TooLarge } else { Scanned::Unfinished }
    }

    /// Whether any byte came.
    pub fn has_begun(&self) -> bool {
        self.bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n";

    #[test]
    fn an_end_is_found_and_what_follows_is_not_counted() {
        let mut scan = HeadScan::default();
        let read = [HEAD, b"body\r\n\r\n"].concat();
        assert_eq!(scan.advance(&read, HEAD.len(), 2), Scanned::Ended(HEAD.len()));
        assert_eq!(HeadScan::default().advance(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 100, 1), Scanned::Ended(22));
    }

    #[test]
    fn a_line_that_ends_with_lf_alone_is_found_wherever_it_is() {
        let heads = [
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
            "GET / HTTP/1.1\r\n\n",
            "\nGET / HTTP/1.1\r\n",
        ];
        for head in heads {
            assert_eq!(HeadScan::default().advance(head.as_bytes(), 100, 9), Scanned::BareLf, "{head:?}");
            let mut scan = HeadScan::default();
            let bare = head.bytes().map(|byte| scan.advance(&[byte], 100, 9)).any(|scanned| scanned == Scanned::BareLf);
            assert!(bare, "{head:?}, byte by byte");
        }
    }

    #[test]
    fn one_byte_or_one_field_too_many_is_too_large() {
        assert_eq!(HeadScan::default().advance(HEAD, HEAD.len() - 1, 2), Scanned::TooLarge);
        assert_eq!(HeadScan::default().advance(HEAD, HEAD.len(), 1), Scanned::TooLarge);
        assert_eq!(HeadScan::default().advance(&[b'a'; 11], 10, 2), Scanned::TooLarge);
    }

    proptest! {
        #[test]
        fn the_end_does_not_depend_on_how_the_bytes_are_cut(cuts in proptest::collection::vec(0usize..HEAD.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut scan = HeadScan::default();
            let mut from = 0;
            for cut in cuts {
                prop_assert_eq!(scan.advance(&HEAD[from..cut], 1000, 10), Scanned::Unfinished);
                from = cut;
            }
            prop_assert_eq!(scan.advance(&HEAD[from..], 1000, 10), Scanned::Ended(HEAD.len() - from));
        }
    }
}
