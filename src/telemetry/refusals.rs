//! How many access lines refused heads get. Pure: time is handed in.
//!
//! A flood of bytes that are no request must not become a flood of lines.

use std::time::{Duration, Instant};

/// Lines in one second; what is beyond them shares one.
const LINES: u32 = 100;
/// That second.
pub const WINDOW: Duration = Duration::from_secs(1);

/// The refusals of one second.
#[derive(Debug, Default)]
pub struct Refusals {
    since: Option<Instant>,
    lines: u32,
    beyond: u64,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// It has a line of its own.
    Own,
    /// It shares one that is due at the end of the second, for which it is the first.
    First,
    /// It shares one that is due anyway.
    Counted,
}

impl Refusals {
    /// One more, at `now`.
    pub fn add(&mut self, now: Instant) -> Share {
        if self.beyond == 0 && self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            *self = Self { since: Some(now), ..Self::default() };
        }
        if self.lines < LINES {
            self.lines += 1;
            return Share::Own;
        }
        self.beyond += 1;
        if self.beyond == 1 { Share::First } else { Share::Counted }
    }

    /// The number of those that share a line, which is written now.
    pub fn take(&mut self) -> u64 {
        std::mem::take(self).beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_in_a_second_have_their_line_and_the_rest_share_one() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert!((0..100).all(|_| refusals.add(now) == Share::Own));
        assert_eq!([refusals.add(now), refusals.add(now + WINDOW)], [Share::First, Share::Counted], "it is still due");
        assert_eq!(refusals.take(), 2);
        assert_eq!(refusals.add(now), Share::Own);
        for second in 1..3 {
            assert!((0..100).all(|_| refusals.add(now + WINDOW * second) != Share::Counted), "a new second");
        }
    }
}
