//! What a log that is whole has to say besides.

use crate::printable::Printable;
use serde_json::Value;
use std::fmt;

/// Gaps, and recoveries, that are told one by one; further ones are told in one note.
const MOST: usize = 100;
/// Bytes of a text that is quoted.
const LONGEST: usize = 40;

/// One note. It shows as one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// The log does not end with a final checkpoint.
    Unsealed,
    /// So many bytes at the end are part of a record.
    TornTail(u64),
    /// The records before this one were pruned.
    StartsAt(u64),
    /// Events that were never written.
    Gap(Gap),
    /// So many further gaps, and what was lost in them.
    MoreGaps(u64, u64),
    /// The record that says the log was continued after a crash.
    Recovered(u64),
    /// So many further recoveries.
    MoreRecovered(u64),
    /// There was no key to check signatures with.
    Unchecked,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsealed => write!(f, "unsealed"),
            Self::TornTail(bytes) => write!(f, "torn_tail {bytes}"),
            Self::StartsAt(seq) => write!(f, "starts_at {seq} (pruned)"),
            Self::Gap(Gap { lost, from, to }) => {
                write!(f, "gap {lost} events lost {}..{}", Printable(from), Printable(to))
            }
            Self::MoreGaps(count, lost) => write!(f, "{count} more gaps, {lost} events lost"),
            Self::Recovered(seq) => write!(f, "recovered {seq}"),
            Self::MoreRecovered(count) => write!(f, "recovered {count} more times"),
            Self::Unchecked => write!(f, "signatures not checked"),
        }
    }
}

/// Events that were never written, as their record says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gap {
    /// How many.
    pub lost: u64,
    /// When the first of them happened.
    pub from: String,
    /// When the last of them happened.
    pub to: String,
}

impl Gap {
    pub(super) fn of_metadata(metadata: &Value) -> Self {
        let text = |name: &str| {
            let text = metadata.get(name).and_then(Value::as_str).unwrap_or("?");
            text[..text.floor_char_boundary(LONGEST)].to_owned()
        };
        Self { lost: metadata.get("lost").and_then(Value::as_u64).unwrap_or(0), from: text("from"), to: text("to") }
    }
}

/// Gathers notes; however many there are, few are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) torn_bytes: u64,
    gaps: Vec<Gap>,
    more_gaps: (u64, u64),
    recovered: Vec<u64>,
    more_recovered: u64,
}

impl Notes {
    pub(super) fn gap(&mut self, gap: Gap) {
        if self.gaps.len() < MOST {
            self.gaps.push(gap);
        } else {
            self.more_gaps = (self.more_gaps.0 + 1, self.more_gaps.1.saturating_add(gap.lost));
        }
    }

    pub(super) fn recovered(&mut self, seq: u64) {
        if self.recovered.len() < MOST {
            self.recovered.push(seq);
        } else {
            self.more_recovered += 1;
        }
    }

    pub(super) fn list(self, sealed: bool, starts_at: Option<u64>, is_checked: bool) -> Vec<Note> {
        let mut notes = Vec::new();
        notes.extend((!sealed).then_some(Note::Unsealed));
        notes.extend((self.torn_bytes > 0).then_some(Note::TornTail(self.torn_bytes)));
        notes.extend(starts_at.map(Note::StartsAt));
        notes.extend(self.gaps.into_iter().map(Note::Gap));
        notes.extend((self.more_gaps.0 > 0).then_some(Note::MoreGaps(self.more_gaps.0, self.more_gaps.1)));
        notes.extend(self.recovered.into_iter().map(Note::Recovered));
        notes.extend((self.more_recovered > 0).then_some(Note::MoreRecovered(self.more_recovered)));
        notes.extend((!is_checked).then_some(Note::Unchecked));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_gap_that_speaks_to_the_terminal_is_quoted() {
        let gap = json!({ "lost": 3, "from": "\u{1b}[2J", "to": "x".repeat(99) });
        let note = Note::Gap(Gap::of_metadata(&gap)).to_string();
        assert_eq!(note, format!("gap 3 events lost \\u{{1b}}[2J..{}", "x".repeat(40)));
    }

    #[test]
    fn many_gaps_are_told_together() {
        let mut notes = Notes::default();
        for seq in 0..130 {
            notes.gap(Gap { lost: 2, ..Gap::default() });
            notes.recovered(seq);
        }
        let notes = notes.list(true, None, true);
        let told: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert_eq!(told.len(), 202);
        assert_eq!(
            (told[100].as_str(), told[201].as_str()),
            ("30 more gaps, 60 events lost", "recovered 30 more times")
        );
    }
}
