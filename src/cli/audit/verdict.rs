//! What `vestibule audit verify` says.

use super::segments::{self, Segment};
use super::witnesses::{Anchor, Witnesses};
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};
use vestibule_chain::Fault;
use vestibule_chain::printable::Printable;
use vestibule_chain::verify::{LastGood, Place, Report};

/// The verdict, with files by name.
pub(super) struct Verdict {
    report: Report,
    notes: Vec<String>,
    fault: Option<Found>,
}

/// What is wrong, and in which file.
struct Found {
    fault: Fault,
    seq: u64,
    file: String,
    line: u64,
    offset: u64,
    last_good: Option<LastGood>,
    /// Who says so, and of which record.
    witness: Option<(String, u64)>,
}

impl Verdict {
    /// On a log.
    pub(super) fn of_log(report: Report, segments: &[Segment], paths: &[PathBuf], witnesses: &Witnesses) -> Self {
        let fault = report.finding.as_ref().map(|finding| {
            let Place { segment, line, offset } = finding.place;
            Found {
                fault: finding.fault,
                seq: finding.seq,
                file: shown(segments::shown(segments, segment, paths)),
                line,
                offset,
                last_good: finding.last_good.clone(),
                witness: finding.witness.map(|claim| (witnesses.shown(claim.witness), claim.seq)),
            }
        });
        let notes = report.notes.iter().map(ToString::to_string).chain(witnesses.notes.iter().cloned()).collect();
        Self { report, notes, fault }
    }

    /// On an anchor that cannot be believed, whatever the log is.
    pub(super) fn of_anchor(fault: Fault, anchor: &Anchor) -> Self {
        let (seq, file) = (anchor.seq(), shown(anchor.path()));
        let found = Found { fault, seq, file, line: 1, offset: 0, last_good: None, witness: None };
        Self { report: Report::default(), notes: Vec::new(), fault: Some(found) }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_intact(&self) -> bool {
        self.fault.is_none()
    }

    /// As one object.
    pub(super) fn to_json(&self) -> Value {
        let error = self.fault.as_ref().map(|found| {
            json!({
                "kind": found.fault.word(),
                "seq": found.seq,
                "file": found.file,
                "line": found.line,
                "offset": found.offset,
            })
        });
        json!({
            "ok": self.is_intact(),
            "chain": self.report.chain.map(|chain| chain.to_string()),
            "first_seq": self.report.first_seq,
            "last_seq": self.report.last_seq,
            "records": self.report.records,
            "segments": self.report.segments,
            "checkpoints": self.report.checkpoints,
            "sealed": self.report.sealed,
            "error": error,
            "notes": self.notes,
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(found) = &self.fault else {
            writeln!(f, "ok: {}", self.report)?;
            return self.notes.iter().try_for_each(|note| writeln!(f, "{note}"));
        };
        let Found { fault, seq, file, line, offset, last_good, witness } = found;
        writeln!(f, "error: {fault} at seq {seq}")?;
        writeln!(f, "  --> {}:{line} (byte {offset})", Printable(file))?;
        if let Some((witness, seq)) = witness {
            writeln!(f, "   = {} names seq {seq}", Printable(witness))?;
        }
        match last_good {
            Some(LastGood { seq, time }) if time.is_empty() => writeln!(f, "   = last good record: seq {seq}"),
            Some(LastGood { seq, time }) => writeln!(f, "   = last good record: seq {seq}, {}", Printable(time)),
            None => writeln!(f, "   = last good record: none"),
        }
    }
}
