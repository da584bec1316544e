//! A stream from a server that must not answer without end.
//!
//! The parser behind it takes a length at its word and collects until that many bytes are there. Here a reply is cut off
//! as soon as it says that it will be too large, or is, whatever kind of reply it is.

use crate::records::reply_bound;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Until a plugin says how large stored bodies are, and where none does: its default.
const DEFAULT_MAX_BODY: u64 = 1 << 20;

/// A reply may have this many parts, each of which takes the parser some hundred bytes: a map of a cluster of which the
/// slots lie in thousands of ranges.
const REPLY_PARTS: u64 = 1 << 16;

/// A line may have this many bytes: a word, a number or an error. The parser copies it several times.
const MAX_LINE: u64 = 64 << 10;

/// Of the line that begins each part, what can say a number.
const LINE_BYTES: usize = 24;

/// Most bytes of a reply, for all connections of a store. Cloning shares it; a change holds from the next byte on.
#[derive(Clone, Debug)]
pub(super) struct ReplyBound(Arc<AtomicU64>);

impl Default for ReplyBound {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(reply_bound(DEFAULT_MAX_BODY))))
    }
}

impl ReplyBound {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Passes everything on, and fails instead of passing on the beginning of too much.
pub(super) struct Bounded<S> {
    stream: S,
    bound: ReplyBound,
    reply: Reply,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, bound: ReplyBound) -> Self {
        Self { stream, bound, reply: Reply::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let most = self.bound.bytes();
        if self.reply.follow(&buf.filled()[before..], most).is_err() {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a reply beyond all measure")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in a reply the stream is.
#[derive(Default)]
struct Reply {
    bytes: u64,
    /// Still to come, the one that is coming included; 0 between replies.
    parts: u64,
    at: Place,
}

enum Place {
    /// The beginning of the line, how much of it that is, how long the line is so far, and whether its last byte is CR.
    Line {
        line: [u8; LINE_BYTES],
        length: usize,
        bytes: u64,
        after_cr: bool,
    },
    Body {
        left: u64,
    },
}

impl Default for Place {
    fn default() -> Self {
        Self::Line { line: [0; LINE_BYTES], length: 0, bytes: 0, after_cr: false }
    }
}

/// It is more than is taken.
#[derive(Debug, PartialEq, Eq)]
struct TooMuch;

impl Reply {
    fn follow(&mut self, mut bytes: &[u8], most: u64) -> Result<(), TooMuch> {
        while let Some(&byte) = bytes.first() {
            if self.parts == 0 {
                *self = Self { parts: 1, ..Self::default() };
            }
            let passed = match &mut self.at {
                Place::Body { left } => {
                    let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= passed as u64;
                    if *left == 0 {
                        self.end_part(0)?;
                    }
                    passed
                }
                // LF alone does not end a line to the parser, so it must not here.
                Place::Line { line, length, bytes, after_cr: true } if byte == b'\n' => {
                    let (line, length, is_cut) = (*line, *length, *bytes > LINE_BYTES as u64);
                    self.end_line(&line[..length], is_cut, most)?;
                    1
                }
                Place::Line { line, length, bytes, after_cr } => {
                    *after_cr = byte == b'\r';
                    *bytes += 1;
                    if *bytes > MAX_LINE {
                        return Err(TooMuch);
                    }
                    if let Some(place) = line.get_mut(*length) {
                        *place = byte;
                        *length += 1;
                    }
                    1
                }
            };
            self.bytes += passed as u64;
            if self.bytes > most {
                return Err(TooMuch);
            }
            bytes = &bytes[passed..];
        }
        Ok(())
    }

    /// After the line that says what a part is; of one that is cut, only the beginning is known.
    fn end_line(&mut self, line: &[u8], is_cut: bool, most: u64) -> Result<(), TooMuch> {
        let (kind, said) = line.split_first().unwrap_or((&0, &[]));
        // Behind zeros or blanks a number may go on where nobody looked. What is no number is refused like too much.
        let text = if is_cut { "" } else { std::str::from_utf8(said).unwrap_or_default() };
        let number = || text.trim().parse::<i64>().unwrap_or(i64::MAX);
        // A list of less than none is an empty one.
        let count = || u64::try_from(number()).unwrap_or(0);

        match kind {
            b'$' if number() < 0 => self.end_part(0),
            b'$' | b'=' | b'!' => {
                // The parser takes less than none for nearly 2^64 bytes of the two that are never absent.
                let bytes = u64::try_from(number()).map_err(|_| TooMuch)?;
                if bytes > most.saturating_sub(self.bytes) {
                    return Err(TooMuch);
                }
                // With the end of its line.
                self.at = Place::Body { left: bytes + 2 };
                Ok(())
            }
            b'*' | b'~' | b'>' => self.end_part(count()),
            b'%' => self.end_part(count().saturating_mul(2)),
            b'|' => self.end_part(count().saturating_mul(2).saturating_add(1)),
            _ => self.end_part(0),
        }
    }

    /// `more` parts belong to the one that has ended.
    fn end_part(&mut self, more: u64) -> Result<(), TooMuch> {
        self.at = Place::default();
        self.parts = (self.parts - 1).saturating_add(more);
        if self.parts > REPLY_PARTS { Err(TooMuch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: u64 = reply_bound(1 << 20);

    fn after(pieces: &[&[u8]]) -> Result<Reply, TooMuch> {
        let mut reply = Reply::default();
        pieces.iter().try_for_each(|piece| reply.follow(piece, MOST))?;
        Ok(reply)
    }

    #[test]
    fn a_reply_is_followed_to_its_end() {
        for text in [
            "+OK\r\n",
            "-ERR $99999999999999\r\n",
            ":7\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$0\r\n\r\n",
            "$3\r\n$9\n\r\n",
            "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            "*0\r\n",
            "%1\r\n+a\r\n$1\r\nb\r\n",
        ] {
            let (first, second) = text.as_bytes().split_at(text.len() / 2);
            let reply = after(&[first, second]).expect("little");
            assert_eq!(reply.parts, 0, "{text:?}");
            let reply = after(&[text.as_bytes(), text.as_bytes()]).expect("little");
            assert_eq!((reply.parts, reply.bytes), (0, text.len() as u64), "{text:?} starts anew");
        }
        assert_eq!(after(&[b"*2\r\n:1\r\n"]).map(|reply| reply.parts), Ok(1));
    }

    #[test]
    fn too_much_is_noticed_by_what_is_said_of_it() {
        for text in [
            "$2162689\r\n",
            "=2162689\r\n",
            "!2162689\r\n",
            "$99999999999999999999999999\r\n",
            "*65537\r\n",
            "*2\r\n*65536\r\n",
            "%40000\r\n",
        ] {
            assert_eq!(after(&[text.as_bytes()]).map(|reply| reply.parts), Err(TooMuch), "{text}");
        }
        assert_eq!(MOST, 2_162_688);
        assert!(after(&[b"$2162600\r\n"]).is_ok());
    }

    /// A number that is cut, or a line that ends where the parser sees no end, would hide what is announced behind it.
    #[test]
    fn nothing_is_announced_where_nobody_looks() {
        let zeros = "0".repeat(LINE_BYTES);
        for text in [
            format!("${zeros}99999999999\r\n"),
            format!("*{zeros}99999999999\r\n"),
            format!("${}99999999999\r\n", " ".repeat(LINE_BYTES)),
            "+a\n$50\r\n$99999999999\r\n".to_owned(),
            ":1\r\n-ERR\n*9\r\n*99999999999\r\n".to_owned(),
            "$ -5\r\n$99999999999\r\n".to_owned(),
            "=-1\r\n".to_owned(),
            "! -1\r\n".to_owned(),
        ] {
            assert_eq!(after(&[text.as_bytes()]).map(|reply| reply.parts), Err(TooMuch), "{text:?}");
        }
        assert_eq!(after(&[b"$3\r", b"\nabc\r\n"]).map(|reply| reply.parts), Ok(0), "CR and LF in two pieces");
    }

    #[test]
    fn large_parts_add_up() {
        let mut reply = after(&[b"*3\r\n"]).expect("little");
        let part = [b"$1572864\r\n", &vec![b'x'; 3 << 19][..], b"\r\n"].concat();
        assert_eq!(reply.follow(&part, MOST), Ok(()));
        assert_eq!(reply.follow(b"$1572864\r\n", MOST), Err(TooMuch), "as soon as it is said");
    }

    /// What says no length, or never ends, is cut off where the bound is.
    #[test]
    fn what_never_ends_is_cut_off() {
        let endless: [(&[u8], &[u8], u64); 9] = [
            (b"+", b"x", MAX_LINE),
            (b"-ERR ", b"x", MAX_LINE),
            (b":", b"1", MAX_LINE),
            (b",", b"1", MAX_LINE),
            (b"(", b"1", MAX_LINE),
            (b"", b"*1\r\n", MOST),
            (b"*60000\r\n", b"+012345678901234567890123456789012345678901234567\r\n", MOST),
            (b">60000\r\n", b"+012345678901234567890123456789012345678901234567\r\n", MOST),
            // Each leaves one part more to come.
            (b"", b"|1\r\n+a\r\n", 8 * REPLY_PARTS),
        ];
        for (start, again, most) in endless {
            let mut reply = after(&[start]).expect("little");
            let mut taken = start.len() as u64;
            while reply.follow(again, MOST).is_ok() {
                taken += again.len() as u64;
                assert!(taken <= most, "{:?}", String::from_utf8_lossy(again));
            }
            assert!(taken > most / 10 * 9, "{taken} of {:?}", String::from_utf8_lossy(again));
        }
    }

    /// A bound that a reload has changed holds for the reply that is coming.
    #[test]
    fn a_bound_is_shared() {
        let bound = ReplyBound::default();
        let other = bound.clone();
        bound.set(reply_bound(0));
        assert_eq!(other.bytes(), 64 << 10);
    }

    proptest! {
        #[test]
        fn any_bytes_are_followed_or_refused(pieces in proptest::collection::vec("[$*%|+:!0-9\r\n-]{0,40}", 0..20)) {
            let pieces: Vec<_> = pieces.iter().map(String::as_bytes).collect();
            let _ = after(&pieces);
        }
    }
}
